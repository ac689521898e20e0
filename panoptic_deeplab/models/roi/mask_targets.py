"""The masks that regions are to find, cut from one map of all instances."""

from __future__ import annotations

import paddle

from panoptic_deeplab.models.roi.mask_head import MASK_SIZE
from panoptic_deeplab.models.roi.precision import in_single_precision


@paddle.no_grad()
@in_single_precision
def cut_masks(
    instances: paddle.Tensor, image: paddle.Tensor, slot: paddle.Tensor, boxes: paddle.Tensor
) -> paddle.Tensor:
    """[R, 28, 28] float32 of 0 and 1: each region's instance inside its box.

    The box is cut at whole pixels, rounded down, its mask resized bilinearly and rounded. No mask
    of the whole image is made.

    Args:
        instances: [N, H, W] integers, which instance a pixel is of.
        image: [R] int64, the image of each region.
        slot: [R], its instance's value in the map.
        boxes: [R, 4] within the image.
    """
    rows, below = _positions(boxes[:, 1], boxes[:, 3], instances.shape[1])
    columns, beside = _positions(boxes[:, 0], boxes[:, 2], instances.shape[2])
    slot = slot.astype(instances.dtype)
    mask = paddle.zeros([boxes.shape[0], MASK_SIZE, MASK_SIZE])
    for y, part_y in zip(rows, (1 - below, below), strict=True):
        for x, part_x in zip(columns, (1 - beside, beside), strict=True):
            seen = instances[image[:, None, None], y[:, :, None], x[:, None, :]]
            is_own = (seen == slot[:, None, None]).astype("float32")
            mask = mask + is_own * part_y[:, :, None] * part_x[:, None, :]
    return (mask >= 0.5).astype("float32")


def _positions(
    start: paddle.Tensor, end: paddle.Tensor, side: int
) -> tuple[tuple[paddle.Tensor, paddle.Tensor], paddle.Tensor]:
    """Of the mask's 28 points along one axis the two pixels around each, [R, 28] int64, and the
    part [R, 28] of the second.

    Points sit in the middles of 28 equal parts, pixels in theirs; outside the box its edge counts.
    """
    first = start.floor().clip(0, side - 1)
    length = (end.floor() - first).clip(min=1)
    middles = (paddle.arange(MASK_SIZE).astype("float32") + 0.5) / MASK_SIZE
    point = (middles * length[:, None] - 0.5).clip(min=0)
    point = paddle.minimum(point, length[:, None] - 1)
    near = point.floor()
    far = paddle.minimum(near + 1, length[:, None] - 1)
    pixels = tuple((first[:, None] + p).clip(max=side - 1).astype("int64") for p in (near, far))
    return pixels, point - near
