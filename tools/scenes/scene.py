"""One scene: an image and its annotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from scenes.camera import Camera
from scenes.fronts import backdrop, fronts
from scenes.order import far_to_near
from scenes.painting import Canvas, Face, Item, Polygon, own_area, trace, visible_areas
from scenes.street import Layout, ground, sky
from scenes.traffic import Traffic
from scenes.weather import Weather

Traced = tuple[Item, list[Polygon]]

SMALLEST_SHARE = 9e-5
"""Fraction of the image's pixels below which nobody would have annotated a thing."""
HIDDEN_SHARE = 0.15
"""Fraction of its own pixels below which a thing counts as hidden."""


@dataclass(frozen=True)
class Scene:
    """What is written for one image.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        annotation: the content of Cityscapes' `*_polygons.json`.
    """

    image: np.ndarray
    annotation: dict[str, Any]


def make_scene(seed: int, split: str, index: int, height: int, width: int) -> Scene:
    """The scene number `index` of a split; it depends on nothing but the arguments."""

    def random_for(part: str) -> Random:
        return Random(f"{seed} {split} {index} {part}")

    camera = Camera.random(height, width, random_for("camera"))
    weather = Weather.random(random_for("weather"))
    layout = Layout.random(random_for("layout"))
    traffic = Traffic(layout, camera, weather, random_for("traffic"))
    traffic.fill()
    actors = [traffic.actors[i] for i in far_to_near([a.footprint for a in traffic.actors])]

    still = [
        sky(camera, weather, random_for("sky")),
        *backdrop(layout, camera, weather, random_for("backdrop")),
        *ground(layout, camera, weather, random_for("ground")),
        *fronts(layout, camera, weather, random_for("fronts")),
    ]
    moving = [item for actor in actors for item in actor.items]
    frame = image_frame(camera, random_for("frame"))
    shadows = [camera.project_all(actor.shadow) for actor in actors]

    canvas = Canvas(camera.size, contrast=min(1.0, weather.fog / 220))
    annotated = _paint(canvas, _traced(still, camera.size))
    for shadow in shadows:
        canvas.darken(shadow, weather.shadow, softness=max(0.6, height / 256))
    annotated += _paint(
        canvas, _shown(_traced(moving, camera.size), _traced(frame, camera.size), camera.size)
    )
    return Scene(canvas.develop(random_for("film")), _annotation(annotated, camera.size))


def image_frame(camera: Camera, random: Random) -> list[Item]:
    """What Cityscapes leaves out at the border: our own car and the edge of the camera's view."""
    height, width = camera.size
    items = []
    if random.random() < 0.6:
        rise, color = random.uniform(0.02, 0.035) * height, random.uniform(24, 60)
        hood = [
            (fraction * width, height - lift * rise)
            for fraction, lift in (
                (0.2, 0),
                (0.32, 0.7),
                (0.42, 1),
                (0.58, 1),
                (0.68, 0.7),
                (0.8, 0),
            )
        ]
        items.append(Item("ego vehicle", [Face(hood, (color, color, color + 6))]))
    if random.random() < 0.5:
        edge = max(1.0, width / 512)
        black = (6.0, 6.0, 6.0)
        for x0, x1 in ((0.0, edge), (width - edge, float(width))):
            corners = ((x0, 0.0), (x1 - 0.5, 0.0), (x1 - 0.5, float(height)), (x0, float(height)))
            items.append(Item("rectification border", [Face(corners, black)]))
    return items


def _traced(items: Sequence[Item], size: tuple[int, int]) -> list[Traced]:
    return [(item, trace(item, size)) for item in items]


def _shown(items: Sequence[Traced], frame: Sequence[Traced], size: tuple[int, int]) -> list[Traced]:
    """The items of which enough is to be seen to tell what they are, and the frame over them."""
    areas = visible_areas([polygons for _, polygons in (*items, *frame)], size)
    smallest = max(6.0, SMALLEST_SHARE * size[0] * size[1])
    kept = [
        (item, polygons)
        for (item, polygons), area in zip(items, areas, strict=False)
        if item.label == "license plate" or area >= max(smallest, HIDDEN_SHARE * own_area(polygons))
    ]
    return [*kept, *frame]


def _paint(canvas: Canvas, items: Sequence[Traced]) -> list[tuple[str, Polygon]]:
    """Paint the items in order; return their labels and polygons."""
    for item, polygons in items:
        canvas.paint(item, polygons)
    return [(item.label, polygon) for item, polygons in items for polygon in polygons]


def _annotation(objects: Sequence[tuple[str, Polygon]], size: tuple[int, int]) -> dict[str, Any]:
    return {
        "imgHeight": size[0],
        "imgWidth": size[1],
        "objects": [
            {"label": label, "polygon": [list(point) for point in polygon]}
            for label, polygon in objects
        ],
    }
