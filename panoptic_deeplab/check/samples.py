"""A sheet of annotations drawn over their images, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from panoptic_deeplab.check.splits import SplitCheck
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import PanopticMap
from panoptic_deeplab.visualization import draw_panoptic, side_by_side

_LONGEST_SIDE = 960
_HEIGHT, _WIDTH = 640, 900  # maximum size of an image on the sheet
_COLUMNS = 2


def draw_samples(checks: Sequence[SplitCheck], count: int) -> np.ndarray | None:
    """Draw up to `count` images without errors, spread over the splits, two in a row.

    Returns:
        [H, W, 3] uint8 RGB, or None where there is no such image.
    """
    panels = []
    for place, check in enumerate(checks):
        wanted = count // len(checks) + (place < count % len(checks))
        for index in _spread_indices(check, wanted):
            panels.extend(_drawn(check, index))
    if not panels:
        return None
    rows = [_row(panels[start : start + _COLUMNS]) for start in range(0, len(panels), _COLUMNS)]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([_padded(row, row.shape[0], width) for row in rows])


def _spread_indices(check: SplitCheck, count: int) -> list[int]:
    """Indices of images without errors, evenly spread over the split."""
    without_errors = np.flatnonzero(np.frombuffer(bytes(check.without_errors), np.uint8))
    picked = np.linspace(0, len(without_errors) - 1, min(count, len(without_errors)))
    return without_errors[np.rint(picked).astype(int)].tolist()


def _drawn(check: SplitCheck, index: int) -> Iterator[tuple[str, np.ndarray]]:
    """The title and the overlay of an image; nothing without an annotation."""
    try:
        sample = check.dataset.load(index)
    except DataError:  # changed since it was read
        return
    if "panoptic" in sample:
        image, ids = _reduced(sample["image"], sample["panoptic"])
        truth = PanopticMap(ids, sample["segments"])
        overlay = draw_panoptic(image, truth, check.dataset.info)
        factor = min(_HEIGHT / overlay.shape[0], _WIDTH / overlay.shape[1])
        overlay = cv2.resize(overlay, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        yield f"{check.name}: {check.dataset.records[index].image_id}", overlay


def _reduced(image: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shrink both to the longest side shown, the ids by nearest neighbor."""
    factor = _LONGEST_SIDE / max(ids.shape)
    if factor >= 1:
        return image, ids
    size = tuple(max(1, round(side * factor)) for side in ids.shape[::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small, cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST)


def _row(panels: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """The panels side by side, white below the shorter ones."""
    height = max(len(image) for _, image in panels)
    filled = [_padded(image, height, _WIDTH) for _, image in panels]
    return side_by_side(filled, [title for title, _ in panels])


def _padded(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The image with white below and to the right."""
    below, right = height - image.shape[0], width - image.shape[1]
    return np.pad(image, ((0, below), (0, right), (0, 0)), constant_values=255)
