"""One scene: a picture and its annotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from scenes import street
from scenes.camera import Camera
from scenes.painting import Canvas, Face, Item, Polygon, trace, visible_areas
from scenes.traffic import Traffic, far_to_near
from scenes.weather import Weather

SMALLEST_SHARE = 9e-5
"""Share of the picture's pixels below which nobody would have annotated a thing."""
HIDDEN_SHARE = 0.15
"""Share of its own pixels below which a thing counts as hidden."""


@dataclass(frozen=True)
class Scene:
    """What is written for one picture.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        annotation: the content of Cityscapes' `*_polygons.json`.
    """

    image: np.ndarray
    annotation: dict[str, Any]


def make_scene(seed: int, split: str, index: int, height: int, width: int) -> Scene:
    """The scene number `index` of a split; it depends on nothing but the arguments."""
    random = Random(f"{seed} {split} {index}")
    camera = Camera.random(height, width, random)
    weather = Weather.random(random)
    layout = street.Layout.random(random)
    traffic = Traffic(layout, camera, weather, random)
    traffic.fill()
    actors = [traffic.actors[i] for i in far_to_near([a.footprint for a in traffic.actors])]

    still = [
        street.sky(camera, weather, random),
        *street.backdrop(layout, camera, weather, random),
        *street.ground(layout, camera, weather, random),
        *street.fronts(layout, camera, weather, random),
    ]
    moving = [item for actor in actors for item in actor.items]
    frame = picture_frame(camera, random)
    shadows = [camera.project_all(actor.shadow) for actor in actors]

    canvas = Canvas(camera.size)
    annotated = _paint(canvas, still)
    for shadow in shadows:
        canvas.darken(shadow, weather.shadow, softness=max(0.6, height / 256))
    annotated += _paint(canvas, _shown(moving, frame, camera.size)) + _paint(canvas, frame)
    return Scene(canvas.develop(random), _annotation(annotated, camera.size))


def picture_frame(camera: Camera, random: Random) -> list[Item]:
    """What Cityscapes leaves out at the border: our own car and the edge of the camera's view."""
    height, width = camera.size
    items = []
    if random.random() < 0.6:
        rise, color = random.uniform(0.02, 0.035) * height, random.uniform(24, 60)
        hood = [(0.2 * width, height), (0.32 * width, height - 0.7 * rise), (0.42 * width, height - rise),
                (0.58 * width, height - rise), (0.68 * width, height - 0.7 * rise), (0.8 * width, height)]  # fmt: skip
        items.append(Item("ego vehicle", [Face(hood, (color, color, color + 6))]))
    if random.random() < 0.5:
        edge = max(1.0, width / 512)
        black = (6.0, 6.0, 6.0)
        for x0, x1 in ((0.0, edge), (width - edge, float(width))):
            corners = ((x0, 0.0), (x1 - 0.5, 0.0), (x1 - 0.5, float(height)), (x0, float(height)))
            items.append(Item("rectification border", [Face(corners, black)]))
    return items


def _shown(items: Sequence[Item], frame: Sequence[Item], size: tuple[int, int]) -> list[Item]:
    """The items of which enough is to be seen to tell what they are."""
    outlines = [trace(item, size) for item in (*items, *frame)]
    shown = visible_areas(outlines, size)
    smallest = max(6.0, SMALLEST_SHARE * size[0] * size[1])
    kept = []
    for item, outline, area in zip(items, outlines, shown, strict=False):
        alone = visible_areas([outline], size)[0]
        plate = item.label == "license plate"
        if plate or (area >= max(smallest, HIDDEN_SHARE * alone)):
            kept.append(item)
    return kept


def _paint(canvas: Canvas, items: Sequence[Item]) -> list[tuple[str, Polygon]]:
    """Paints the items in order; their labels and polygons."""
    annotated = []
    for item in items:
        polygons = trace(item, canvas.size)
        canvas.paint(item, polygons)
        annotated += [(item.label, polygon) for polygon in polygons]
    return annotated


def _annotation(objects: Sequence[tuple[str, Polygon]], size: tuple[int, int]) -> dict[str, Any]:
    return {
        "imgHeight": size[0],
        "imgWidth": size[1],
        "objects": [
            {"label": label, "polygon": [list(point) for point in polygon]}
            for label, polygon in objects
        ],
    }
