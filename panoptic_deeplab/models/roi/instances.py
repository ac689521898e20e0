"""From the network's outputs to the instances of an image, by the heads on its regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import paddle

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.roi.align import RoIAlign
from panoptic_deeplab.models.roi.anchors import RATIOS
from panoptic_deeplab.models.roi.box_head import BoxHead
from panoptic_deeplab.models.roi.boxes import BoxCoder
from panoptic_deeplab.models.roi.detections import detect
from panoptic_deeplab.models.roi.mask_head import MaskHead
from panoptic_deeplab.models.roi.proposals import propose
from panoptic_deeplab.models.roi.rpn import of_anchors
from panoptic_deeplab.registry import INSTANCE_FINDERS

INSTANCE_OUTPUTS = ("boxes", "scores", "classes", "masks", "counts")
"""Of `TwoStageInstances`."""

IMAGE_BOX = "image_box"
"""[N, 4], where each image lies in its input; no instance reaches into the padding around it."""

BoxHeadCall = Callable[[paddle.Tensor], tuple[paddle.Tensor, paddle.Tensor]]
MaskHeadCall = Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]


def features_name(stride: int) -> str:
    """Name of the output with the features of a level that regions are read from."""
    return f"features_{stride}"


def rpn_names(stride: int) -> tuple[str, str]:
    """Names of the outputs of a level with the logits and the offsets of its anchors."""
    return f"rpn_logits_{stride}", f"rpn_offsets_{stride}"


def stage_outputs(strides: Sequence[int], region_strides: Sequence[int]) -> tuple[str, ...]:
    """Names of what `TwoStageInstances` needs of a network, in order."""
    features = [features_name(stride) for stride in region_strides]
    return (IMAGE_BOX, *features, *(name for stride in strides for name in rpn_names(stride)))


@dataclass(frozen=True)
class InstanceSettings:
    """Which regions are looked at in evaluation, and which instances are kept.

    Attributes:
        candidates: anchors that are looked at in each level, before those that overlap are dropped.
        proposals: maximum number of regions per image.
        proposal_nms_threshold: IoU above which the lower-scoring of two proposals is dropped.
        score_threshold: probability that an instance must exceed, 0..1.
        nms_threshold: IoU above which the lower-scoring of two instances is dropped.
        class_agnostic_nms: of any two; else of two of a class.
        max_instances: maximum number of instances per image.
        legacy_boxes: boxes are closed, as in the released EfficientPS: x2 and y2 of the `boxes` in
            the outputs are a box's last pixels, its width is x2 - x1 + 1, and clipped boxes keep a
            pixel. False: x2 and y2 are where the next pixel begins.

    Raises:
        UsageError: a threshold is no fraction, or nothing is looked at or kept.
    """

    candidates: int = 1000
    proposals: int = 1000
    proposal_nms_threshold: float = 0.7
    score_threshold: float = 0.5
    nms_threshold: float = 0.5
    class_agnostic_nms: bool = False
    max_instances: int = 100
    legacy_boxes: bool = False

    def __post_init__(self) -> None:
        for name in ("proposal_nms_threshold", "score_threshold", "nms_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be in 0..1, got {getattr(self, name)}")
        for name in ("candidates", "proposals", "max_instances"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")


@INSTANCE_FINDERS.add_component
class TwoStageInstances:
    """From the network's outputs to the instances of a batch; no part of an exported network.

    T is the number of thing classes. The heads may be a network's own, whose sublayers they stay,
    or files.

    Args:
        box_head: features [R, C, 7, 7] of regions -> class logits [R, T + 1], background first, and
            box offsets [R, T + 1, 4], both float32.
        mask_head: features [R, C, 14, 14] of regions and their labels [R], 1..T, -> mask logits
            [R, 28, 28] in float32.
        thing_ids: class indices of the things.
        anchors: [levels, 3, 4], the anchors of the first location of each level.
        strides: of the levels, fine to coarse.
        region_strides: of the levels that regions are read from.
        bin_samples: as `samples` of `RoIAlign`, and `bin_shift` as its `shift`.
        settings: the arguments of `InstanceSettings`.

    Raises:
        UsageError: there are no such anchors, or a setting is out of its range.
    """

    def __init__(
        self,
        box_head: BoxHeadCall,
        mask_head: MaskHeadCall,
        thing_ids: Sequence[int],
        anchors: Sequence[Any],
        strides: Sequence[int],
        region_strides: Sequence[int],
        bin_samples: int = 0,
        bin_shift: float = 0.0,
        **settings: Any,
    ) -> None:
        self.box_head, self.mask_head = box_head, mask_head
        self.thing_ids, self.strides = tuple(thing_ids), tuple(strides)
        self.anchors = np.asarray(anchors, np.float32)
        if self.anchors.shape != (len(self.strides), len(RATIOS), 4):
            raise UsageError(
                f"anchors: expected {len(RATIOS)} boxes for each of {len(self.strides)} levels, "
                f"got numbers of the shape {list(self.anchors.shape)}"
            )
        self.box_coder = BoxCoder((0.1, 0.1, 0.2, 0.2))
        self.align = RoIAlign(region_strides, bin_samples, bin_shift)
        self.settings = InstanceSettings(**settings)

    @property
    def heads(self) -> dict[str, Any]:
        """What has weights of its own, by the name of its argument."""
        return {"box_head": self.box_head, "mask_head": self.mask_head}

    @property
    def last_pixel(self) -> float:
        """What a box is narrower in the outputs, and the least side of a clipped one."""
        return 1.0 if self.settings.legacy_boxes else 0.0

    def __call__(self, outputs: Mapping[str, paddle.Tensor]) -> dict[str, paddle.Tensor]:
        """Find the instances of all images, one image after the other.

        Args:
            outputs: of the network, those of `stage_outputs` and others, which stay.

        Returns:
            `boxes` [K, 4] (x1, y1, x2, y2) in pixels of the input (see `legacy_boxes`), `scores`
            [K] in 0..1, the highest first in each image, `classes` [K] class indices, `masks`
            [K, 28, 28] logits over the box, and `counts` [N], how many of the K are in each image;
            and the other outputs.
        """
        settings = self.settings
        bounds = outputs[IMAGE_BOX]
        features = [outputs[features_name(stride)] for stride in self.align.strides]
        proposals = propose(
            [
                of_anchors(tuple(outputs[name] for name in rpn_names(stride)), stride, base)
                for stride, base in zip(self.strides, self.anchors, strict=True)
            ],
            bounds,
            candidates=settings.candidates,
            count=settings.proposals,
            nms_threshold=settings.proposal_nms_threshold,
            min_side=self.last_pixel,
        )
        counts = [len(boxes) for boxes in proposals]
        regions = self.align(features, paddle.concat(proposals), counts, BoxHead.region_size)
        found = detect(
            proposals,
            *self.box_head(regions),
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
        instances = {
            "boxes": found.boxes - last_pixel,
            "scores": found.scores,
            "classes": class_of.gather(found.labels),
            "masks": self.masks(features, found.boxes, found.labels, found.counts),
            "counts": paddle.to_tensor(found.counts, "int64"),
        }
        needed = stage_outputs(self.strides, self.align.strides)
        others = {name: value for name, value in outputs.items() if name not in needed}
        return others | instances

    def masks(
        self,
        features: Sequence[paddle.Tensor],
        boxes: paddle.Tensor,
        labels: paddle.Tensor,
        counts: Sequence[int],
    ) -> paddle.Tensor:
        """[R, 28, 28] mask logits of the boxes [R, 4], image after image."""
        if len(boxes) == 0:
            return paddle.zeros([0, MaskHead.mask_size, MaskHead.mask_size])
        return self.mask_head(self.align(features, boxes, counts, MaskHead.region_size), labels)

    def host_settings(self) -> dict[str, Any]:
        """The arguments that make another like it of the same heads, in plain types."""
        return {
            "thing_ids": [int(i) for i in self.thing_ids],
            "anchors": self.anchors.tolist(),
            "strides": list(self.strides),
            "region_strides": list(self.align.strides),
            "bin_samples": self.align.samples,
            "bin_shift": self.align.shift,
            **asdict(self.settings),
        }
