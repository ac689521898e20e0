"""Some annotations drawn over their pictures: people would rather look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from panoptic_deeplab.check.splits import SplitCheck
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import PanopticMap
from panoptic_deeplab.visualization import draw_panoptic, side_by_side

_LONGEST_SIDE = 960
_HEIGHT, _WIDTH = 640, 900  # that a picture on the sheet fits into
_COLUMNS = 2


def draw_samples(checks: Sequence[SplitCheck], count: int) -> np.ndarray | None:
    """[H, W, 3] uint8 RGB: up to `count` faultless images from all over the splits, two in a row.

    None where there is none.
    """
    panels = []
    for place, check in enumerate(checks):
        wanted = count // len(checks) + (place < count % len(checks))
        for index in _spread(check, wanted):
            panels.extend(_drawn(check, index))
    if not panels:
        return None
    rows = [_row(panels[start : start + _COLUMNS]) for start in range(0, len(panels), _COLUMNS)]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([_padded(row, row.shape[0], width) for row in rows])


def _spread(check: SplitCheck, count: int) -> list[int]:
    """Places of faultless images, evenly over the split."""
    faultless = np.flatnonzero(np.frombuffer(bytes(check.faultless), np.uint8))
    picked = np.linspace(0, len(faultless) - 1, min(count, len(faultless)))
    return faultless[np.rint(picked).astype(int)].tolist()


def _drawn(check: SplitCheck, index: int) -> Iterator[tuple[str, np.ndarray]]:
    """The title and the picture of an image; nothing without an annotation."""
    try:
        sample = check.dataset.load(index)
    except DataError:  # changed since it was read
        return
    if "panoptic" in sample:
        image, ids = _reduced(sample["image"], sample["panoptic"])
        truth = PanopticMap(ids, sample["segments"])
        picture = draw_panoptic(image, truth, check.dataset.info)
        factor = min(_HEIGHT / picture.shape[0], _WIDTH / picture.shape[1])
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        yield f"{check.name}: {check.dataset.records[index].image_id}", picture


def _reduced(image: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both made small enough to look at several, the ids by nearest neighbour."""
    factor = _LONGEST_SIDE / max(ids.shape)
    if factor >= 1:
        return image, ids
    size = tuple(max(1, round(side * factor)) for side in ids.shape[::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small, cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST)


def _row(panels: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Panels beside each other, white below the shorter ones."""
    height = max(len(picture) for _, picture in panels)
    filled = [_padded(picture, height, _WIDTH) for _, picture in panels]
    return side_by_side(filled, [title for title, _ in panels])


def _padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture with white below and to the right."""
    below, right = height - picture.shape[0], width - picture.shape[1]
    return np.pad(picture, ((0, below), (0, right), (0, 0)), constant_values=255)
