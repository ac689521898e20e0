"""EfficientPS (Mohan and Valada, IJCV 2021, https://arxiv.org/abs/2004.02307)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
from paddle import nn

import panoptic_deeplab.models.backbones  # noqa: F401  (importing registers them)
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.conv_norm import SeparableConvNorm, use_instance_norm
from panoptic_deeplab.models.layers import run
from panoptic_deeplab.models.necks import TwoWayFPN
from panoptic_deeplab.models.published_names import PublishedNames
from panoptic_deeplab.models.roi.anchors import middle_anchors, rounded_anchors
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
from panoptic_deeplab.models.roi.mask_targets import cut_masks
from panoptic_deeplab.models.roi.rpn import RPNHead
from panoptic_deeplab.models.semantic_dpc import SemanticDPCHead
from panoptic_deeplab.registry import MODELS

STRIDES = (4, 8, 16, 32)


@MODELS.add_component
class EfficientPS(PublishedNames):
    """One backbone and pyramid, a semantic head, and a two-stage detector with masks.

    Names of the state dict are those of the authors' checkpoints; the linear layers' weights are
    transposed, as Paddle's are.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        backbone: returns features at strides 4, 8, 16 and 32 and has their `feat_channels`.
        channels: of the pyramid and of the convolutional heads.
        semantic_channels: of the semantic head's branches.
        box_channels: of the box head's hidden layers.
        separable_fpn: the pyramid's output convolutions are depthwise separable, as the paper
            says; the released code and weights have plain ones.
        legacy_boxes: as `InstanceSettings`; anchors are rounded too.
        anchor_scale: side of the square anchor in strides of its level.
        train_proposals: as `proposals` of `TrainingSettings`; as many anchors are looked at in each
            level.
        test_proposals: likewise, of `InstanceSettings`.
        rpn_samples: as `TrainingSettings` or `InstanceSettings`, and so the others up to
            `max_instances`.
        instance_norm: instead of batch norm, to train from random weights with few images a step.
            Published weights do not fit such a network.
        recompute: activation checkpointing in training.
    """

    output_names = ("semantic", *INSTANCE_OUTPUTS)
    network_outputs = ("semantic", *stage_outputs(STRIDES, STRIDES))
    training_output_names = ("semantic", *(f"train.{name}" for name in TRAINING_OUTPUTS))
    needed_targets = ("boxes", "classes", "instances")

    def __init__(
        self,
        num_classes: int,
        thing_ids: Sequence[int],
        backbone: nn.Layer,
        channels: int = 256,
        semantic_channels: int = 128,
        box_channels: int = 1024,
        separable_fpn: bool = False,
        legacy_boxes: bool = True,
        anchor_scale: float = 8,
        train_proposals: int = 2000,
        test_proposals: int = 1000,
        rpn_samples: int = 256,
        region_samples: int = 256,
        add_truth_to_proposals: bool = True,
        proposal_nms_threshold: float = 0.7,
        score_threshold: float = 0.5,
        nms_threshold: float = 0.5,
        max_instances: int = 100,
        instance_norm: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if not thing_ids:
            raise UsageError("EfficientPS needs classes that are things; the data set has none")
        things = len(thing_ids)
        self.backbone = backbone
        self.neck = TwoWayFPN(backbone.feat_channels, channels, separable_fpn)
        self.rpn_head = RPNHead(channels)
        self.bbox_head = BoxHead(things, channels, box_channels)
        self.mask_head = MaskHead(things, channels, SeparableConvNorm)
        self.semantic_head = SemanticDPCHead(num_classes, channels, semantic_channels)
        if instance_norm:
            use_instance_norm(self)

        anchors = rounded_anchors if legacy_boxes else middle_anchors
        self.find_instances = TwoStageInstances(
            self.bbox_head,
            self.mask_head,
            thing_ids,
            [anchors(stride, anchor_scale) for stride in STRIDES],
            STRIDES,
            STRIDES,
            bin_samples=2,
            bin_shift=0.5,
            candidates=test_proposals,
            proposals=test_proposals,
            proposal_nms_threshold=proposal_nms_threshold,
            score_threshold=score_threshold,
            nms_threshold=nms_threshold,
            max_instances=max_instances,
            legacy_boxes=legacy_boxes,
        )
        self.detector = TwoStageDetector(
            self.rpn_head,
            self.find_instances,
            cut_masks,
            TrainingSettings(
                candidates=train_proposals,
                proposals=train_proposals,
                rpn_samples=rpn_samples,
                border_anchors=False,
                region_samples=region_samples,
                add_truth_to_proposals=add_truth_to_proposals,
            ),
        )
        self.recompute = recompute

    def forward(
        self, images: paddle.Tensor, targets: Mapping[str, paddle.Tensor] | None = None
    ) -> dict[str, Any]:
        """[N, 3, H, W] -> `semantic` logits [N, C, H / 4, W / 4] (rounded up) and

        - without targets the instances that `TwoStageInstances` finds;
        - with targets (of `InstanceTargets`) `train`, what `EfficientPSLoss` compares.
        """
        if targets is None:
            return self.find_instances(self.network(images))
        levels = self._levels(images)
        return {
            "semantic": self.semantic_head(levels),
            "train": self.detector.training_outputs(levels, images, targets),
        }

    def network(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """[N, 3, H, W] -> `semantic` and what `TwoStageInstances` needs."""
        levels = self._levels(images)
        return {"semantic": self.semantic_head(levels), **self.detector.outputs(levels, images)}

    def _levels(self, images: paddle.Tensor) -> Sequence[paddle.Tensor]:
        """The maps [N, channels, h, w] of the pyramid."""
        recompute = self.recompute and self.training
        features = run(self.backbone, images, recompute=recompute)
        return run(self.neck, features, recompute=recompute)
