"""Features of regions."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.models.roi.align import RoIAlign, image_of, level_of


def tensor(values: object) -> paddle.Tensor:
    return paddle.to_tensor(np.array(values, np.float32))


@pytest.mark.parametrize(
    ("side", "level"),
    [(1, 0), (111, 0), (112, 1), (223, 1), (224, 2), (447, 2), (448, 3), (5000, 3), (0, 0)],
)
def test_level_of_a_box(side: int, level: int) -> None:
    """Closed boxes of 0..111 are 112 wide."""
    assert level_of(tensor([[3, 5, 3 + side, 5 + side]]), 4).tolist() == [level]


def numpy_roi_align(features: np.ndarray, box: np.ndarray, stride: int, size: int) -> np.ndarray:
    """[C, size, size] by the first RoIAlign: 2 x 2 samples a bin, no shift by half a pixel."""
    channels, height, width = features.shape
    x1, y1, x2, y2 = box / stride
    result = np.zeros((channels, size, size))
    for i in range(2 * size):
        for j in range(2 * size):
            y = y1 + (i + 0.5) * (y2 - y1) / (2 * size)
            x = x1 + (j + 0.5) * (x2 - x1) / (2 * size)
            if not (-1 <= y <= height and -1 <= x <= width):
                continue
            y, x = (min(max(v, 0), n - 1) for v, n in ((y, height), (x, width)))
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            dy, dx = y - top, x - left
            upper = features[:, top, left] * (1 - dx) + features[:, top, right] * dx
            lower = features[:, bottom, left] * (1 - dx) + features[:, bottom, right] * dx
            result[:, i // 2, j // 2] += (upper * (1 - dy) + lower * dy) / 4
    return result


def test_features_equal_a_plain_roi_align_in_the_order_of_the_boxes() -> None:
    """Boxes of all levels and two of three images, mixed; some are narrower than a location."""
    rng = np.random.default_rng(0)
    strides = (4, 8, 16, 32)
    levels = [rng.normal(size=(3, 2, 512 // s, 512 // s)).astype(np.float32) for s in strides]
    boxes = np.array(
        [
            [10, 20, 400, 500],
            [3.2, 5.7, 60.1, 90.4],
            [100, 50, 300.5, 280],
            [0, 0, 511, 511],
            [400, 400, 511.9, 470],
            [30, 30, 36, 37],
            [30, 30, 33, 32.5],  # less than a location of 4
            [200, 20, 203, 480],
        ],
        np.float32,
    )
    counts = [4, 0, 4]
    expected_levels = [2, 0, 1, 3, 0, 0, 0, 0]
    assert level_of(tensor(boxes), 4).tolist() == expected_levels
    first_form = RoIAlign(strides, samples=2, shift=0.5)
    found = first_form([tensor(level) for level in levels], tensor(boxes), counts, 7)
    for i, (box, level) in enumerate(zip(boxes, expected_levels, strict=True)):
        features = levels[level][0 if i < 4 else 2]
        expected = numpy_roi_align(features, box.astype(np.float64), strides[level], 7)
        np.testing.assert_allclose(found[i].numpy(), expected, atol=2e-5)


def test_the_second_form_takes_as_many_samples_as_a_bin_has_locations() -> None:
    """Features that grow along a row: a bin holds their value at its middle, half a location up."""
    ramp = paddle.arange(32, dtype="float32").reshape([1, 1, 1, 32]).expand([1, 1, 32, 32])
    boxes = tensor([[8, 8, 72, 72], [16, 40, 16.4, 41]])  # bins of 8 locations and of 1/20
    found = RoIAlign((4,))([ramp], boxes, [2], 2).numpy()
    np.testing.assert_allclose(found[0, 0], [[5.5, 13.5]] * 2, rtol=1e-6)
    np.testing.assert_allclose(found[1, 0], [[3.525, 3.575]] * 2, rtol=1e-6)
    mean = RoIAlign((4,))([ramp % 2], boxes[:1], [1], 2).numpy()
    np.testing.assert_allclose(mean, 0.5, rtol=1e-6, err_msg="every location counts once")


def test_no_regions_are_no_features() -> None:
    levels = [paddle.zeros([1, 5, 8, 8])] * 4
    assert RoIAlign((4, 8, 16, 32))(levels, paddle.zeros([0, 4]), [0], 7).shape == [0, 5, 7, 7]


def test_images_of_regions() -> None:
    assert image_of((2, 0, 1)).tolist() == [0, 0, 2]
    assert image_of((0,)).tolist() == []
