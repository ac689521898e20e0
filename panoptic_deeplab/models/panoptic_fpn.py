"""Panoptic FPN (Kirillov et al., CVPR 2019, https://arxiv.org/abs/1901.02446)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
from paddle import nn

import panoptic_deeplab.models.backbones  # noqa: F401  (importing registers them)
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.layers import run
from panoptic_deeplab.models.necks import FPN
from panoptic_deeplab.models.published_names import PublishedNames
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
from panoptic_deeplab.models.semantic_fpn import SemanticFPNHead
from panoptic_deeplab.registry import MODELS

STRIDES = (4, 8, 16, 32, 64)
"""Of the pyramid; the coarsest level is for proposals alone."""


@MODELS.add_component
class PanopticFPN(PublishedNames):
    """Mask R-CNN with a semantic head on the same feature pyramid.

    The semantic head tells the classes of stuff apart and has one more channel, the last, for all
    things. Names of the state dict, and the order of the classes in its weights (background last),
    are mmdetection's; the linear layers' weights are transposed, as Paddle's are.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        backbone: returns features at strides 4, 8, 16 and 32 and has their `feat_channels`.
        channels: of the pyramid and of the convolutional heads.
        semantic_channels: of the semantic head's branches, a multiple of 32.
        box_channels: of the box head's hidden layers.
        anchor_scale: side of the square anchor in strides of its level.
        train_candidates: as `candidates` of `TrainingSettings`, and `train_proposals` likewise.
        test_candidates: as `candidates` of `InstanceSettings`, and `test_proposals` likewise.
        rpn_samples: as `TrainingSettings` or `InstanceSettings`, and so the others up to
            `max_instances`.
        recompute: activation checkpointing in training.
    """

    output_names = ("semantic", *INSTANCE_OUTPUTS)
    network_outputs = ("semantic", *stage_outputs(STRIDES, STRIDES[:-1]))
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
        anchor_scale: float = 8,
        train_candidates: int = 2000,
        train_proposals: int = 1000,
        test_candidates: int = 1000,
        test_proposals: int = 1000,
        rpn_samples: int = 256,
        region_samples: int = 512,
        add_truth_to_proposals: bool = True,
        proposal_nms_threshold: float = 0.7,
        score_threshold: float = 0.5,
        nms_threshold: float = 0.5,
        class_agnostic_nms: bool = False,
        max_instances: int = 100,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if not thing_ids:
            raise UsageError("PanopticFPN needs classes that are things; the data set has none")
        things = len(thing_ids)
        self.backbone = backbone
        self.neck = FPN(backbone.feat_channels, channels)
        self.rpn_head = RPNHead(channels)
        self.roi_head = nn.LayerDict(
            {
                "bbox_head": BoxHead(things, channels, box_channels, background_last=True),
                "mask_head": MaskHead(things, channels, _convolution, background=False),
            }
        )
        stuff_and_things = num_classes - things + 1
        self.semantic_head = SemanticFPNHead(stuff_and_things, channels, semantic_channels)

        self.find_instances = TwoStageInstances(
            self.roi_head["bbox_head"],
            self.roi_head["mask_head"],
            thing_ids,
            [corner_anchors(stride, anchor_scale) for stride in STRIDES],
            STRIDES,
            STRIDES[:-1],
            candidates=test_candidates,
            proposals=test_proposals,
            proposal_nms_threshold=proposal_nms_threshold,
            score_threshold=score_threshold,
            nms_threshold=nms_threshold,
            class_agnostic_nms=class_agnostic_nms,
            max_instances=max_instances,
        )
        self.detector = TwoStageDetector(
            self.rpn_head,
            self.find_instances,
            align_masks,
            TrainingSettings(
                candidates=train_candidates,
                proposals=train_proposals,
                rpn_samples=rpn_samples,
                border_anchors=True,
                region_samples=region_samples,
                add_truth_to_proposals=add_truth_to_proposals,
            ),
        )
        self.recompute = recompute

    def forward(
        self, images: paddle.Tensor, targets: Mapping[str, paddle.Tensor] | None = None
    ) -> dict[str, Any]:
        """[N, 3, H, W] -> `semantic` logits [N, stuff + 1, H / 4, W / 4] (rounded up) and

        - without targets the instances that `TwoStageInstances` finds;
        - with targets (of `InstanceTargets`) `train`, what `PanopticFPNLoss` compares.
        """
        if targets is None:
            return self.find_instances(self.network(images))
        levels = self._levels(images)
        return {
            "semantic": self.semantic_head(levels[:-1]),
            "train": self.detector.training_outputs(levels, images, targets),
        }

    def network(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """[N, 3, H, W] -> `semantic` and what `TwoStageInstances` needs."""
        levels = self._levels(images)
        semantic = self.semantic_head(levels[:-1])
        return {"semantic": semantic, **self.detector.outputs(levels, images)}

    def _levels(self, images: paddle.Tensor) -> Sequence[paddle.Tensor]:
        """The maps [N, channels, h, w] of the pyramid."""
        recompute = self.recompute and self.training
        features = run(self.backbone, images, recompute=recompute)
        return run(self.neck, features, recompute=recompute)


def _convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """One of the mask head's."""
    return nn.Sequential(
        ("conv", nn.Conv2D(in_channels, out_channels, 3, padding=1)), ("activate", nn.ReLU())
    )
