"""Candidates matched to the ground truth."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.models.roi import matching
from panoptic_deeplab.models.roi.boxes import pairwise_iou
from panoptic_deeplab.models.roi.matching import IGNORED, NEGATIVE, POSITIVE
from panoptic_deeplab.models.roi.training import (
    ANCHOR_MATCHER,
    REGION_MATCHER,
)


def tensor(values: object) -> paddle.Tensor:
    return paddle.to_tensor(np.array(values, np.float32))


CANDIDATES = [
    [0, 0, 10, 10],  # is the first true box
    [0, 0, 10, 5],  # half of it: 0.5
    [0, 0, 10, 2],  # a fifth of it
    [50, 50, 60, 60],  # nothing
    [20, 0, 30, 4],  # 0.4 of the second true box, its best
    [20, 6, 30, 10],  # as good
]


TRUTH = [[0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 0, 0]]


@pytest.mark.parametrize("pairs_at_once", [1, 12, 1 << 20])
def test_matching(pairs_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is compared at once. The third row of the ground truth is padding."""
    monkeypatch.setattr(matching, "PAIRS_AT_ONCE", pairs_at_once)
    is_truth = paddle.to_tensor([True, True, False])
    match = ANCHOR_MATCHER(tensor(CANDIDATES), tensor(TRUTH), is_truth)
    assert match.labels.tolist() == [
        POSITIVE,
        IGNORED,
        NEGATIVE,
        NEGATIVE,
        POSITIVE,
        POSITIVE,
    ]
    assert match.truth.tolist()[0] == 0
    assert match.truth.tolist()[4:] == [1, 1]


def test_the_later_of_two_true_boxes_gets_their_common_best_candidate() -> None:
    """One candidate, 0.8 of the first and 0.4 of the second: the best of both."""
    truth = tensor([[0, 0, 10, 8], [0, 0, 10, 4]])
    match = ANCHOR_MATCHER(tensor([[0, 0, 10, 10]]), truth, paddle.to_tensor([True, True]))
    assert (match.labels.tolist(), match.truth.tolist()) == ([POSITIVE], [1])


def test_regions_need_half_even_as_the_best() -> None:
    match = REGION_MATCHER(tensor(CANDIDATES), tensor(TRUTH), paddle.to_tensor([True, True, False]))
    assert match.labels.tolist() == [POSITIVE, POSITIVE] + [NEGATIVE] * 4


def test_ignored_candidates_are_never_the_best() -> None:
    """Without the exact candidate, half of the true box is the best that is left."""
    is_candidate = paddle.to_tensor([False] + [True] * 5)
    is_truth = paddle.to_tensor([True, True, False])
    match = ANCHOR_MATCHER(tensor(CANDIDATES), tensor(TRUTH), is_truth, is_candidate)
    assert match.labels.tolist()[:3] == [IGNORED, POSITIVE, NEGATIVE]


def test_matching_equals_the_plain_statement() -> None:
    rng = np.random.default_rng(1)

    def boxes(count: int) -> np.ndarray:
        start = rng.integers(0, 40, (count, 2))
        return np.concatenate([start, start + rng.integers(4, 30, (count, 2))], 1)

    candidates, truth = boxes(300), boxes(20)
    match = ANCHOR_MATCHER(tensor(candidates), tensor(truth), paddle.ones([20], "bool"))
    overlaps = pairwise_iou(tensor(truth), tensor(candidates)).numpy()
    best = overlaps.max(0)
    labels = np.where(best < 0.3, NEGATIVE, np.where(best >= 0.7, POSITIVE, IGNORED))
    found = overlaps.argmax(0)
    for row in range(20):
        if overlaps[row].max() >= 0.3:
            own = overlaps[row] == overlaps[row].max()
            labels[own], found[own] = POSITIVE, row
    np.testing.assert_array_equal(match.labels.numpy(), labels)
    positive = labels == POSITIVE
    np.testing.assert_array_equal(match.truth.numpy()[positive], found[positive])
