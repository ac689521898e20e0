"""Made-up images, annotations and network outputs, equal in every run.

Things are ellipses on a jittered grid that cover a quarter of the image; stuff is whatever of
some smooth random fields is the highest, which gives borders such as a network's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.structures import Frame, Segment

Size = tuple[int, int]

FULL_SIZE: Size = (1024, 2048)
QUICK_SIZE: Size = (128, 256)
STRIDE = 4
THING_FRACTION = 0.25
CENTER_SIGMA = 8.0  # pixels, as the targets'


class Ellipse(NamedTuple):
    """A thing: its middle (y, x), half axes (y, x) and class, in pixels of the whole image."""

    middle: tuple[float, float]
    half_axes: tuple[float, float]
    category: int


def size_of(quick: bool) -> Size:
    """(height, width) of the images."""
    return QUICK_SIZE if quick else FULL_SIZE


def ellipses(size: Size, count: int, rng: np.random.Generator) -> list[Ellipse]:
    """`count` things that do not overlap and cover a quarter of the image together."""
    height, width = size
    columns = int(np.ceil(np.sqrt(count * width / height)))
    rows = -(-count // columns)
    cell = height / rows, width / columns
    area = THING_FRACTION * height * width / count
    things = []
    for place in np.sort(rng.permutation(rows * columns)[:count]):
        slimness = rng.uniform(0.8, 1.25)
        half = np.sqrt(area / np.pi) * np.array([slimness, 1 / slimness])
        room = np.maximum(np.array(cell) / 2 - half, 0)
        middle = (np.array(divmod(place, columns)) + 0.5) * cell + rng.uniform(-room, room)
        things.append(Ellipse(tuple(middle), tuple(half), int(rng.choice(CITYSCAPES.thing_ids))))
    return things


def draw_things(things: list[Ellipse], size: Size, stride: int = 1) -> np.ndarray:
    """[H, W] int32, 0 for none, else the number of the thing; every `stride`-th pixel."""
    numbers = np.zeros((-(-size[0] // stride), -(-size[1] // stride)), np.int32)
    for number, thing in enumerate(things, 1):
        middle, half = (np.array(pair) / stride for pair in (thing.middle, thing.half_axes))
        box = tuple(
            slice(max(int(m - h), 0), int(m + h) + 2) for m, h in zip(middle, half, strict=True)
        )
        y, x = np.mgrid[box]
        part = numbers[box]
        y, x = y[: part.shape[0], : part.shape[1]], x[: part.shape[0], : part.shape[1]]
        inside = ((y - middle[0]) / half[0]) ** 2 + ((x - middle[1]) / half[1]) ** 2 <= 1
        part[inside] = number
    return numbers


def network_outputs(size: Size, centers: int, seed: int = 0) -> dict[str, np.ndarray]:
    """`semantic`, `center` and `offset` [1, C, h, w] float32 at stride 4, as a network's."""
    rng = np.random.default_rng(seed)
    things = ellipses(size, centers, rng)
    numbers = draw_things(things, size, STRIDE)
    return {
        "semantic": _logits(numbers, things, rng)[None],
        "center": _heatmap(numbers.shape, things, rng)[None, None],
        "offset": _offsets(numbers, things, rng)[None],
    }


def _logits(numbers: np.ndarray, things: list[Ellipse], rng: np.random.Generator) -> np.ndarray:
    """[C, h, w]: smooth fields for the stuff, a soft plateau for each thing, a little noise."""
    shape = (CITYSCAPES.num_classes, *numbers.shape)
    logits = np.full(shape, -6, np.float32)
    for category in CITYSCAPES.stuff_ids:
        field = cv2.GaussianBlur(rng.standard_normal(numbers.shape), (0, 0), 20)
        logits[category] = 3 * field / field.std()
    categories = np.array([-1, *(thing.category for thing in things)])[numbers]
    for category in CITYSCAPES.thing_ids:
        inside = (categories == category).astype(np.float32)
        logits[category] += 22 * cv2.GaussianBlur(inside, (0, 0), 1)
    return logits + rng.normal(0, 0.08, shape).astype(np.float32)


def _heatmap(shape: Size, things: list[Ellipse], rng: np.random.Generator) -> np.ndarray:
    """[h, w]: a Gaussian at each thing and noise far below any threshold."""
    y, x = (np.arange(side) * STRIDE for side in shape)
    heatmap = rng.uniform(0, 0.02, shape)
    for thing in things:
        row, column = (
            np.exp(-((axis - middle) ** 2) / (2 * CENTER_SIGMA**2))
            for axis, middle in zip((y, x), thing.middle, strict=True)
        )
        heatmap += 0.9 * row[:, None] * column
    return heatmap.astype(np.float32)


def _offsets(numbers: np.ndarray, things: list[Ellipse], rng: np.random.Generator) -> np.ndarray:
    """[2, h, w]: from each thing's pixels to its middle, give or take 2 pixels."""
    middles = np.array([(0.0, 0.0), *(thing.middle for thing in things)])
    pixels = np.mgrid[: numbers.shape[0], : numbers.shape[1]] * STRIDE
    true = (np.moveaxis(middles[numbers], 2, 0) - pixels) * (numbers > 0)
    return (true + rng.normal(0, 2, true.shape)).astype(np.float32)


def annotated_sample(size: Size, instances: int, seed: int = 0) -> dict[str, Any]:
    """A sample as a data set gives it: stuff in bands, things upon it, noise for an image."""
    rng = np.random.default_rng(seed)
    things = ellipses(size, instances, rng)
    numbers = draw_things(things, size)
    stuff = CITYSCAPES.stuff_ids
    bands = (np.arange(size[0]) * len(stuff) // size[0]).astype(np.int32) + len(things) + 1
    ids = np.where(numbers > 0, numbers, bands[:, None]).astype(np.int32)
    segments = [Segment(number, thing.category) for number, thing in enumerate(things, 1)]
    segments += [Segment(len(things) + 1 + i, category) for i, category in enumerate(stuff)]
    return {
        "image": rng.integers(0, 256, (*size, 3), np.uint8),
        "panoptic": ids,
        "segments": segments,
        "frame": Frame.whole(*size),
        "image_id": "made up",
    }
