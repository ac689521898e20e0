"""Samples of positives and negatives."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.models.roi.matching import IGNORED, NEGATIVE, POSITIVE
from panoptic_deeplab.models.roi.sampling import sample


@pytest.mark.parametrize(
    ("positives", "negatives", "chosen"),
    [
        (100, 1000, (8, 24)),
        (3, 1000, (3, 29)),
        (0, 1000, (0, 32)),
        (100, 10, (8, 10)),
        (5, 0, (5, 0)),
        (0, 0, (0, 0)),
        (2, 3, (2, 3)),
    ],
)
def test_samples_are_a_quarter_positive_at_most(
    positives: int, negatives: int, chosen: tuple[int, int]
) -> None:
    labels = np.full(max(positives + negatives + 7, 4), IGNORED)
    labels[:positives], labels[positives : positives + negatives] = POSITIVE, NEGATIVE
    paddle.seed(0)
    indices, is_chosen = (t.numpy() for t in sample(paddle.to_tensor(labels), 32, 0.25))
    assert len(indices) == min(32, len(labels))
    found = labels[indices[is_chosen]]
    assert (np.sum(found == POSITIVE), np.sum(found == NEGATIVE)) == chosen
    assert len(set(indices)) == len(indices)
    assert np.all(found[: chosen[0]] == POSITIVE), "positives first"


def test_samples_follow_from_the_seed() -> None:
    labels = paddle.to_tensor([POSITIVE] * 50 + [NEGATIVE] * 500)
    drawn = []
    for seed in (1, 1, 2):
        paddle.seed(seed)
        drawn.append(sample(labels, 64, 0.25).indices.tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_every_candidate_is_sampled_equally_often() -> None:
    """Eight of sixteen, four of eight positive: each half the time; 400 draws, 5 deviations."""
    labels = paddle.to_tensor([POSITIVE] * 8 + [NEGATIVE] * 8)
    paddle.seed(0)
    counts = np.zeros(16)
    for _ in range(400):
        counts[sample(labels, 8, 0.5).indices.numpy()] += 1
    assert np.all(np.abs(counts - 200) < 50)
