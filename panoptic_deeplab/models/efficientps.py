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
from panoptic_deeplab.models.roi.align import RoIAlign
from panoptic_deeplab.models.roi.anchors import middle_anchors, rounded_anchors
from panoptic_deeplab.models.roi.box_head import BoxHead
from panoptic_deeplab.models.roi.detector import (
    INSTANCE_OUTPUTS,
    TRAINING_OUTPUTS,
    DetectorSettings,
    TwoStageDetector,
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
        legacy_boxes: as `DetectorSettings`; anchors are rounded too.
        anchor_scale: side of the square anchor in strides of its level.
        train_proposals: as `DetectorSettings`, and so the others up to `max_instances`; as many
            anchors are looked at in each level.
        instance_norm: instead of batch norm, to train from random weights with few images a step.
            Published weights do not fit such a network.
        recompute: activation checkpointing in training.
    """

    output_names = ("semantic", *INSTANCE_OUTPUTS)
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
        anchors = rounded_anchors if legacy_boxes else middle_anchors
        self.rpn_head = RPNHead(channels, STRIDES, anchor_scale, anchors)
        self.bbox_head = BoxHead(things, channels, box_channels)
        self.mask_head = MaskHead(things, channels, SeparableConvNorm)
        self.semantic_head = SemanticDPCHead(num_classes, channels, semantic_channels)
        if instance_norm:
            use_instance_norm(self)

        settings = DetectorSettings(
            train_candidates=train_proposals,
            train_proposals=train_proposals,
            test_candidates=test_proposals,
            test_proposals=test_proposals,
            rpn_samples=rpn_samples,
            border_anchors=False,
            region_samples=region_samples,
            add_truth_to_proposals=add_truth_to_proposals,
            proposal_nms_threshold=proposal_nms_threshold,
            score_threshold=score_threshold,
            nms_threshold=nms_threshold,
            class_agnostic_nms=False,
            max_instances=max_instances,
            legacy_boxes=legacy_boxes,
        )
        self.detector = TwoStageDetector(
            self.rpn_head,
            self.bbox_head,
            self.mask_head,
            RoIAlign(STRIDES, samples=2, shift=0.5),
            cut_masks,
            thing_ids,
            settings,
        )
        self.recompute = recompute

    def forward(
        self, images: paddle.Tensor, targets: Mapping[str, paddle.Tensor] | None = None
    ) -> dict[str, Any]:
        """[N, 3, H, W] -> `semantic` logits [N, C, H / 4, W / 4] (rounded up) and

        - without targets the instances that `TwoStageDetector.instances` finds, masks of 28 x 28;
        - with targets (of `InstanceTargets`) `train`, what `EfficientPSLoss` compares.
        """
        recompute = self.recompute and self.training
        features = run(self.backbone, images, recompute=recompute)
        levels = run(self.neck, features, recompute=recompute)
        outputs = {"semantic": self.semantic_head(levels)}
        if targets is None:
            return outputs | self.detector.instances(levels, images)
        return outputs | {"train": self.detector.training_outputs(levels, images, targets)}
