"""A loss that is not finite is recorded until the next check, which names its images."""

from __future__ import annotations

import paddle
import pytest

from panoptic_deeplab.engine.finiteness import FinitenessGuard, refuse_not_finite
from panoptic_deeplab.errors import DataError


def watched(*losses: float) -> FinitenessGuard:
    guard = FinitenessGuard()
    for i, loss in enumerate(losses):
        terms = {"loss": paddle.to_tensor(loss), "gradient": paddle.to_tensor(1.0)}
        guard.watch(terms, [f"image_{i}"])
    return guard


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_bad_loss_is_reported_although_later_ones_are_fine(bad: float) -> None:
    with pytest.raises(DataError, match=r"iteration 3: loss became .*image_0, image_1, image_2"):
        watched(1.0, bad, 1.0).check(3)


def test_a_check_without_a_bad_loss_forgets_the_images() -> None:
    guard = watched(1.0, 2.0)
    guard.check(2)
    guard.watch({"loss": paddle.to_tensor(float("nan"))}, ["later"])
    with pytest.raises(DataError, match=r"Images since the last check: later\."):
        guard.check(3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_outputs_that_say_nothing_are_refused(bad: float) -> None:
    outputs = {"semantic": paddle.ones([2]), "center": paddle.to_tensor([1.0, bad])}
    with pytest.raises(DataError, match=r"outputs \(center\) hold NaN or infinite numbers"):
        refuse_not_finite(outputs)


def test_other_outputs_are_not_looked_at() -> None:
    refuse_not_finite({"labels": paddle.to_tensor([1]), "boxes": [], "masks": paddle.zeros([0, 4])})
