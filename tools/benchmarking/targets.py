"""From annotations to training targets: `CenterOffsetTargets` against a mask for each segment.

`plain_targets` states what the reference implementations do; a whole training sample is compared
with PaddleSeg's own transforms before it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarking.contest import Contest, DisagreementError, Way
from benchmarking.inputs import Size, annotated_sample, size_of
from benchmarking.processes import Call
from panoptic_deeplab.structures import Segment

INSTANCES = 30
SIGMA, SMALL_AREA, SMALL_WEIGHT, IGNORED = 8, 4096, 3, 255
MAPS = (
    "semantic",
    "center",
    "offset",
    "semantic_weights",
    "center_weights",
    "offset_weights",
)
CONFIG = (
    Path(__file__).parents[2]
    / "configs"
    / "panoptic_deeplab"
    / "panoptic_deeplab_resnet50_os32_cityscapes_2049x1025_bs1_90k_lr00005.yml"
)
CROP, QUICK_CROP = (2049, 1025), (257, 129)  # width, height
SCALES = (0.5, 1.0, 1.5, 2.0)


def contests(folder: Path, quick: bool) -> Iterable[Contest]:
    """The targets alone, and the whole way from PNG files."""
    size = size_of(quick)
    yield Contest(
        f"targets of {INSTANCES} instances",
        Way(partial(prepare_ours, size)),
        Way(partial(prepare_plain, size)),
        "plain statement, numpy",
        goal=15,
        check=same_targets,
    )
    scenes = make_training_scenes(folder / "scenes", size, len(SCALES), 1 if quick else 2)
    crop = QUICK_CROP if quick else CROP
    yield Contest(
        f"PNG to targets, {len(SCALES)} of {crop[0]}x{crop[1]}",
        Way(partial(prepare_samples, scenes, crop)),
        Way(partial(prepare_plain_samples, scenes, crop)),
        "PaddleSeg, plain targets",
        goal=5,
        note="scaled by .5, 1, 1.5 and 2; theirs also normalises, which ours leaves to the network",
    )


def make_training_scenes(root: Path, size: Size, count: int, workers: int) -> Path:
    """A data set in Cityscapes' layout."""
    from make_scenes import make_scenes

    make_scenes(root, {"train": count}, size, seed=1, workers=workers)
    return root


def same_targets(ours: dict[str, np.ndarray], plain: dict[str, np.ndarray]) -> None:
    """Refuses maps of other values."""
    for name in MAPS:
        if not np.array_equal(ours[name], plain[name]):
            raise DisagreementError(f"the targets differ in {name}")


# --- the targets alone ---


def prepare_ours(size: Size) -> Call:
    """The maps by `CenterOffsetTargets`."""
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES
    from panoptic_deeplab.targets import CenterOffsetTargets

    targets = CenterOffsetTargets(CITYSCAPES.thing_ids)
    sample = annotated_sample(size, INSTANCES)

    def run() -> dict[str, np.ndarray]:
        maps = targets(sample)
        return {name: maps[name] for name in MAPS}

    return run


def prepare_plain(size: Size) -> Call:
    """The same maps, plainly."""
    sample = annotated_sample(size, INSTANCES)
    return partial(plain_targets, sample["panoptic"], sample["segments"])


def plain_targets(ids: np.ndarray, segments: Sequence[Segment]) -> dict[str, np.ndarray]:
    """The training maps of [H, W] ids: for each segment a mask of the whole picture."""
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES

    def where(segment: Segment) -> np.ndarray:
        return ids == segment.id  # looked for anew for every map, as they do

    semantic = np.full(ids.shape, IGNORED, np.uint8)
    center = np.zeros(ids.shape, np.float32)
    offset = np.zeros((2, *ids.shape), np.float32)
    semantic_weights = np.ones(ids.shape, np.float32)
    center_weights, offset_weights = np.zeros((2, *ids.shape), np.float32)
    positions = [np.cumsum(np.ones(ids.shape, np.float32), axis) - 1 for axis in (0, 1)]
    for segment in segments:
        semantic[where(segment)] = segment.category
        if not segment.iscrowd:
            center_weights[where(segment)] = 1
        if segment.category not in CITYSCAPES.thing_ids:
            continue
        if not segment.iscrowd:
            offset_weights[where(segment)] = 1
        pixels = np.where(where(segment))
        if not len(pixels[0]):
            continue
        if len(pixels[0]) < SMALL_AREA:
            semantic_weights[where(segment)] = SMALL_WEIGHT
        middle = [np.mean(axis) for axis in pixels]
        plain_gaussian(center, middle)
        for axis in (0, 1):
            offset[(np.full_like(pixels[0], axis), *pixels)] = (
                np.float32(middle[axis]) - positions[axis][pixels]
            )
    maps = (semantic, center, offset, semantic_weights, center_weights, offset_weights)
    return dict(zip(MAPS, maps, strict=True))


def plain_gaussian(heatmap: np.ndarray, middle: Sequence[float]) -> None:
    """Draws a Gaussian into a heat map [H, W], the larger value where two meet."""
    reach = 3 * SIGMA + 1
    axis = np.arange(-reach, reach + 1, dtype=np.float64)
    window = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * SIGMA**2)).astype(np.float32)
    y, x = (int(value) for value in middle)
    top, left = max(y - reach, 0), max(x - reach, 0)
    part = heatmap[top : y + reach + 1, left : x + reach + 1]
    inner = window[top - y + reach :, left - x + reach :][: part.shape[0], : part.shape[1]]
    np.maximum(part, inner, out=part)


# --- whole samples ---


def prepare_samples(root: Path, crop: tuple[int, int]) -> Call:
    """A training sample at each scale, as the trainer's workers make it."""
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.engine.loading import TrainingSamples

    sources = []
    for scale in SCALES:
        changes = [f"train_dataset.dataset_root={root}"]
        changes += [
            f"train_dataset.transforms.0.{end}_scale_factor={scale}" for end in ("min", "max")
        ]
        changes.append(f"train_dataset.transforms.1.crop_size=[{crop[0]},{crop[1]}]")
        config = Config(str(CONFIG), changes)
        sources.append(TrainingSamples(config.train_dataset, config.targets, seed=0))
    return lambda: [source[0, index] for index, source in enumerate(sources)]


def prepare_plain_samples(root: Path, crop: tuple[int, int]) -> Call:
    """The same by PaddleSeg's transforms on float pictures and three-channel annotations."""
    from paddleseg import transforms as T

    from panoptic_deeplab.datasets import CityscapesPanoptic

    records = CityscapesPanoptic(str(root), "train").records
    pipelines = [
        T.Compose(
            [
                T.ResizeStepScaling(scale, scale),
                T.RandomPaddingCrop(crop, label_padding_value=(0, 0, 0)),
                T.RandomHorizontalFlip(),
                T.RandomDistort(brightness_range=0.4, contrast_range=0.4, saturation_range=0.4),
                T.Normalize(),
            ]
        )
        for scale in SCALES
    ]

    def run() -> list[dict[str, Any]]:
        random.seed(0)
        np.random.seed(0)
        return [
            plain_sample(pipeline, record)
            for pipeline, record in zip(pipelines, records, strict=True)
        ]

    return run


def plain_sample(pipeline: Any, record: Any) -> dict[str, Any]:
    """One sample by PaddleSeg's transforms, with its targets."""
    paths = {"img": str(record.image_path), "label": str(record.label_path)}
    data = pipeline(paths | {"gt_fields": ["label"]})
    colors = data["label"].astype(np.int32)
    ids = colors[..., 0] + 256 * colors[..., 1] + 256 * 256 * colors[..., 2]
    return {"image": data["img"]} | plain_targets(ids, record.segments)
