"""The two-stage detector (He et al., ICCV 2017, https://arxiv.org/abs/1703.06870)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import paddle

from panoptic_deeplab.models.roi.align import image_of
from panoptic_deeplab.models.roi.anchors import inside, touching
from panoptic_deeplab.models.roi.bounds import shown_boxes
from panoptic_deeplab.models.roi.box_head import BoxHead
from panoptic_deeplab.models.roi.instances import (
    IMAGE_BOX,
    TwoStageInstances,
    features_name,
    rpn_names,
)
from panoptic_deeplab.models.roi.mask_head import MaskHead
from panoptic_deeplab.models.roi.mask_targets import MaskTargets
from panoptic_deeplab.models.roi.proposals import propose
from panoptic_deeplab.models.roi.rpn import Level, RPNHead, of_anchors
from panoptic_deeplab.models.roi.training import (
    GroundTruth,
    Regions,
    box_samples,
    rpn_samples,
    sample_regions,
)

Features = Sequence[paddle.Tensor]
"""Maps [N, C, h, w] of a feature pyramid, fine to coarse."""

TRAINING_OUTPUTS = (
    *("rpn_logits", "rpn_labels", "rpn_weights", "rpn_offsets", "rpn_offset_targets"),
    *("class_logits", "class_labels", "region_weights", "box_offsets", "box_offset_targets"),
    *("mask_logits", "mask_targets", "mask_weights"),
)
"""Names of what `TwoStageDetector.training_outputs` returns."""


@dataclass(frozen=True)
class TrainingSettings:
    """How many anchors and regions the heads learn from.

    Attributes:
        candidates: anchors that are looked at in each level, before those that overlap are dropped.
        proposals: maximum number of proposals per image.
        rpn_samples: anchors per image that the region proposal network learns from.
        border_anchors: whether anchors that leave the image are among them.
        region_samples: regions per image that the box and mask heads learn from.
        add_truth_to_proposals: whether the boxes of the ground truth are among the regions that
            are sampled.
    """

    candidates: int
    proposals: int
    rpn_samples: int
    border_anchors: bool
    region_samples: int
    add_truth_to_proposals: bool


class TwoStageDetector:
    """What a network computes for `TwoStageInstances`, and what its heads learn from.

    No layer: it runs the heads of the network that holds it, which stay the network's own sublayers
    and keep their names in its state dict.

    Args:
        rpn_head: levels -> logits and offsets of each.
        find_instances: the instances of an evaluation; its anchors, heads and regions are learnt.
        mask_targets: cuts the masks of regions from the map of all instances.
        settings: numbers of anchors and regions.
    """

    def __init__(
        self,
        rpn_head: RPNHead,
        find_instances: TwoStageInstances,
        mask_targets: MaskTargets,
        settings: TrainingSettings,
    ) -> None:
        self.rpn_head = rpn_head
        self.find_instances = find_instances
        self.mask_targets = mask_targets
        self.settings = settings

    def outputs(self, levels: Features, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """What `TwoStageInstances` finds the instances in; this part of a network can be traced.

        Args:
            levels: of the feature pyramid.
            images: [N, C, H, W], 0 in their padding, which no instance reaches into.

        Returns:
            the outputs of `stage_outputs`.
        """
        outputs = {IMAGE_BOX: shown_boxes(images)}
        for stride, features in zip(self.find_instances.align.strides, levels):
            outputs[features_name(stride)] = features
        for stride, maps in zip(self.find_instances.strides, self.rpn_head(levels)):
            outputs |= dict(zip(rpn_names(stride), maps))
        return outputs

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
        rpn = self._of_anchors(levels)
        may_learn = touching if settings.border_anchors else inside
        outputs = rpn_samples(rpn, truth, bounds, settings.rpn_samples, may_learn)
        proposals = self._propose(rpn, bounds)
        regions = sample_regions(
            proposals, truth, settings.region_samples, settings.add_truth_to_proposals
        )
        finder = self.find_instances
        features = finder.align(levels, regions.boxes, regions.counts, BoxHead.region_size)
        outputs |= box_samples(*finder.box_head(features), regions, finder.box_coder)
        return outputs | self._mask_samples(levels, regions, targets["instances"])

    def _of_anchors(self, levels: Features) -> list[Level]:
        finder = self.find_instances
        return [
            of_anchors(*level)
            for level in zip(self.rpn_head(levels), finder.strides, finder.anchors, strict=True)
        ]

    def _propose(self, rpn: Sequence[Level], bounds: paddle.Tensor) -> list[paddle.Tensor]:
        return propose(
            rpn,
            bounds,
            candidates=self.settings.candidates,
            count=self.settings.proposals,
            nms_threshold=self.find_instances.settings.proposal_nms_threshold,
            min_side=self.find_instances.last_pixel,
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
            "mask_logits": self.find_instances.masks(levels, boxes, labels, counts),
            "mask_targets": self.mask_targets(instances, image, slots, boxes, MaskHead.mask_size),
            "mask_weights": weights,
        }


def _valid_boxes(targets: Mapping[str, paddle.Tensor]) -> paddle.Tensor:
    """[N, 4] as boxes are here, from (top, left, bottom, right)."""
    top, left, bottom, right = targets["valid_box"].astype("float32").unbind(1)
    return paddle.stack([left, top, right, bottom], 1)
