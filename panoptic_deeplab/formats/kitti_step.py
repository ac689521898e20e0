"""KITTI-STEP and MOTChallenge-STEP: their classes, and the class and id of each pixel in PNGs.

An annotation is an RGB PNG with R = class, 256 G + B = id: 255 is void, ids of tracked things begin
with 1, and stuff and crowds have 0. As in deeplab2's `g3doc/setup/kitti_step.md` and
`motchallenge_step.md`, https://arxiv.org/abs/2102.11859.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from panoptic_deeplab.errors import DataError, raise_or_collect
from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.formats.images import encode_image, read_ids
from panoptic_deeplab.id_maps import measure_ids
from panoptic_deeplab.structures import VOID_ID, DatasetInfo, PanopticMap, Segment

VOID_CLASS = 255
MAX_ID = 2**16 - 1
_TRACKED = ("person", "car")
_MOT_CLASSES = ("sidewalk", "building", "vegetation", "sky", "person", "rider", "bicycle")


def _with_tracked(name: str, classes: Sequence[str], tracked: Sequence[str]) -> DatasetInfo:
    categories = [CITYSCAPES.categories[CITYSCAPES.index_of_name[c]] for c in classes]
    return DatasetInfo(
        name,
        tuple(
            replace(category, is_thing=category.name in tracked, official_id=index)
            for index, category in enumerate(categories)
        ),
        VOID_CLASS,
    )


KITTI_STEP = _with_tracked("KITTI-STEP", tuple(CITYSCAPES.index_of_name), _TRACKED)
"""Cityscapes' 19 evaluated classes, of which persons and cars are things."""

MOTCHALLENGE_STEP = _with_tracked("MOTChallenge-STEP", _MOT_CLASSES, ["person"])
"""Seven classes, of which persons are things."""


def read_step_maps(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read class and id of each pixel: [H, W] uint8 and [H, W] int32.

    Raises:
        DataError: the file is no RGB PNG of 8 bits.
    """
    rgb = read_ids(path)  # R + 256 G + 65536 B
    return (rgb & 255).astype(np.uint8), (rgb & 0xFF00) + (rgb >> 16)


def read_two_channel_maps(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a prediction of deeplab2 with R = class, G = id: [H, W] uint8 and [H, W] int32.

    Raises:
        DataError: the file is no RGB PNG of 8 bits, or it has something in its third channel.
    """
    classes, ids = read_step_maps(path)
    if (ids & 255).any():
        raise DataError(
            f"{path}: has values in its third channel, so that its ids take two; read it as "
            "three_channel_png"
        )
    return classes, ids >> 8


def read_step_map(path: str | Path, info: DatasetInfo) -> PanopticMap:
    """Read an annotation or a prediction; its things have their ids as `track_id`.

    Args:
        path: the PNG.
        info: its classes. Things with id 0 are crowds; ids of stuff mean nothing.

    Raises:
        DataError: the file is no RGB PNG, or it has a class that `info` does not.
    """
    classes, ids = read_step_maps(path)
    is_thing = np.zeros(VOID_CLASS + 1, bool)
    is_thing[list(info.thing_ids)] = True
    values = (classes.astype(np.int32) + 1 << 16) + np.where(is_thing[classes], ids, 0)
    values[classes == info.ignore_index] = VOID_ID
    measures = measure_ids(values)
    segments = []
    for value, area, pixel in zip(
        measures.ids.tolist(), measures.areas.tolist(), measures.first.tolist(), strict=True
    ):
        category, track = (value >> 16) - 1, value & MAX_ID
        if value == VOID_ID:
            continue
        if category >= info.num_classes:
            _refuse_class(path, category, pixel, info)
            values[values == value] = VOID_ID
            continue
        iscrowd = category in info.thing_ids and not track
        segments.append(Segment(value, category, iscrowd, area, track_id=track or None))
    return PanopticMap(values, segments)


def _refuse_class(path: str | Path, category: int, pixel: list[int], info: DatasetInfo) -> None:
    y, x = pixel
    raise_or_collect(
        DataError(
            f"{path}: class {category} at pixel (y {y}, x {x}) is none of {info.name} "
            f"(0..{info.num_classes - 1}, or {info.ignore_index} for void)",
            kind="unknown category",
            file=path,
            pixel=(y, x),
        )
    )


def encode_step_map(panoptic: PanopticMap, info: DatasetInfo) -> bytes:
    """Make the PNG of a map; `read_step_map` is the inverse.

    Args:
        panoptic: ids [H, W] and segments. A thing has its `track_id`, or where no segment has one
            its number within its class and this image, from 1; a crowd has 0.
        info: its classes.

    Raises:
        DataError: an id does not fit into two bytes.
    """
    table = np.zeros((int(panoptic.ids.max(initial=VOID_ID)) + 1, 3), np.uint8)
    table[:, 0] = VOID_CLASS
    for segment, number in zip(panoptic.segments, _numbers(panoptic, info), strict=True):
        if number > MAX_ID:
            raise DataError(f"id {number} is above {MAX_ID}, the highest of {info.name}'s PNGs")
        if segment.id < len(table):
            table[segment.id] = segment.category, *divmod(number, 256)
    return encode_image(table[panoptic.ids])


def _numbers(panoptic: PanopticMap, info: DatasetInfo) -> list[int]:
    """The id of each segment within its class, 0 for stuff and crowds."""
    is_tracked = any(segment.track_id is not None for segment in panoptic.segments)
    counts = [0] * info.num_classes
    numbers = []
    for segment in panoptic.segments:
        if segment.iscrowd or segment.category not in info.thing_ids:
            numbers.append(0)
        elif is_tracked:
            numbers.append(segment.track_id or 0)
        else:
            counts[segment.category] += 1
            numbers.append(counts[segment.category])
    return numbers
