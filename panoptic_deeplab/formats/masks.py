"""Masks as COCO and Scalabel write them: run lengths down the columns, and polygons.

Files from outside are decoded here and not by pycocotools, which writes beyond its memory when
run lengths are broken. Following the `maskApi.c` of https://github.com/cocodataset/cocoapi.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from panoptic_deeplab.errors import DataError

MAX_PIXELS = 1 << 26
"""Of a mask, a byte each: 8192 x 8192, three times the largest images of Mapillary Vistas. A few
characters of an RLE can ask for as many."""

MAX_OUTLINE = 1 << 22
"""Pixels that the outlines of one object may be long together; pycocotools keeps every one."""

# A number is a few groups of five bits; the sixth bit says that another group follows.
_NUMBERS = re.compile(rb"(?:[P-o]{0,6}[0-O])*")
_FIRST_CHARACTER = ord("0")
_BITS, _MORE, _SIGN, _LOW = 5, 0x20, 0x10, 0x1F


def decode_rle(rle: Mapping[str, Any]) -> np.ndarray:
    """Decode an RLE `{size: [H, W], counts}` into [H, W] bool.

    Args:
        rle: `counts` are the lengths of runs of 0 and 1 in turn, down the columns: a list, or the
            text that pycocotools packs them into.

    Raises:
        DataError: a part is missing, the size is absurd, or the runs do not fill it.
    """
    height, width = rle_size(rle)
    counts = rle.get("counts")
    runs = _unpacked(counts) if isinstance(counts, (str, bytes)) else _listed(counts)
    if runs.min() < 0 or runs.max() > MAX_PIXELS or runs.sum() != height * width:
        raise DataError(f"the runs of an RLE do not fill its size, {height} x {width}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def rle_size(rle: Mapping[str, Any]) -> tuple[int, int]:
    """Read the size (H, W) that an RLE claims.

    Raises:
        DataError: it claims none, or an absurd one.
    """
    try:
        height, width = (int(length) for length in rle["size"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"an RLE needs size [height, width] and counts, got {rle!r:.100}"
        ) from error
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise DataError(f"an RLE of size {height} x {width}, expected at most {MAX_PIXELS} pixels")
    return height, width


def _listed(counts: Any) -> np.ndarray:
    try:
        runs = np.asarray(counts)
    except ValueError:
        runs = np.empty(0)
    if runs.dtype.kind == "f" and (np.abs(runs) <= MAX_PIXELS).all() and (runs % 1 == 0).all():
        runs = runs.astype(np.int64)
    if runs.ndim != 1 or not runs.size or runs.dtype.kind != "i":
        raise DataError(f"expected whole numbers as the counts of an RLE, got {counts!r:.100}")
    return runs.astype(np.int64)


def _unpacked(text: str | bytes) -> np.ndarray:
    """[N] int64 run lengths of COCO's packed form: from the third on, differences to the last but
    one, in groups of five bits with the lowest first.
    """
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if not data or not _NUMBERS.fullmatch(data):
        raise DataError(f"{text!r:.60} is no packed RLE")
    groups = np.frombuffer(data, np.uint8).astype(np.int64) - _FIRST_CHARACTER
    last = np.flatnonzero((groups & _MORE) == 0)
    first = np.append(0, last[:-1] + 1)
    sizes = last - first + 1
    place = np.arange(len(groups)) - np.repeat(first, sizes)
    numbers = np.add.reduceat((groups & _LOW) << (_BITS * place), first)
    negative = (groups[last] & _SIGN) != 0
    numbers -= np.where(negative, np.left_shift(1, _BITS * sizes), 0)
    for start in (1, 2):
        numbers[start::2] = np.cumsum(numbers[start::2])
    return numbers


def fill_polygons(outlines: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Fill polygons as pycocotools does: [H, W] bool, what any of the outlines encloses.

    Args:
        outlines: [N, 2] corners (x, y) in pixels each; those with less than three enclose nothing.
        size: (H, W).

    Raises:
        DataError: a coordinate is not finite, or the outlines are so long that they would fill the
            memory.
    """
    outlines = [outline for outline in outlines if len(outline) > 2]
    if not outlines:
        return np.zeros(size, bool)
    length = sum(_length(outline) for outline in outlines)
    if length > MAX_OUTLINE:
        raise DataError(
            f"a polygon of length {length:g}; expected finite coordinates within the image of "
            f"{size[0]} x {size[1]} pixels"
        )
    parts = coco_mask.frPyObjects([outline.ravel().tolist() for outline in outlines], *size)
    return coco_mask.decode(coco_mask.merge(parts)).astype(bool)


def _length(outline: np.ndarray) -> float:
    """The length in pixels, by city blocks; infinite where a coordinate is, or is far outside."""
    if not (np.abs(outline) <= MAX_OUTLINE).all():  # also where one is NaN
        return math.inf
    return float(np.abs(np.diff(outline, axis=0, append=outline[:1])).sum())


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """Encode a mask [H, W] as `{counts, size}`, packed as pycocotools does, in plain types."""
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"counts": rle["counts"].decode(), "size": [int(length) for length in rle["size"]]}
