"""Boxes: overlap, coding, clipping, suppression."""

from __future__ import annotations

import math

import numpy as np
import paddle

from panoptic_deeplab.models.roi.boxes import BoxCoder, clip_boxes, kept_by_nms, pairwise_iou

CLOSED = np.array([0, 0, 1, 1])


def tensor(values: object) -> paddle.Tensor:
    return paddle.to_tensor(np.array(values, np.float32))


def test_overlap_counts_pixels() -> None:
    """Closed (0, 0, 3, 3) and (2, 2, 5, 5) are 4 x 4 pixels each and share 2 x 2: 4 / 28."""
    boxes, others = tensor([[0, 0, 4, 4], [0, 0, 0, 0]]), tensor([[2, 2, 6, 6], [0, 0, 4, 4]])
    overlaps = pairwise_iou(boxes, others).numpy()
    np.testing.assert_allclose(overlaps, [[4 / 28, 1], [0, 0]], rtol=1e-6)


def test_decoding_inverts_encoding() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 500, (2, 64, 2))
    boxes = np.concatenate([start, start + rng.uniform(1, 200, (2, 64, 2))], -1)
    references, targets = tensor(boxes[0]), tensor(boxes[1])
    for coder in (BoxCoder(), BoxCoder((0.1, 0.1, 0.2, 0.2))):
        found = coder.decode(references, coder.encode(references, targets))
        inside_clip = (coder.encode(references, targets) * coder.scales).abs()[:, 2:].max(-1) < 4
        assert inside_clip.astype("float32").mean() > 0.9
        chosen = inside_clip.numpy()
        np.testing.assert_allclose(found.numpy()[chosen], targets.numpy()[chosen], atol=1e-2)


def test_a_coded_box_by_hand() -> None:
    """From 0..9 to 5..24: the middles lie 10 pixels, one side, apart; twice as wide, as high."""
    coder = BoxCoder((0.1, 0.1, 0.2, 0.2))
    offsets = coder.encode(tensor([0, 0, 10, 10]), tensor([5, 0, 25, 10]))
    np.testing.assert_allclose(offsets, [10, 0, math.log(2) / 0.2, 0], rtol=1e-6)


def test_sides_grow_and_shrink_at_most_62_5_times() -> None:
    boxes = BoxCoder().decode(tensor([0, 0, 16, 16]), tensor([[0, 0, 50, -50]])).numpy()[0]
    np.testing.assert_allclose(boxes, [8 - 500, 8 - 0.128, 8 + 500, 8 + 0.128], rtol=1e-5)


def test_clipped_boxes_keep_a_pixel_in_the_legacy_form() -> None:
    """The released code clips closed boxes to 0..W - 1, which leaves one pixel of any box."""
    bounds = tensor([0, 0, 100, 50])
    boxes = tensor([[-5, -5, 20, 60], [120, 10, 140, 20], [-9, -9, -3, -3]])
    closed = clip_boxes(boxes, bounds, 1.0).numpy() - CLOSED
    assert closed.tolist() == [[0, 0, 19, 49], [99, 10, 99, 19], [0, 0, 0, 0]]
    assert clip_boxes(boxes, bounds, 0.0).numpy()[1].tolist() == [100, 10, 100, 20]


def test_suppression_keeps_the_first_of_overlapping_boxes() -> None:
    """The second covers 9 of 10 columns of the first, the third none."""
    boxes = tensor([[0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10]])
    assert kept_by_nms(boxes, 0.7).tolist() == [0, 2]
    assert kept_by_nms(boxes, 0.95).tolist() == [0, 1, 2]
    assert kept_by_nms(boxes[:0], 0.7).tolist() == []
