"""The two-stage detector in a network that is not EfficientPS."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from panoptic_deeplab.models.roi.anchors import corner_anchors
from panoptic_deeplab.models.roi.box_head import BoxHead
from panoptic_deeplab.models.roi.detector import (
    TRAINING_OUTPUTS,
    TrainingSettings,
    TwoStageDetector,
)
from panoptic_deeplab.models.roi.instances import (
    INSTANCE_OUTPUTS,
    TwoStageInstances,
    stage_outputs,
)
from panoptic_deeplab.models.roi.mask_head import MaskHead
from panoptic_deeplab.models.roi.mask_targets import align_masks
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
    rpn_head = RPNHead(8)
    find_instances = TwoStageInstances(
        BoxHead(len(THINGS), 8, 16, background_last=True),
        MaskHead(len(THINGS), 8, plain_convolution, background=False),
        THINGS,
        [corner_anchors(stride, 4) for stride in STRIDES],
        STRIDES,
        STRIDES[:4],
        candidates=64,
        proposals=32,
        score_threshold=0.0,
        class_agnostic_nms=True,
        max_instances=5,
    )
    settings = TrainingSettings(
        candidates=64,
        proposals=32,
        rpn_samples=64,
        border_anchors=True,
        region_samples=16,
        add_truth_to_proposals=True,
    )
    return TwoStageDetector(rpn_head, find_instances, align_masks, settings)


def instances(
    detector: TwoStageDetector, levels: list[paddle.Tensor], images: paddle.Tensor
) -> dict[str, paddle.Tensor]:
    outputs = detector.outputs(levels, images)
    assert tuple(outputs) == stage_outputs(STRIDES, STRIDES[:4])
    return detector.find_instances(outputs)


@pytest.fixture
def levels() -> list[paddle.Tensor]:
    """A pyramid over two images of 64 x 96."""
    return [paddle.rand([2, 8, -(-SIZE[0] // s), -(-SIZE[1] // s)]) for s in STRIDES]


def test_instances_of_five_levels(detector: TwoStageDetector, levels: list[paddle.Tensor]) -> None:
    with paddle.no_grad():
        found = instances(detector, levels, paddle.ones([2, 3, *SIZE]))
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
    outputs = detector.training_outputs(levels, paddle.ones([2, 3, *SIZE]), targets)
    assert tuple(outputs) == TRAINING_OUTPUTS
    assert int((outputs["class_labels"] == 2).sum()) >= 1, "the second thing class"
    predictions = ("rpn_logits", "rpn_offsets", "class_logits", "box_offsets", "mask_logits")
    sum(outputs[name].sum() for name in predictions).backward()
    for head in (detector.rpn_head, *detector.find_instances.heads.values()):
        assert all(parameter.grad is not None for parameter in head.parameters())


def test_no_instance_reaches_into_the_padding(
    detector: TwoStageDetector, levels: list[paddle.Tensor]
) -> None:
    images = paddle.ones([2, 3, *SIZE])
    images[1, :, 40:] = 0
    images[1, :, :, :16] = 0
    with paddle.no_grad():
        found = instances(detector, levels, images)
    first, second = np.split(found["boxes"].numpy(), [int(found["counts"][0])])
    assert first[:, 3].max() > 40
    assert np.all(second >= [16, 0, 16, 0])
    assert np.all(second <= [96, 40, 96, 40])


def test_background_may_be_the_last_class_and_have_no_box_and_no_mask() -> None:
    """The same weights in both orders give the same logits, boxes and masks."""
    first, last = (BoxHead(2, 4, 8, background_last=value) for value in (False, True))
    state = {name: value.numpy() for name, value in first.state_dict().items()}
    for kind in ("weight", "bias"):
        state[f"fc_cls.{kind}"] = np.roll(state[f"fc_cls.{kind}"], -1, -1)
        state[f"fc_reg.{kind}"] = state[f"fc_reg.{kind}"][..., 4:]
    last.set_state_dict(state)
    regions = paddle.rand([3, 4, 7, 7])
    (logits, offsets), (logits_last, offsets_last) = first(regions), last(regions)
    np.testing.assert_allclose(logits.numpy(), logits_last.numpy(), rtol=1e-5)
    np.testing.assert_allclose(offsets[:, 1:].numpy(), offsets_last[:, 1:].numpy(), rtol=1e-5)
    assert not offsets_last[:, 0].numpy().any()

    with_one, without = (MaskHead(2, 4, plain_convolution, background=v) for v in (True, False))
    masks = {name: value.numpy() for name, value in with_one.state_dict().items()}
    masks |= {name: value[1:] for name, value in masks.items() if name.startswith("conv_logits")}
    without.set_state_dict(masks)
    regions, labels = paddle.rand([2, 4, 14, 14]), paddle.to_tensor([2, 1])
    np.testing.assert_allclose(
        with_one(regions, labels).numpy(), without(regions, labels).numpy(), rtol=1e-5
    )
