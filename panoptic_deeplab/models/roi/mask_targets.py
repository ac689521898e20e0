"""Mask targets of regions, cut from one map of all instances."""

from __future__ import annotations

from collections.abc import Callable

import paddle
from paddle.vision import ops

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
    """`cut_masks` by RoIAlign of the mask, at least one half counting as 1.

    As mmdetection and detectron2 make them; the box is not rounded.
    """
    slots = instances.max().astype("int64") + 1
    masks, owner = paddle.unique(image * slots + slot.astype("int64"), return_inverse=True)
    counts = paddle.bincount(owner, minlength=len(masks)).tolist()
    order = owner.argsort()
    boxes = boxes.gather(order)
    found = []
    for first in range(0, len(masks), MASKS_AT_ONCE):
        some = slice(first, first + MASKS_AT_ONCE)
        start, count = sum(counts[:first]), sum(counts[some])
        found.append(
            ops.roi_align(
                _whole_masks(instances, masks[some] // slots, masks[some] % slots),
                boxes[start : start + count],
                paddle.to_tensor(counts[some], "int32"),
                size,
                sampling_ratio=0,
                aligned=True,
            )
        )
    inside = paddle.concat(found).squeeze(1).gather(order.argsort())
    return (inside >= 0.5).astype("float32")


def _whole_masks(
    instances: paddle.Tensor, image: paddle.Tensor, slot: paddle.Tensor
) -> paddle.Tensor:
    """[K, 1, H, W] float32: where the instance of each slot [K] is in its image [K]."""
    own = slot.astype(instances.dtype).reshape([-1, 1, 1, 1])
    return (instances.gather(image).unsqueeze(1) == own).astype("float32")
