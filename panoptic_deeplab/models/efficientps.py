"""EfficientPS (Mohan and Valada, IJCV 2021, https://arxiv.org/abs/2004.02307)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
from paddle import nn

import panoptic_deeplab.models.backbones  # noqa: F401  (importing registers them)
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.conv_norm import PublishedNames, use_instance_norm
from panoptic_deeplab.models.layers import run
from panoptic_deeplab.models.necks import TwoWayFPN
from panoptic_deeplab.models.roi.align import align_regions, image_of
from panoptic_deeplab.models.roi.box_head import BOX_SIZE, BoxHead
from panoptic_deeplab.models.roi.boxes import BoxCoder
from panoptic_deeplab.models.roi.detections import detect
from panoptic_deeplab.models.roi.mask_head import REGION_SIZE, MaskHead
from panoptic_deeplab.models.roi.mask_targets import cut_masks
from panoptic_deeplab.models.roi.proposals import propose
from panoptic_deeplab.models.roi.rpn import Level, RPNHead
from panoptic_deeplab.models.roi.training import (
    Regions,
    Truth,
    box_samples,
    rpn_samples,
    sample_regions,
)
from panoptic_deeplab.models.semantic_dpc import SemanticDPCHead
from panoptic_deeplab.registry import MODELS

STRIDES = (4, 8, 16, 32)

ANSWERS = (
    *("rpn_logits", "rpn_labels", "rpn_weights", "rpn_offsets", "rpn_offset_targets"),
    *("class_logits", "class_labels", "region_weights", "box_offsets", "box_offset_targets"),
    *("mask_logits", "mask_targets", "mask_weights"),
)
"""What the outputs have under `train`."""

Batch = Mapping[str, paddle.Tensor]


@MODELS.add_component
class EfficientPS(PublishedNames):
    """One backbone and pyramid, a semantic head, and a two-stage detector with masks.

    Names of the state dict are those of the authors' checkpoints; the linear layers' weights are
    transposed, as Paddle's are.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        backbone: gives features at strides 4, 8, 16 and 32 and tells their `feat_channels`.
        channels: of the pyramid and of what reads it.
        semantic_channels: of the semantic head's branches.
        box_channels: of the box head's hidden layers.
        separable_fpn: the pyramid's output convolutions are depthwise separable, as the paper
            says; the released code and weights have plain ones.
        legacy_boxes: the released code's closed boxes, x2 and y2 being a box's last pixels and
            its width x2 - x1 + 1: so are `boxes` in the outputs, anchors are rounded, and boxes
            keep a pixel when clipped. False: x2 and y2 are where the next pixel begins, and
            nothing is rounded.
        anchor_scale: side of the square anchor in cells of its level.
        train_proposals: most regions proposed in training, of a level and of an image.
        test_proposals: the same in evaluation.
        rpn_samples: anchors an image that the proposals are learnt from.
        region_samples: regions an image that boxes and masks are learnt from.
        add_truth_to_proposals: learn from the instances' own boxes too.
        proposal_nms_threshold: IoU above which the less likely of two proposals is dropped.
        score_threshold: probability that an instance must exceed.
        nms_threshold: IoU above which the less likely of two instances of a class is dropped.
        max_instances: most in an image.
        instance_norm: instead of batch norm, for trainings from nothing with few images a step.
            Published weights do not fit such a network.
        recompute: keep fewer activations in training and compute them again in the backward pass.
    """

    output_names = ("semantic", "boxes", "scores", "classes", "masks", "counts")
    training_output_names = ("semantic", *(f"train.{name}" for name in ANSWERS))
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
        self.rpn_head = RPNHead(channels, STRIDES, anchor_scale, legacy_boxes)
        self.bbox_head = BoxHead(things, channels, box_channels)
        self.mask_head = MaskHead(things, channels)
        self.semantic_head = SemanticDPCHead(num_classes, channels, semantic_channels)
        if instance_norm:
            use_instance_norm(self)

        self.thing_ids = tuple(thing_ids)
        self.closed = 1.0 if legacy_boxes else 0.0
        self.box_coder = BoxCoder((0.1, 0.1, 0.2, 0.2))
        self.train_proposals = train_proposals
        self.test_proposals = test_proposals
        self.rpn_samples = rpn_samples
        self.region_samples = region_samples
        self.add_truth_to_proposals = add_truth_to_proposals
        self.proposal_nms_threshold = proposal_nms_threshold
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.max_instances = max_instances
        self.recompute = recompute

    def forward(self, images: paddle.Tensor, targets: Batch | None = None) -> dict[str, Any]:
        """[N, 3, H, W] -> `semantic` logits [N, C, H / 4, W / 4] (rounded up) and

        - without targets the instances of all images, one after the other and the likeliest first:
          `boxes` [K, 4] (x1, y1, x2, y2) in pixels of the input (see `legacy_boxes`), `scores`
          [K] in 0..1, `classes` [K] class indices, `masks` [K, 28, 28] logits over the box, and
          `counts` [N], how many of the K are of each image;
        - with targets (those of `InstanceTargets`) `train`: what `EfficientPSLoss` compares.
        """
        recompute = self.recompute and self.training
        features = run(self.backbone, images, recompute=recompute)
        levels = run(self.neck, features, recompute=recompute)
        outputs = {"semantic": self.semantic_head(levels)}
        rpn = self.rpn_head(levels)
        if targets is None:
            return outputs | self._instances(levels, rpn, _whole(images))
        return outputs | {"train": self._answers(levels, rpn, targets, _bounds(images, targets))}

    def _propose(
        self, rpn: Sequence[Level], bounds: paddle.Tensor, count: int
    ) -> list[paddle.Tensor]:
        return propose(
            rpn,
            bounds,
            count=count,
            nms_threshold=self.proposal_nms_threshold,
            least=self.closed,
        )

    def _answers(
        self,
        levels: Sequence[paddle.Tensor],
        rpn: Sequence[Level],
        targets: Batch,
        bounds: paddle.Tensor,
    ) -> dict[str, paddle.Tensor]:
        """What the three heads say of sampled anchors and regions, and what they should."""
        truth = Truth(targets["boxes"], targets["classes"].astype("int64"))
        answers = rpn_samples(rpn, truth, bounds, self.rpn_samples)
        proposals = self._propose(rpn, bounds, self.train_proposals)
        regions = sample_regions(proposals, truth, self.region_samples, self.add_truth_to_proposals)
        features = align_regions(levels, STRIDES, regions.boxes, regions.counts, BOX_SIZE)
        answers |= box_samples(*self.bbox_head(features), regions, self.box_coder)
        return answers | self._mask_answers(levels, regions, targets["instances"])

    def _mask_answers(
        self, levels: Sequence[paddle.Tensor], regions: Regions, instances: paddle.Tensor
    ) -> dict[str, paddle.Tensor]:
        """`mask_logits` and `mask_targets` [P, 28, 28] of the positive regions, `mask_weights` [P].

        Without a positive region it is the first one, at weight 0: so the head takes part.
        """
        positive = paddle.nonzero(regions.labels > 0).flatten()
        weights = paddle.ones([positive.shape[0]])
        if positive.shape[0] == 0:
            positive, weights = paddle.zeros([1], "int64"), paddle.zeros([1])
        boxes, labels = regions.boxes.gather(positive), regions.labels.gather(positive)
        image = image_of(regions.counts).gather(positive)
        counts = paddle.bincount(image, minlength=len(regions.counts)).tolist()
        features = align_regions(levels, STRIDES, boxes, counts, REGION_SIZE)
        slots = regions.truth.gather(positive) + 1
        return {
            "mask_logits": self.mask_head(features, labels),
            "mask_targets": cut_masks(instances, image, slots, boxes),
            "mask_weights": weights,
        }

    def _instances(
        self, levels: Sequence[paddle.Tensor], rpn: Sequence[Level], bounds: paddle.Tensor
    ) -> dict[str, paddle.Tensor]:
        """What is found in each image."""
        proposals = self._propose(rpn, bounds, self.test_proposals)
        counts = [boxes.shape[0] for boxes in proposals]
        features = align_regions(levels, STRIDES, paddle.concat(proposals), counts, BOX_SIZE)
        found = detect(
            proposals,
            *self.bbox_head(features),
            bounds,
            coder=self.box_coder,
            score_threshold=self.score_threshold,
            nms_threshold=self.nms_threshold,
            most=self.max_instances,
            least=self.closed,
        )
        features = align_regions(levels, STRIDES, found.boxes, found.counts, REGION_SIZE)
        class_of = paddle.to_tensor([0, *self.thing_ids], "int64")
        return {
            "boxes": found.boxes - paddle.to_tensor([0, 0, self.closed, self.closed], "float32"),
            "scores": found.scores,
            "classes": class_of.gather(found.labels),
            "masks": self._masks(features, found.labels),
            "counts": paddle.to_tensor(found.counts, "int64"),
        }

    def _masks(self, regions: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """The mask head's logits, none for no region."""
        if regions.shape[0] == 0:
            return paddle.zeros([0, 2 * REGION_SIZE, 2 * REGION_SIZE])
        return self.mask_head(regions, labels)


def _whole(images: paddle.Tensor) -> paddle.Tensor:
    """[N, 4]: each image as a box."""
    height, width = images.shape[2:]
    return paddle.to_tensor([[0, 0, width, height]] * images.shape[0], "float32")


def _bounds(images: paddle.Tensor, targets: Batch) -> paddle.Tensor:
    """[N, 4]: the part of each image that is no padding."""
    if "valid_box" not in targets:
        return _whole(images)
    top, left, bottom, right = targets["valid_box"].astype("float32").unbind(1)
    return paddle.stack([left, top, right, bottom], 1)
