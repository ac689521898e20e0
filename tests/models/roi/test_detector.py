"""The two-stage detector in a network that is not EfficientPS."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from panoptic_deeplab.models.roi.align import RoIAlign
from panoptic_deeplab.models.roi.box_head import BoxHead
from panoptic_deeplab.models.roi.detector import (
    INSTANCE_OUTPUTS,
    TRAINING_OUTPUTS,
    DetectorSettings,
    TwoStageDetector,
)
from panoptic_deeplab.models.roi.mask_head import MaskHead
from panoptic_deeplab.models.roi.rpn import RPNHead

STRIDES = (4, 8, 16, 32, 64)
THINGS = (3, 7)
SIZE = (64, 96)


def plain_convolution(in_channels: int, out_channels: int) -> nn.Layer:
    return nn.Sequential(nn.Conv2D(in_channels, out_channels, 3, padding=1), nn.ReLU())


@pytest.fixture
def detector() -> TwoStageDetector:
    """Proposals from five levels, regions from four of them, plain convolutions for the masks."""
    paddle.seed(0)
    settings = DetectorSettings(
        train_proposals=32,
        test_proposals=32,
        rpn_samples=64,
        region_samples=16,
        add_truth_to_proposals=True,
        proposal_nms_threshold=0.7,
        score_threshold=0.0,
        nms_threshold=0.5,
        max_instances=5,
        legacy_boxes=False,
    )
    return TwoStageDetector(
        RPNHead(8, STRIDES, anchor_scale=4, legacy=False),
        BoxHead(len(THINGS), 8, 16),
        MaskHead(len(THINGS), 8, plain_convolution),
        RoIAlign(STRIDES[:4]),
        THINGS,
        settings,
    )


@pytest.fixture
def levels() -> list[paddle.Tensor]:
    """A pyramid over two images of 64 x 96."""
    return [paddle.rand([2, 8, -(-SIZE[0] // s), -(-SIZE[1] // s)]) for s in STRIDES]


def test_instances_of_five_levels(detector: TwoStageDetector, levels: list[paddle.Tensor]) -> None:
    with paddle.no_grad():
        found = detector.instances(levels, SIZE)
    assert tuple(found) == INSTANCE_OUTPUTS
    assert found["counts"].tolist() == [5, 5]
    assert found["masks"].shape == [10, 28, 28]
    assert set(found["classes"].tolist()) <= set(THINGS)
    boxes = found["boxes"].numpy()
    assert np.all(boxes >= 0)
    assert np.all(boxes[:, 2:] <= [96, 64])


def test_every_head_learns_from_five_levels(
    detector: TwoStageDetector, levels: list[paddle.Tensor]
) -> None:
    instances = np.zeros((2, *SIZE), np.int32)
    instances[0, 8:40, 16:64] = 1
    targets = {
        "boxes": paddle.to_tensor([[[16.0, 8, 64, 40]], [[0.0, 0, 0, 0]]]),
        "classes": paddle.to_tensor([[2], [0]]),
        "instances": paddle.to_tensor(instances),
    }
    outputs = detector.training_outputs(levels, SIZE, targets)
    assert tuple(outputs) == TRAINING_OUTPUTS
    assert int((outputs["class_labels"] == 2).sum()) >= 1, "the second thing class"
    predictions = ("rpn_logits", "rpn_offsets", "class_logits", "box_offsets", "mask_logits")
    sum(outputs[name].sum() for name in predictions).backward()
    for head in (detector.rpn_head, detector.box_head, detector.mask_head):
        assert all(parameter.grad is not None for parameter in head.parameters())
