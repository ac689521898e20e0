"""Run lengths and polygons give the pixels that pycocotools gives; broken ones are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.masks import decode_rle, encode_rle, fill_polygons


def test_run_lengths_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for size in ((1, 1), (1, 7), (5, 3), (40, 60), (300, 200)):
        for share in (0, 0.02, 0.5, 1):
            mask = rng.random(size) < share
            packed = coco_mask.encode(np.asfortranarray(mask, np.uint8))
            assert encode_rle(mask) == {"counts": packed["counts"].decode(), "size": list(size)}
            np.testing.assert_array_equal(decode_rle(packed), mask)
            np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


def test_run_lengths_in_a_list_go_down_the_columns() -> None:
    mask = decode_rle({"size": [2, 3], "counts": [1, 2, 3]})
    assert mask.tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [2, 3], "counts": [1, 2]},
        {"size": [2, 3], "counts": [1, 2, 4]},
        {"size": [2, 3], "counts": [-1, 2, 5]},
        {"size": [2, 3], "counts": [2**62, 2**62, 2**62, 2**62, 6]},  # wraps to 6
        {"size": [2, 3], "counts": [1.5, 4.5]},
        {"size": [2, 3], "counts": [[1], [2, 3]]},
        {"size": [2, 3], "counts": []},
        {"size": [2, 3], "counts": ""},
        {"size": [2, 3], "counts": "oooooooooooooooo0"},  # a number of 80 bits
        {"size": [2, 3], "counts": "P"},  # says that more follows
        {"size": [2, 3], "counts": "\u20ac"},
        {"size": [2, 3]},
        {"size": [2], "counts": "6"},
        {"size": [1 << 20, 1 << 20], "counts": [1 << 40]},
        {"size": [8193, 8192], "counts": [8193 * 8192]},  # a byte a pixel
        {"size": [math.inf, 1], "counts": "1"},
        {"size": [0, 5], "counts": "0"},
    ],
    ids=str,
)
def test_broken_run_lengths_are_refused(rle: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        decode_rle(rle)


def test_no_text_breaks_the_decoder() -> None:
    rng = np.random.default_rng(1)
    fitting = 0
    for _ in range(3000):
        text = bytes(rng.integers(48, 112, rng.integers(0, 12)).tolist()).decode()
        try:
            fitting += decode_rle({"size": rng.integers(1, 9, 2).tolist(), "counts": text}).size
        except DataError:
            continue
    assert fitting  # a few are whole by chance


def test_polygons_are_filled_together() -> None:
    left, right = (
        np.array([[0, 0], [2, 0], [2, 2], [0, 2]]),
        np.array([[3, 0], [4, 0], [4, 2], [3, 2]]),
    )
    assert (
        fill_polygons([left, right, left[:2]], (2, 4)).tolist() == [[True, True, False, True]] * 2
    )
    assert not fill_polygons([], (2, 4)).any()


@pytest.mark.parametrize("far", [math.nan, math.inf, 1e12, -1e9])
def test_a_polygon_that_would_fill_the_memory_is_refused(far: float) -> None:
    with pytest.raises(DataError, match="expected finite coordinates"):
        fill_polygons([np.array([[0, 0], [far, 1], [1, 1]])], (4, 4))


def test_an_outline_that_goes_to_and_fro_for_long_is_refused() -> None:
    outline = np.array([[0, 0], [100_000, 0], [0, 1]] * 30)  # 6 million pixels, none of them far
    with pytest.raises(DataError, match="a polygon of length 6"):
        fill_polygons([outline], (4, 4))
