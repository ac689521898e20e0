"""What a two-stage detector's heads are to answer, for a random part of anchors and regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import paddle

from panoptic_deeplab.models.roi.anchors import inside
from panoptic_deeplab.models.roi.boxes import BoxCoder
from panoptic_deeplab.models.roi.matching import IGNORED, POSITIVE, Matcher
from panoptic_deeplab.models.roi.precision import in_single_precision
from panoptic_deeplab.models.roi.rpn import Level
from panoptic_deeplab.models.roi.sampling import sample

ANCHOR_MATCHER = Matcher(positive=0.7, negative=0.3, least=0.3)
REGION_MATCHER = Matcher(positive=0.5, negative=0.5, least=0.5)
POSITIVE_ANCHORS, POSITIVE_REGIONS = 0.5, 0.25
"""Largest share of positives among the samples."""


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
    levels: Sequence[Level], truth: GroundTruth, bounds: paddle.Tensor, count: int
) -> dict[str, paddle.Tensor]:
    """Answers and what they should be for `count` anchors of each image, one after the other.

    Args:
        levels: the network's answers.
        truth: the instances.
        bounds: [N, 4]; anchors that cross them are left out.
        count: anchors sampled in an image.

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
        match = ANCHOR_MATCHER(anchors, boxes, is_truth, inside(anchors, bounds[i]))
        places, is_chosen = sample(match.labels, count, POSITIVE_ANCHORS)
        is_positive = is_chosen & (match.labels.gather(places) == POSITIVE)
        goal = boxes.gather(match.truth.gather(places))
        parts.append(
            {
                "rpn_logits": logits[i].gather(places),
                "rpn_labels": is_positive.astype("float32"),
                "rpn_weights": is_chosen.astype("float32"),
                "rpn_offsets": offsets[i].gather(places),
                "rpn_offset_targets": _targets(
                    BoxCoder(), anchors.gather(places), goal, is_positive
                ),
            }
        )
    return {name: paddle.concat([part[name] for part in parts]) for name in parts[0]}


class Regions(NamedTuple):
    """The regions that box and mask head learn from, those of the first image first.

    Attributes:
        boxes: [R, 4].
        labels: [R] int64, 1..T, 0 for background.
        weights: [R] float32, 0 where an image had too few.
        truth: [R] int64, the row of the instance that a region shows.
        goals: [R, 4], the box of that instance.
        counts: how many are of each image.
    """

    boxes: paddle.Tensor
    labels: paddle.Tensor
    weights: paddle.Tensor
    truth: paddle.Tensor
    goals: paddle.Tensor
    counts: list[int]


@paddle.no_grad()
@in_single_precision
def sample_regions(
    proposals: Sequence[paddle.Tensor], truth: GroundTruth, count: int, add_truth: bool
) -> Regions:
    """`count` regions of each image, about a quarter of which show an instance.

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
    places, is_chosen = sample(match.labels, count, POSITIVE_REGIONS)
    is_positive = is_chosen & (match.labels.gather(places) == POSITIVE)
    row = match.truth.gather(places)
    return (
        proposals.gather(places),
        labels.gather(row) * is_positive.astype("int64"),
        is_chosen.astype("float32"),
        row,
        boxes.gather(row),
    )


@in_single_precision
def box_samples(
    logits: paddle.Tensor, offsets: paddle.Tensor, regions: Regions, coder: BoxCoder
) -> dict[str, paddle.Tensor]:
    """Answers of the box head and what they should be.

    Args:
        logits: [R, T + 1].
        offsets: [R, T + 1, 4].
        regions: what they are of.
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
        "box_offset_targets": _targets(coder, regions.boxes, regions.goals, regions.labels > 0),
    }


@paddle.no_grad()
def _targets(
    coder: BoxCoder, references: paddle.Tensor, goals: paddle.Tensor, is_positive: paddle.Tensor
) -> paddle.Tensor:
    """[S, 4] offsets to the goals for the positives, else 0."""
    offsets = coder.encode(references, goals)
    return paddle.where(is_positive.unsqueeze(-1), offsets, paddle.zeros_like(offsets))
