"""Mask targets of regions, cut from one map of all instances."""

from __future__ import annotations

from collections.abc import Callable

import paddle

from panoptic_deeplab.models.roi.precision import in_single_precision

MaskTargets = Callable[
    [paddle.Tensor, paddle.Tensor, paddle.Tensor, paddle.Tensor, int], paddle.Tensor
]
"""(instances, image, slot, boxes, size) -> masks, such as `cut_masks` and `align_masks`."""

MASKS_AT_ONCE = 16
"""Masks of whole images held at a time, so that memory does not grow with their number."""

WHOLE = 2048
"""Fractions of a pixel are whole numbers of this, as in OpenCV's resizing of bytes."""


@paddle.no_grad()
@in_single_precision
def cut_masks(
    instances: paddle.Tensor,
    image: paddle.Tensor,
    slot: paddle.Tensor,
    boxes: paddle.Tensor,
    size: int,
) -> paddle.Tensor:
    """[R, size, size] float32 of 0 and 1: each region's instance inside its box.

    The box is cut at whole pixels, rounded down, and its mask resized as the released code does
    (OpenCV, bilinear, on bytes of 0 and 1): each of the two rows around a point counts in fourths,
    rounded down, and two fourths are enough. No mask of the whole image is made.

    Args:
        instances: [N, H, W] integers, the instance of each pixel.
        image: [R] int64, the image of each region.
        slot: [R], its instance's value in the map.
        boxes: [R, 4] within the image.
        size: pixels on a side of a mask.
    """
    rows, row_weights = _around(boxes[:, 1], boxes[:, 3], instances.shape[1], size)
    columns, column_weights = _around(boxes[:, 0], boxes[:, 2], instances.shape[2], size)
    slot = slot.astype(instances.dtype)[:, None, None]
    fourths = paddle.zeros([boxes.shape[0], size, size], "int32")
    for y, weight_y in zip(rows, row_weights, strict=True):
        own = paddle.zeros_like(fourths)
        for x, weight_x in zip(columns, column_weights, strict=True):
            seen = instances[image[:, None, None], y[:, :, None], x[:, None, :]]
            own = own + (seen == slot).astype("int32") * weight_x[:, None, :]
        fourths = fourths + weight_y[:, :, None] * (own // 16) // (WHOLE * WHOLE // 64)
    return (fourths >= 2).astype("float32")


Pair = tuple[paddle.Tensor, paddle.Tensor]


def _around(start: paddle.Tensor, end: paddle.Tensor, side: int, points: int) -> tuple[Pair, Pair]:
    """The pixels before and after each of a mask's P points along one axis, [R, P] int64 each, and
    the fraction of `WHOLE` that each of the two counts, [R, P] int32.

    Points sit in the middles of P equal parts, pixels in theirs; outside the box its edge counts.
    """
    first = start.floor().clip(0, side - 1).astype("int64")[:, None]
    length = (end.floor().astype("int64")[:, None] - first).clip(min=1)
    step = 2 * points  # of a pixel: then all points are whole numbers
    point = (2 * paddle.arange(points) + 1) * length - points
    before = point // step
    pixels = tuple((first + p.clip(min=0).minimum(length - 1)) for p in (before, before + 1))
    after = ((point % step * WHOLE + points) // step).astype("int32")
    return tuple(p.clip(max=side - 1) for p in pixels), (WHOLE - after, after)


@paddle.no_grad()
@in_single_precision
def align_masks(
    instances: paddle.Tensor,
    image: paddle.Tensor,
    slot: paddle.Tensor,
    boxes: paddle.Tensor,
    size: int,
) -> paddle.Tensor:
    """`cut_masks` by RoIAlign, in its second form, of the mask; at least one half counts as 1.

    As mmdetection and detectron2 make them. The order of the operations is theirs: how a point on a
    mask's edge is rounded decides about a half. (Paddle's own operator rounds otherwise.)
    """
    height, width = instances.shape[1:]
    parts = []
    for first in range(0, boxes.shape[0], MASKS_AT_ONCE):
        some = slice(first, first + MASKS_AT_ONCE)
        slots = slot[some].astype(instances.dtype)[:, None, None]
        masks = (instances.gather(image[some]) == slots).astype("float32")
        rows, row_samples = _bins(boxes[some, 1], boxes[some, 3], height, size)
        columns, column_samples = _bins(boxes[some, 0], boxes[some, 2], width, size)
        total = rows.matmul(masks).matmul(columns, transpose_y=True)
        parts.append(total / (row_samples * column_samples)[:, None, None])
    return (paddle.concat(parts) >= 0.5).astype("float32")


def _bins(
    start: paddle.Tensor, end: paddle.Tensor, length: int, size: int
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """How often each pixel of an axis counts in each bin [R, size, length], and the number of
    samples in a bin [R], as many as it has pixels, rounded up.

    Samples share a bin evenly and lie between the middles of two pixels, which share a sample.
    """
    side = (end - start) / size
    samples = side.ceil()
    bins = paddle.arange(size, dtype="float32")[:, None]
    within = paddle.arange(max(int(samples.max()), 1), dtype="float32")
    side, samples = side[:, None, None], samples[:, None, None]
    points = (start - 0.5)[:, None, None] + bins * side + (within + 0.5) * side / samples
    counted = ((within < samples) & (points >= -1) & (points <= length)).astype("float32")
    points = points.clip(0, length - 1)
    before = points.floor()
    after = points - before
    pixels = paddle.zeros([start.shape[0], size, length])
    for pixel, weight in ((before, 1 - after), ((before + 1).clip(max=length - 1), after)):
        pixels = pixels.put_along_axis(
            pixel.astype("int64"), weight * counted, 2, reduce="add", broadcast=False
        )
    return pixels, samples.flatten()
