"""The two-stage detector (He et al., ICCV 2017, https://arxiv.org/abs/1703.06870)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import paddle
from paddle import nn

from panoptic_deeplab.models.roi.align import RoIAlign, image_of
from panoptic_deeplab.models.roi.anchors import inside, touching
from panoptic_deeplab.models.roi.bounds import shown_boxes
from panoptic_deeplab.models.roi.boxes import BoxCoder
from panoptic_deeplab.models.roi.detections import detect
from panoptic_deeplab.models.roi.mask_targets import MaskTargets
from panoptic_deeplab.models.roi.proposals import propose
from panoptic_deeplab.models.roi.rpn import Level
from panoptic_deeplab.models.roi.training import (
    GroundTruth,
    Regions,
    box_samples,
    rpn_samples,
    sample_regions,
)

Features = Sequence[paddle.Tensor]
"""Maps [N, C, h, w] of a feature pyramid, fine to coarse."""

INSTANCE_OUTPUTS = ("boxes", "scores", "classes", "masks", "counts")
"""Names of what `TwoStageDetector.instances` returns."""

TRAINING_OUTPUTS = (
    *("rpn_logits", "rpn_labels", "rpn_weights", "rpn_offsets", "rpn_offset_targets"),
    *("class_logits", "class_labels", "region_weights", "box_offsets", "box_offset_targets"),
    *("mask_logits", "mask_targets", "mask_weights"),
)
"""Names of what `TwoStageDetector.training_outputs` returns."""


@dataclass(frozen=True)
class DetectorSettings:
    """How many regions are looked at, and which instances are kept.

    Attributes:
        train_candidates: anchors that are looked at in each level in training, before those that
            overlap are dropped.
        train_proposals: maximum number of proposals per image in training.
        test_candidates: as `train_candidates`, in evaluation.
        test_proposals: as `train_proposals`, in evaluation.
        rpn_samples: anchors per image that the region proposal network learns from.
        border_anchors: whether anchors that leave the image are among them.
        region_samples: regions per image that the box and mask heads learn from.
        add_truth_to_proposals: whether the boxes of the ground truth are among the regions that
            are sampled.
        proposal_nms_threshold: IoU above which the lower-scoring of two proposals is dropped.
        score_threshold: probability that an instance must exceed, 0..1.
        nms_threshold: IoU above which the lower-scoring of two instances is dropped.
        class_agnostic_nms: of any two; else of two of a class.
        max_instances: maximum number of instances per image.
        legacy_boxes: boxes are closed, as in the released EfficientPS: x2 and y2 of the `boxes` in
            the outputs are a box's last pixels, its width is x2 - x1 + 1, and clipped boxes keep a
            pixel. False: x2 and y2 are where the next pixel begins.
    """

    train_candidates: int
    train_proposals: int
    test_candidates: int
    test_proposals: int
    rpn_samples: int
    border_anchors: bool
    region_samples: int
    add_truth_to_proposals: bool
    proposal_nms_threshold: float
    score_threshold: float
    nms_threshold: float
    class_agnostic_nms: bool
    max_instances: int
    legacy_boxes: bool


class TwoStageDetector:
    """Region proposals, then a class, a box and a mask for each.

    No layer: it runs the heads of the network that holds it, which stay the network's own sublayers
    and keep their names in its state dict. T is the number of thing classes.

    Args:
        rpn_head: levels -> one `Level` for each.
        box_head: features [R, C, s, s] of regions, s its `region_size`, -> class logits [R, T + 1],
            background first, and box offsets [R, T + 1, 4], both float32.
        mask_head: features [R, C, s, s] of regions and their labels [R], 1..T, -> mask logits
            [R, m, m] in float32, m its `mask_size`.
        align: reads the features of regions from the levels.
        mask_targets: cuts the masks of regions from the map of all instances.
        thing_ids: class indices of the things.
        settings: numbers of regions and thresholds.
    """

    def __init__(
        self,
        rpn_head: nn.Layer,
        box_head: nn.Layer,
        mask_head: nn.Layer,
        align: RoIAlign,
        mask_targets: MaskTargets,
        thing_ids: Sequence[int],
        settings: DetectorSettings,
    ) -> None:
        self.rpn_head = rpn_head
        self.box_head = box_head
        self.mask_head = mask_head
        self.align = align
        self.mask_targets = mask_targets
        self.thing_ids = tuple(thing_ids)
        self.settings = settings
        self.box_coder = BoxCoder((0.1, 0.1, 0.2, 0.2))
        self.last_pixel = 1.0 if settings.legacy_boxes else 0.0

    def instances(self, levels: Features, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """Find the instances of a batch, image after image, the highest-scoring first in each.

        Args:
            levels: of the feature pyramid.
            images: [N, C, H, W], 0 in their padding, which no instance reaches into.

        Returns:
            `boxes` [K, 4] (x1, y1, x2, y2) in pixels of the input (see `legacy_boxes`), `scores`
            [K] in 0..1, `classes` [K] class indices, `masks` [K, m, m] logits over the box, and
            `counts` [N], how many of the K are in each image.
        """
        settings = self.settings
        bounds = shown_boxes(images)
        proposals = self._propose(
            self.rpn_head(levels), bounds, settings.test_candidates, settings.test_proposals
        )
        counts = [len(boxes) for boxes in proposals]
        features = self.align(levels, paddle.concat(proposals), counts, self.box_head.region_size)
        found = detect(
            proposals,
            *self.box_head(features),
            bounds,
            coder=self.box_coder,
            score_threshold=settings.score_threshold,
            nms_threshold=settings.nms_threshold,
            class_agnostic_nms=settings.class_agnostic_nms,
            max_instances=settings.max_instances,
            min_side=self.last_pixel,
        )
        class_of = paddle.to_tensor([0, *self.thing_ids], "int64")
        last_pixel = paddle.to_tensor([0, 0, self.last_pixel, self.last_pixel], "float32")
        return {
            "boxes": found.boxes - last_pixel,
            "scores": found.scores,
            "classes": class_of.gather(found.labels),
            "masks": self._masks(levels, found.boxes, found.labels, found.counts),
            "counts": paddle.to_tensor(found.counts, "int64"),
        }

    def training_outputs(
        self, levels: Features, images: paddle.Tensor, targets: Mapping[str, paddle.Tensor]
    ) -> dict[str, paddle.Tensor]:
        """Pair what the heads predict for sampled anchors and regions with their targets.

        Args:
            levels: of the feature pyramid.
            images: [N, C, H, W].
            targets: `boxes`, `classes` and `instances` of `InstanceTargets`; `valid_box`, where it
                is given, is what shows the image.

        Returns:
            `TRAINING_OUTPUTS`; see `rpn_samples`, `box_samples` and `_mask_samples`.
        """
        truth = GroundTruth(targets["boxes"], targets["classes"].astype("int64"))
        bounds = _valid_boxes(targets) if "valid_box" in targets else shown_boxes(images)
        settings = self.settings
        rpn = self.rpn_head(levels)
        may_learn = touching if settings.border_anchors else inside
        outputs = rpn_samples(rpn, truth, bounds, settings.rpn_samples, may_learn)
        proposals = self._propose(rpn, bounds, settings.train_candidates, settings.train_proposals)
        regions = sample_regions(
            proposals, truth, settings.region_samples, settings.add_truth_to_proposals
        )
        features = self.align(levels, regions.boxes, regions.counts, self.box_head.region_size)
        outputs |= box_samples(*self.box_head(features), regions, self.box_coder)
        return outputs | self._mask_samples(levels, regions, targets["instances"])

    def _propose(
        self, rpn: Sequence[Level], bounds: paddle.Tensor, candidates: int, count: int
    ) -> list[paddle.Tensor]:
        return propose(
            rpn,
            bounds,
            candidates=candidates,
            count=count,
            nms_threshold=self.settings.proposal_nms_threshold,
            min_side=self.last_pixel,
        )

    def _mask_samples(
        self, levels: Features, regions: Regions, instances: paddle.Tensor
    ) -> dict[str, paddle.Tensor]:
        """`mask_logits` and `mask_targets` [P, m, m] of the positive regions, `mask_weights` [P].

        Without a positive region it is the first region with the weight 0, so that the mask head
        takes part in every step.
        """
        positive = paddle.nonzero(regions.labels > 0).flatten()
        weights = paddle.ones([len(positive)])
        if len(positive) == 0:
            positive, weights = paddle.zeros([1], "int64"), paddle.zeros([1])
        boxes, labels = regions.boxes.gather(positive), regions.labels.gather(positive)
        image = image_of(regions.counts).gather(positive)
        counts = paddle.bincount(image, minlength=len(regions.counts)).tolist()
        slots = regions.truth.gather(positive) + 1
        return {
            "mask_logits": self._masks(levels, boxes, labels, counts),
            "mask_targets": self.mask_targets(
                instances, image, slots, boxes, self.mask_head.mask_size
            ),
            "mask_weights": weights,
        }

    def _masks(
        self, levels: Features, boxes: paddle.Tensor, labels: paddle.Tensor, counts: Sequence[int]
    ) -> paddle.Tensor:
        """[R, m, m] mask logits of the boxes [R, 4], image after image."""
        if len(boxes) == 0:
            return paddle.zeros([0, self.mask_head.mask_size, self.mask_head.mask_size])
        features = self.align(levels, boxes, counts, self.mask_head.region_size)
        return self.mask_head(features, labels)


def _valid_boxes(targets: Mapping[str, paddle.Tensor]) -> paddle.Tensor:
    """[N, 4] as boxes are here, from (top, left, bottom, right)."""
    top, left, bottom, right = targets["valid_box"].astype("float32").unbind(1)
    return paddle.stack([left, top, right, bottom], 1)
