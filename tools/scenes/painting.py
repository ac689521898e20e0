"""From painted faces to polygons and pixels.

A thing is a list of flat faces, painted in order. Their union is traced to the polygon of the
annotation, and that polygon, filled by the routine that cityscapesscripts uses for its label
images, is the stencil through which the faces are painted: image and labels cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scenes.camera import ImagePoint
from scenes.weather import Color

Polygon = list[tuple[int, int]]

SHARPNESS = 2
"""Faces are painted this many times finer than the image and averaged, for smooth edges."""

# Texture -> strength of fine and of coarse grain, in hundredths of the brightness.
TEXTURES = {
    "smooth": (0, 0),
    "asphalt": (5, 5),
    "paving": (4, 3),
    "grass": (9, 12),
    "leaves": (13, 16),
    "stone": (9, 8),
    "plaster": (3, 4),
}
_TEXTURE_INDEX = {name: i for i, name in enumerate(TEXTURES)}


class Face(NamedTuple):
    """A flat piece of a thing, in image points.

    Attributes:
        points: its corners in pixels.
        color: (r, g, b), or None for a piece one can look through, which only shapes the outline.
        in_outline: False for a detail that lies within other faces.
    """

    points: Sequence[ImagePoint]
    color: Color | None
    in_outline: bool = True


@dataclass(frozen=True)
class Item:
    """One labeled thing or piece of stuff.

    Attributes:
        label: a label name of Cityscapes, also with "group".
        faces: in painting order.
        texture: one of `TEXTURES`.
        single: keep only the largest piece (an instance must be one polygon).
        number: its own among the instances of its class in a sequence, from 0; None elsewhere.
    """

    label: str
    faces: Sequence[Face]
    texture: str = "smooth"
    single: bool = False
    number: int | None = None


def as_details(faces: Sequence[Face]) -> list[Face]:
    """The same faces as details, which do not shape the outline."""
    return [face._replace(in_outline=False) for face in faces]


def trace(item: Item, size: tuple[int, int]) -> list[Polygon]:
    """The polygons around an item's faces, clipped to an image of (height, width) `size`.

    The largest comes first; pieces too small for a polygon are left out, so the list may be empty.
    """
    shapes = [
        np.round(np.array(face.points) - 0.5).astype(np.int32)
        for face in item.faces
        if face.in_outline
    ]
    if not shapes:
        return []
    corners = np.concatenate(shapes)
    left, top = np.clip(corners.min(0), 0, None)
    right, bottom = np.minimum(corners.max(0), (size[1] - 1, size[0] - 1))
    if left > right or top > bottom:
        return []
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    for shape in shapes:
        cv2.fillPoly(mask, [shape - (left, top)], 1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contours = [cv2.approxPolyDP(contour, 0.6, True) for contour in contours]
    contours = sorted((c for c in contours if len(c) >= 3), key=cv2.contourArea, reverse=True)
    polygons = [[(int(x + left), int(y + top)) for x, y in contour[:, 0]] for contour in contours]
    return polygons[:1] if item.single else polygons


def fill(image: Image.Image, polygons: Iterable[Polygon], value: int) -> None:
    """Fill polygons as cityscapesscripts' json2labelImg does, in place."""
    drawer = ImageDraw.Draw(image)
    for polygon in polygons:
        drawer.polygon(polygon, fill=value)


def own_area(polygons: Sequence[Polygon]) -> float:
    """About how many pixels the polygons would fill if nothing stood before them."""
    return sum(cv2.contourArea(np.array(polygon, np.int32)) for polygon in polygons)


def visible_areas(outlines: Sequence[Sequence[Polygon]], size: tuple[int, int]) -> np.ndarray:
    """[N] pixels that each item shows when all are filled in order."""
    owners = Image.new("I", (size[1], size[0]), 0)
    for i, polygons in enumerate(outlines):
        fill(owners, polygons, i + 1)
    return np.bincount(np.asarray(owners).ravel(), minlength=len(outlines) + 1)[1:]


class Canvas:
    """An image in the making."""

    def __init__(self, size: tuple[int, int], contrast: float = 1.0) -> None:
        """An empty image of (height, width) `size`; `contrast` (0..1) scales the textures."""
        self.size, self._contrast = size, contrast
        self._image = Image.new("RGB", (size[1] * SHARPNESS, size[0] * SHARPNESS))
        self._textures = Image.new("L", (size[1], size[0]))

    def paint(self, item: Item, polygons: Sequence[Polygon]) -> None:
        """Paint an item's faces through its polygons."""
        if not polygons:
            return
        stencil = Image.new("L", self._textures.size)
        fill(stencil, polygons, 255)
        corners = np.concatenate(polygons)
        box = (*corners.min(0).tolist(), *(corners.max(0) + 1).tolist())
        fill(self._textures, polygons, _TEXTURE_INDEX[item.texture])
        fine_box = tuple(value * SHARPNESS for value in box)
        patch = self._image.crop(fine_box)
        drawer = ImageDraw.Draw(patch)
        for face in item.faces:
            if face.color is not None:
                drawer.polygon(_to_patch(face.points, box), fill=_to_bytes(face.color))
        self._image.paste(patch, fine_box, stencil.crop(box).resize(patch.size, Image.NEAREST))

    def darken(self, points: Sequence[ImagePoint], strength: float, softness: float) -> None:
        """A shadow on what is painted so far, its border `softness` pixels wide."""
        margin = 2 * softness + 1
        xs, ys = zip(*points, strict=True)
        box = (
            max(0, int(min(xs) - margin)),
            max(0, int(min(ys) - margin)),
            min(self.size[1], int(max(xs) + margin) + 1),
            min(self.size[0], int(max(ys) + margin) + 1),
        )
        if box[0] >= box[2] or box[1] >= box[3]:
            return
        fine_box = tuple(value * SHARPNESS for value in box)
        patch = self._image.crop(fine_box)
        mask = Image.new("L", patch.size)
        ImageDraw.Draw(mask).polygon(_to_patch(points, box), fill=int(255 * strength))
        mask = mask.filter(ImageFilter.GaussianBlur(softness * SHARPNESS))
        self._image.paste((18, 18, 26), fine_box, mask)

    def develop(self, random: Random, frame: int = 0) -> np.ndarray:
        """[H, W, 3] uint8 RGB: the image with textures and a camera's faults.

        The frames of a sequence differ in their noise alone.
        """
        image = cv2.resize(
            np.asarray(self._image), self.size[::-1], interpolation=cv2.INTER_AREA
        ).astype(np.float32)
        noise = np.random.default_rng(random.getrandbits(64) + frame)
        image *= 1 + self._grain(noise)[..., None]
        unit = min(self.size[1] / 512, self.size[0] / 256)
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 0.75) * max(1.0, unit**0.5))
        image = _expose(image, random)
        image += noise.normal(0, random.uniform(1, 6), image.shape).astype(np.float32)
        return np.clip(np.round(image), 0, 255).astype(np.uint8)

    def _grain(self, noise: np.random.Generator) -> np.ndarray:
        strengths = np.array(list(TEXTURES.values()), np.float32)[np.asarray(self._textures)]
        height, width = self.size
        fine = noise.standard_normal((height, width), np.float32)
        patches = noise.standard_normal((max(4, height // 5), max(4, width // 5)), np.float32)
        coarse = cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
        return (strengths[..., 0] * fine + strengths[..., 1] * coarse) * self._contrast / 100


def _expose(image: np.ndarray, random: Random) -> np.ndarray:
    gain = random.uniform(0.88, 1.12)
    balance = np.array([random.uniform(0.95, 1.05) for _ in range(3)], np.float32)
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    vignette = 1 - random.uniform(0, 0.12) * (x * x + y * y)
    return image * (gain * balance) * vignette[..., None]


def _to_patch(points: Sequence[ImagePoint], box: Sequence[int]) -> list[ImagePoint]:
    left, top = box[:2]
    return [((x - left) * SHARPNESS - 0.5, (y - top) * SHARPNESS - 0.5) for x, y in points]


def _to_bytes(color: Color) -> tuple[int, int, int]:
    return tuple(min(255, max(0, int(value))) for value in color)
