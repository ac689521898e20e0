"""The images to show: which ones, and each as input, ground truth and every method's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from panoptic_deeplab.config import Config
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.formats.prediction_files import CocoPredictions
from panoptic_deeplab.visualization import draw_panoptic, side_by_side

MAX_WIDTH = 1600
JPEG_QUALITY = 85


class Chosen(NamedTuple):
    """An image to show.

    Attributes:
        index: in the validation split.
        why: it was chosen.
        quality: of each method, by its name.
        mistakes: of each method, by its name: how many of each kind.
    """

    index: int
    why: str
    quality: dict[str, float]
    mistakes: dict[str, dict[str, int]]


def choose_images(methods: Sequence[Mapping[str, Any]], each: int) -> list[Chosen]:
    """Choose the images with the lowest quality of each method and the largest differences.

    Args:
        methods: with `name` and `images`, as `measure` writes them.
        each: number of worst images of each method; no image is chosen twice.
    """
    names = [method["name"] for method in methods]
    quality = np.array([[image["quality"] for image in m["images"]] for m in methods])  # [M, N]
    orders = [
        (np.argsort(row, kind="stable")[:each], f"worst of {name}")
        for row, name in zip(quality, names, strict=True)
    ]
    for i, j in combinations(range(len(names)), 2):
        gain = quality[i] - quality[j]
        orders.append((gain.argmax()[np.newaxis], f"{names[i]} farthest ahead of {names[j]}"))
        orders.append((gain.argmin()[np.newaxis], f"{names[j]} farthest ahead of {names[i]}"))
    reasons: dict[int, list[str]] = {}
    for places, why in orders:
        for place in places.tolist():
            reasons.setdefault(place, []).append(why)
    return [
        Chosen(
            place,
            "; ".join(why),
            dict(zip(names, quality[:, place].tolist(), strict=True)),
            {m["name"]: m["images"][place]["mistakes"] for m in methods},
        )
        for place, why in reasons.items()
    ]


def draw_images(
    chosen: Sequence[Chosen], config: Config, folders: Mapping[str, Path], save_dir: Path
) -> list[dict[str, Any]]:
    """Write a JPEG of each image.

    Args:
        chosen: the images.
        config: whose validation split they are of.
        folders: where each method's predictions lie, by its name.
        save_dir: the images go to its folder `pictures`.

    Returns:
        For each `image_id`, `why`, `quality`, `mistakes` and `file`, relative to `save_dir`.
    """
    info, dataset = config.classes_of("val_dataset"), config.val_dataset
    readers = {n: CocoPredictions(folder / "panoptic.json", info) for n, folder in folders.items()}
    described = []
    for number, entry in enumerate(chosen, start=1):
        record = dataset.records[entry.index]
        image = dataset.load(entry.index)["image"]
        panels = {"ground truth": draw_panoptic(image, dataset.truth(entry.index), info)}
        for name, reader in readers.items():
            prediction = reader.read(record.image_id, record.image_path)
            panels[name] = draw_panoptic(image, prediction, info)
        file = Path("pictures") / f"{number:02}.jpg"
        write_image(save_dir / file, arrange(image, panels), JPEG_QUALITY)
        described.append(
            {
                "image_id": record.image_id,
                "why": entry.why,
                "quality": entry.quality,
                "mistakes": entry.mistakes,
                "file": file.as_posix(),
            }
        )
    return described


def arrange(image: np.ndarray, panels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Arrange input and panels two in a row, all of one size and without legends.

    Args:
        image: [H, W, 3] uint8 RGB.
        panels: title -> [H', W', 3], the image enlarged by an integer factor, with a legend below
            or beside.
    """
    height, width = image.shape[:2]
    beside = height > 1.5 * width
    images = {"input": image}
    for title, panel in panels.items():
        factor = max(1, panel.shape[0] // height if beside else panel.shape[1] // width)
        images[title] = panel[: factor * height, : factor * width]
    largest = max(image.shape[0] for image in images.values())
    factor = min(largest / height, MAX_WIDTH / (2 * width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images.values()]
    titles = list(images)
    if len(scaled) % 2:
        scaled.append(np.full_like(scaled[0], 255))
        titles.append("")
    rows = [side_by_side(scaled[i : i + 2], titles[i : i + 2]) for i in range(0, len(scaled), 2)]
    return np.concatenate(rows)
