"""Mask targets cut from the map of all instances."""

from __future__ import annotations

import cv2
import numpy as np
import paddle
import pytest

from panoptic_deeplab.models.roi.mask_targets import align_masks, cut_masks


def tensor(values: object) -> paddle.Tensor:
    return paddle.to_tensor(np.array(values, np.float32))


@pytest.mark.parametrize("seed", range(4))
def test_mask_targets_equal_resizing_the_cut_out_mask(seed: int) -> None:
    """To the last bit what OpenCV makes of the mask of bytes, in smaller and larger boxes."""
    rng = np.random.default_rng(seed)
    instances = np.zeros((2, 60, 80), np.int32)
    for slot in (1, 2, 3):
        center = (int(rng.integers(80)), int(rng.integers(60)))
        cv2.ellipse(instances[1], center, (25, 15), 30 * slot, 0, 360, slot, -1)
    start = rng.uniform(0, 40, (25, 2))
    end = np.minimum(start + rng.uniform(1, 60, (25, 2)), [80, 60])
    boxes = np.concatenate([start, end], 1).astype(np.float32)
    slots = rng.integers(1, 4, 25)
    found = cut_masks(
        paddle.to_tensor(instances),
        paddle.ones([25], "int64"),
        paddle.to_tensor(slots),
        paddle.to_tensor(boxes),
        28,
    ).numpy()
    for mask, box, slot in zip(found, boxes, slots, strict=True):
        x1, y1 = box[:2].astype(int)
        x2, y2 = np.maximum(np.floor(box[2:]).astype(int), [x1 + 1, y1 + 1])
        cut = (instances[1, y1:y2, x1:x2] == slot).astype(np.uint8)
        expected = cv2.resize(cut, (28, 28), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(mask, expected)


def test_a_mask_on_half_its_box_fills_half_the_target() -> None:
    """Columns 0..27 of 56: two pixels a point; the points from 14 on see nothing of it."""
    instances = np.zeros((1, 56, 56), np.int32)
    instances[0, :, :28] = 3
    (mask,) = cut_masks(
        paddle.to_tensor(instances),
        paddle.zeros([1], "int64"),
        paddle.to_tensor([3]),
        tensor([[0, 0, 56, 56]]),
        28,
    ).numpy()
    np.testing.assert_array_equal(mask, np.repeat([[1] * 14 + [0] * 14], 28, 0))


def test_the_mask_of_one_pixel_fills_its_box() -> None:
    instances = np.zeros((1, 4, 4), np.int32)
    instances[0, 3, 3] = 7
    whole = cut_masks(
        paddle.to_tensor(instances),
        paddle.zeros([2], "int64"),
        paddle.to_tensor([7, 7]),
        tensor([[3, 3, 4, 4], [3.2, 3.5, 3.6, 4]]),
        28,
    )
    assert whole.numpy().all()


def plain_roi_align(mask: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """[size, size]: the mean of a mask in each bin, at as many points as the bin has pixels."""
    height, width = mask.shape
    weights = []
    for start, end, length in ((box[1], box[3], height), (box[0], box[2], width)):
        count = int(np.ceil((end - start) / size))
        points = start - 0.5 + (np.arange(size * count) + 0.5) * (end - start) / (size * count)
        points = points.clip(0, length - 1)
        near = np.maximum(1 - np.abs(points[:, None] - np.arange(length)), 0)
        weights.append(near.reshape(size, count, length).mean(1))
    return weights[0] @ mask @ weights[1].T


def test_aligned_mask_targets_equal_a_plain_roi_align() -> None:
    """Twenty instances, more than are held at a time, of two images, in any order."""
    rng = np.random.default_rng(0)
    instances = np.zeros((2, 60, 80), np.int32)
    for i in range(20):
        top, left = rng.integers(0, 50, 2)
        instances[i % 2, top : top + 25, left : left + 20] = i + 1
    boxes = rng.uniform(0, 40, (40, 4)).astype(np.float32)
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(0.5, 20, (40, 2))
    slots = rng.permutation(np.repeat(np.arange(1, 21), 2))
    images = (slots - 1) % 2
    given = (instances, images, slots, boxes)
    found = align_masks(*map(paddle.to_tensor, given), 14).numpy()
    for mask, image, slot, box in zip(found, images, slots, boxes, strict=True):
        expected = plain_roi_align(instances[image] == slot, box.astype(np.float64), 14)
        sure = np.abs(expected - 0.5) > 1e-4
        np.testing.assert_array_equal(mask[sure], (expected >= 0.5)[sure])
