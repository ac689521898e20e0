"""The losses of Panoptic FPN that differ from EfficientPS's, from numbers checked by hand."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from detector_outputs import train_outputs

from panoptic_deeplab.losses import PanopticFPNLoss

LN2, LN3 = math.log(2), math.log(3)
CAR, ROAD, PERSON, SKY = range(4)
THINGS = (CAR, PERSON)


def semantic_loss(logits: object, labels: object, **arguments: object) -> float:
    """Without the factor of a half."""
    criterion = PanopticFPNLoss(4, THINGS, semantic_weight=1.0, **arguments)
    outputs = {"semantic": tensor(logits), "train": train_outputs()}
    targets = {"semantic": paddle.to_tensor(np.array(labels))}
    return float(criterion(outputs, targets)["semantic_loss"])


def tensor(values: object) -> paddle.Tensor:
    return paddle.to_tensor(np.array(values, np.float32))


@pytest.mark.parametrize(
    ("label", "channel"), [(ROAD, 0), (SKY, 1), (CAR, 2), (PERSON, 2)], ids=str
)
def test_things_share_the_last_channel(label: int, channel: int) -> None:
    """The logit 9 there costs nearly nothing, one of 9 elsewhere nearly 9."""
    labels = np.full((1, 4, 4), label, np.uint8)
    for place in range(3):
        logits = np.zeros((1, 3, 1, 1))
        logits[0, place] = 9
        expected = math.log(2 + math.exp(9)) - 9 * (place == channel)
        assert semantic_loss(logits, labels) == pytest.approx(expected, abs=1e-6)


def test_every_fourth_row_and_column_of_the_labels_counts() -> None:
    """Of 5 x 5 labels those at (0, 0), (0, 4), (4, 0) and (4, 4) are compared with 2 x 2 logits."""
    labels = np.full((1, 5, 5), 255, np.uint8)
    labels[0, ::4, ::4] = [[ROAD, SKY], [CAR, PERSON]]
    logits = np.zeros((1, 3, 2, 2))
    for channel, (y, x) in ((0, (0, 0)), (1, (0, 1)), (2, (1, 0)), (2, (1, 1))):
        logits[0, channel, y, x] = 20
    assert semantic_loss(logits, labels) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("count_unlabeled", "expected"), [(True, LN3 / 4), (False, LN3)], ids=["all", "labeled"]
)
@pytest.mark.parametrize("void", [255, -1, 4])
def test_pixels_without_a_class(count_unlabeled: bool, expected: float, void: int) -> None:
    """Three of four have none: they cost nothing, and count or not."""
    labels = np.full((1, 8, 8), void, np.int32)
    labels[0, 0, 0] = ROAD
    found = semantic_loss(np.zeros((1, 3, 2, 2)), labels, count_unlabeled=count_unlabeled)
    assert found == pytest.approx(expected, rel=1e-6)


def test_upsampled_logits_are_compared_at_every_pixel() -> None:
    """Logits 0 and 8 of the road lie in the middles of the left and right half."""
    logits = np.zeros((1, 3, 1, 2))
    logits[0, 0, 0, 1] = 8
    row = np.array([0, 0, 1, 3, 5, 7, 8, 8])
    expected = np.mean(np.log(2 + np.exp(row)) - row)
    labels = np.full((1, 4, 8), ROAD, np.uint8)
    assert semantic_loss(logits, labels, upsample=True) == pytest.approx(expected, rel=1e-5)


def test_nothing_to_learn_from_costs_nothing() -> None:
    labels = np.full((1, 4, 4), 255, np.uint8)
    for arguments in ({}, {"count_unlabeled": False}, {"upsample": True}):
        assert semantic_loss(np.zeros((1, 3, 1, 1)), labels, **arguments) == 0


def test_offsets_cost_their_absolute_error() -> None:
    """2 and a quarter off, at one of two samples each; the semantic loss counts half."""
    off = [[2.0, 0, -0.25, 0]]
    train = train_outputs(
        rpn_labels=[1, 0],
        rpn_weights=[1, 1],
        rpn_offsets=off * 2,
        class_labels=[1, 0, 0],
        region_weights=[1, 1, 0],
        box_offset_targets=off * 3,
    )
    outputs = {"semantic": paddle.zeros([1, 3, 1, 1]), "train": train}
    targets = {"semantic": paddle.zeros([1, 4, 4], "uint8")}
    found = {n: float(v) for n, v in PanopticFPNLoss(4, THINGS)(outputs, targets).items()}
    assert found["rpn_bbox_loss"] == pytest.approx(2.25 / 2)
    assert found["bbox_loss"] == pytest.approx(2.25 / 2)
    assert found["rpn_cls_loss"] == found["cls_loss"] == pytest.approx(LN2)
    assert found["semantic_loss"] == pytest.approx(LN3 / 2)
