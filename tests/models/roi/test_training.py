"""What the heads learn from."""

from __future__ import annotations

import numpy as np
import paddle

from panoptic_deeplab.models.roi.anchors import inside
from panoptic_deeplab.models.roi.rpn import Level
from panoptic_deeplab.models.roi.training import (
    GroundTruth,
    rpn_samples,
    sample_regions,
)


def tensor(values: object) -> paddle.Tensor:
    return paddle.to_tensor(np.array(values, np.float32))


def test_anchors_learn_the_ground_truth() -> None:
    """Of three anchors one is the true box, one is background, one crosses the border."""
    level = Level(
        tensor([[0, 0, 10, 10], [20, 0, 30, 10], [-5, 0, 10, 10]]),
        tensor([[1, 2, 3]]),
        paddle.ones([1, 3, 4]),
    )
    truth = GroundTruth(tensor([[[0, 0, 10, 10], [0, 0, 0, 0]]]), paddle.to_tensor([[3, 0]]))
    samples = rpn_samples([level], truth, tensor([[0, 0, 40, 40]]), 256, inside)
    assert samples["rpn_labels"].tolist() == [1, 0, 0]
    assert samples["rpn_weights"].tolist() == [1, 1, 0]
    assert samples["rpn_logits"].tolist()[:2] == [1, 2]
    assert samples["rpn_offset_targets"].abs().sum() == 0


def test_regions_learn_class_and_box() -> None:
    """The true box is a candidate too where asked for; padding never is."""
    truth = GroundTruth(tensor([[[0, 0, 0, 0], [0, 0, 10, 10]]]), paddle.to_tensor([[0, 4]]))
    proposals = [tensor([[0, 0, 10, 8], [50, 50, 60, 60]])]
    with_truth = sample_regions(proposals, truth, 8, add_truth=True)
    assert with_truth.labels.tolist() == [4, 4, 0, 0]
    assert with_truth.weights.tolist() == [1, 1, 1, 0]
    assert with_truth.truth.tolist()[:2] == [1, 1]
    assert with_truth.target_boxes.tolist()[:2] == [[0, 0, 10, 10]] * 2
    without = sample_regions(proposals, truth, 8, add_truth=False)
    assert without.labels.tolist() == [4, 0]
    assert without.counts == [2]
