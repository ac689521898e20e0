"""Training targets of a two-stage detector's heads for sampled anchors and regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import paddle

from panoptic_deeplab.models.roi.boxes import BoxCoder
from panoptic_deeplab.models.roi.matching import IGNORED, POSITIVE, Matcher
from panoptic_deeplab.models.roi.precision import in_single_precision
from panoptic_deeplab.models.roi.rpn import Level
from panoptic_deeplab.models.roi.sampling import sample

ANCHOR_MATCHER = Matcher(positive=0.7, negative=0.3, min_best=0.3)
REGION_MATCHER = Matcher(positive=0.5, negative=0.5, min_best=0.5)
POSITIVE_ANCHORS, POSITIVE_REGIONS = 0.5, 0.25
"""Largest fraction of positives among the samples."""


class GroundTruth(NamedTuple):
    """The instances of a batch.

    Attributes:
        boxes: [N, M, 4], zeros where an image has fewer than M.
        labels: [N, M] int64, 1..T, 0 where an image has fewer.
    """

    boxes: paddle.Tensor
    labels: paddle.Tensor


@in_single_precision
def rpn_samples(
    levels: Sequence[Level],
    truth: GroundTruth,
    bounds: paddle.Tensor,
    count: int,
    may_learn: Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor],
) -> dict[str, paddle.Tensor]:
    """Predictions and targets for `count` anchors of each image, image after image.

    Args:
        levels: predictions of the region proposal network.
        truth: the instances.
        bounds: [N, 4], the images without their padding.
        count: anchors sampled in an image.
        may_learn: anchors [A, 4] and bounds [4] -> [A] bool, which of them are sampled.

    Returns:
        `rpn_logits`, `rpn_labels` (0 or 1) and `rpn_weights` (0 where there were too few) [S];
        `rpn_offsets` and, for the positives, `rpn_offset_targets` [S, 4].
    """
    anchors = paddle.concat([level.anchors for level in levels])
    logits = paddle.concat([level.logits for level in levels], 1)
    offsets = paddle.concat([level.offsets for level in levels], 1)
    parts = []
    for i in range(logits.shape[0]):
        boxes, is_truth = truth.boxes[i], truth.labels[i] > 0
        match = ANCHOR_MATCHER(anchors, boxes, is_truth, may_learn(anchors, bounds[i]))
        indices, is_chosen = sample(match.labels, count, POSITIVE_ANCHORS)
        is_positive = is_chosen & (match.labels.gather(indices) == POSITIVE)
        target_boxes = boxes.gather(match.truth.gather(indices))
        parts.append(
            {
                "rpn_logits": logits[i].gather(indices),
                "rpn_labels": is_positive.astype("float32"),
                "rpn_weights": is_chosen.astype("float32"),
                "rpn_offsets": offsets[i].gather(indices),
                "rpn_offset_targets": _offset_targets(
                    BoxCoder(), anchors.gather(indices), target_boxes, is_positive
                ),
            }
        )
    return {name: paddle.concat([part[name] for part in parts]) for name in parts[0]}


class Regions(NamedTuple):
    """The regions that box and mask head learn from, image after image.

    Attributes:
        boxes: [R, 4].
        labels: [R] int64, 1..T, 0 for background.
        weights: [R] float32, 0 where an image has too few.
        truth: [R] int64, the row of the instance in the region.
        target_boxes: [R, 4], the box of that instance.
        counts: how many are in each image.
    """

    boxes: paddle.Tensor
    labels: paddle.Tensor
    weights: paddle.Tensor
    truth: paddle.Tensor
    target_boxes: paddle.Tensor
    counts: list[int]


@paddle.no_grad()
@in_single_precision
def sample_regions(
    proposals: Sequence[paddle.Tensor], truth: GroundTruth, count: int, add_truth: bool
) -> Regions:
    """Sample `count` regions of each image, at most a quarter of them positive.

    Args:
        proposals: for each image [K, 4].
        truth: the instances.
        count: regions sampled in an image.
        add_truth: whether the instances' own boxes are among the candidates.
    """
    parts = [
        _regions_of_image(boxes, truth.boxes[i], truth.labels[i], count, add_truth)
        for i, boxes in enumerate(proposals)
    ]
    columns = [paddle.concat(column) for column in zip(*parts, strict=True)]
    return Regions(*columns, [part[0].shape[0] for part in parts])


def _regions_of_image(
    proposals: paddle.Tensor,
    boxes: paddle.Tensor,
    labels: paddle.Tensor,
    count: int,
    add_truth: bool,
) -> tuple[paddle.Tensor, ...]:
    """The columns of `Regions` for one image."""
    is_truth = labels > 0
    match = REGION_MATCHER(proposals, boxes, is_truth)
    if add_truth:
        own = paddle.where(is_truth, POSITIVE, IGNORED).astype("int64")
        proposals = paddle.concat([boxes, proposals])
        match = match._replace(
            labels=paddle.concat([own, match.labels]),
            truth=paddle.concat([paddle.arange(boxes.shape[0]), match.truth]),
        )
    indices, is_chosen = sample(match.labels, count, POSITIVE_REGIONS)
    is_positive = is_chosen & (match.labels.gather(indices) == POSITIVE)
    row = match.truth.gather(indices)
    return (
        proposals.gather(indices),
        labels.gather(row) * is_positive.astype("int64"),
        is_chosen.astype("float32"),
        row,
        boxes.gather(row),
    )


@in_single_precision
def box_samples(
    logits: paddle.Tensor, offsets: paddle.Tensor, regions: Regions, coder: BoxCoder
) -> dict[str, paddle.Tensor]:
    """Predictions of the box head and their targets.

    Args:
        logits: [R, T + 1].
        offsets: [R, T + 1, 4].
        regions: the regions that these are predicted for.
        coder: of the offsets.

    Returns:
        `class_logits` [R, T + 1]; `class_labels` and `region_weights` [R]; `box_offsets` of the
        true class and, for the positives, `box_offset_targets` [R, 4].
    """
    own = paddle.nn.functional.one_hot(regions.labels, logits.shape[1]).unsqueeze(-1)
    return {
        "class_logits": logits,
        "class_labels": regions.labels,
        "region_weights": regions.weights,
        "box_offsets": (offsets * own).sum(1),
        "box_offset_targets": _offset_targets(
            coder, regions.boxes, regions.target_boxes, regions.labels > 0
        ),
    }


@paddle.no_grad()
def _offset_targets(
    coder: BoxCoder,
    references: paddle.Tensor,
    target_boxes: paddle.Tensor,
    is_positive: paddle.Tensor,
) -> paddle.Tensor:
    """[S, 4] offsets to the target boxes for the positives, else 0."""
    offsets = coder.encode(references, target_boxes)
    return paddle.where(is_positive.unsqueeze(-1), offsets, paddle.zeros_like(offsets))
