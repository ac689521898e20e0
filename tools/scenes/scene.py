"""One scene: an image and its annotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from scenes.camera import Camera, ImagePoint
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
    world = World(seed, split, index, height, width)
    items = [actor.items for actor in world.actors]
    return world.render(world.camera, [world.camera] * len(items), items)


class World:
    """A street and all that is in it, from which scenes are rendered.

    Args:
        seed, split, index: what all random draws come from.
        height, width: of the images, in pixels.
        in_motion: whether those are there who come later in a sequence.
    """

    def __init__(
        self,
        seed: int,
        split: str,
        index: int,
        height: int,
        width: int,
        in_motion: bool = False,
    ) -> None:
        self._key = f"{seed} {split} {index}"
        self.camera = Camera.random(height, width, self.random_for("camera"))
        self.weather = Weather.random(self.random_for("weather"))
        self.layout = Layout.random(self.random_for("layout"))
        traffic = Traffic(self.layout, self.camera, self.weather, self.random_for("traffic"))
        traffic.fill()
        if in_motion:
            traffic.expect()
        self.actors = traffic.actors

    def random_for(self, part: str) -> Random:
        """The random draws of a part of this world, the same at each call."""
        return Random(f"{self._key} {part}")

    def render(
        self,
        camera: Camera,
        views: Sequence[Camera],
        items: Sequence[Sequence[Item]],
        frame: int = 0,
    ) -> Scene:
        """Make an image and its annotation.

        Args:
            camera: from where the street is seen.
            views: for each actor the place from which it looks, where it stood at the start, as
                it does now.
            items: what is painted of each actor.
            frame: number of the image in its sequence.
        """
        layout, weather, random_for = self.layout, self.weather, self.random_for
        still = [
            sky(camera, weather, random_for("sky")),
            *backdrop(layout, camera, weather, random_for("backdrop")),
            *ground(layout, camera, weather, random_for("ground")),
            *fronts(layout, camera, weather, random_for("fronts")),
        ]
        footprints = [
            actor.footprint.seen_from(view) for actor, view in zip(self.actors, views, strict=True)
        ]
        order = far_to_near(footprints)
        moving = [item for i in order for item in items[i]]
        border = image_frame(camera, random_for("frame"))
        shadows = [views[i].project_all(self.actors[i].shadow) for i in order]

        film = random_for("film")
        return paint_scene(camera, weather, still, shadows, moving, border, film, frame)


def paint_scene(
    camera: Camera,
    weather: Weather,
    still: Sequence[Item],
    shadows: Sequence[Sequence[ImagePoint]],
    moving: Sequence[Item],
    border: Sequence[Item],
    film: Random,
    frame: int = 0,
) -> Scene:
    """Paint one image and note the polygons of its annotation.

    Args:
        camera: from where it is seen.
        weather: the light.
        still: what is painted first, in order.
        shadows: outlines in the image that then darken it.
        moving: what stands before all that, in order; what is hidden or too small is left out.
        border: what covers everything at the image's border.
        film: random draws for the camera's faults.
        frame: number of the image in its sequence.
    """
    canvas = Canvas(camera.size, contrast=min(1.0, weather.fog / 220))
    annotated = _paint(canvas, _traced(still, camera.size))
    for shadow in shadows:
        canvas.darken(shadow, weather.shadow, softness=max(0.6, camera.size[0] / 256))
    shown = _shown(_traced(moving, camera.size), _traced(border, camera.size), camera.size)
    annotated += _paint(canvas, shown)
    image = canvas.develop(film, frame)
    return Scene(image, _annotation(annotated, camera.size))


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


def _paint(canvas: Canvas, items: Sequence[Traced]) -> list[tuple[Item, Polygon]]:
    """Paint the items in order; return each with each of its polygons."""
    for item, polygons in items:
        canvas.paint(item, polygons)
    return [(item, polygon) for item, polygons in items for polygon in polygons]


def _annotation(objects: Sequence[tuple[Item, Polygon]], size: tuple[int, int]) -> dict[str, Any]:
    return {
        "imgHeight": size[0],
        "imgWidth": size[1],
        "objects": [_object(item, polygon) for item, polygon in objects],
    }


def _object(item: Item, polygon: Polygon) -> dict[str, Any]:
    numbered = {} if item.number is None else {"id": item.number}
    return numbered | {"label": item.label, "polygon": [list(point) for point in polygon]}
