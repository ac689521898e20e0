"""From annotations to training targets: `CenterOffsetTargets` against a mask for each segment.

`plain_targets` states what PaddleSeg's contrib/PanopticDeepLab does, `plain_sample` what its data
set does around it, by PaddleSeg's own transforms.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarking.comparison import Comparison, DisagreementError, Implementation
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
SAMPLES = [(scale, probability) for scale in SCALES for probability in (0, 1)]
"""A scale, and the probability of a flip and of distortions: 0 or 1, as random draws would differ
between the two sides."""


def comparisons(folder: Path, quick: bool) -> Iterable[Comparison]:
    """The targets alone, and the whole way from PNG files."""
    size = size_of(quick)
    yield Comparison(
        f"targets of {INSTANCES} instances",
        Implementation(partial(prepare_ours, size)),
        Implementation(partial(prepare_plain, size)),
        "plain statement, numpy",
        goal=15,
        check=same_targets,
    )
    scenes = make_training_scenes(folder / "scenes", size, len(SCALES), 1 if quick else 2)
    crop = QUICK_CROP if quick else CROP
    yield Comparison(
        f"PNG to targets, {len(SAMPLES)} of {crop[0]}x{crop[1]}",
        Implementation(partial(prepare_samples, scenes, crop)),
        Implementation(partial(prepare_plain_samples, scenes, crop)),
        "PaddleSeg, plain targets",
        goal=5,
        check=same_samples,
        note="scaled by .5 to 2, half of them flipped and distorted; theirs also normalizes, which "
        "ours leaves to the network",
    )


def make_training_scenes(root: Path, size: Size, count: int, workers: int) -> Path:
    """A data set in Cityscapes' layout."""
    from make_scenes import make_scenes

    make_scenes(root, {"train": count}, size, seed=1, workers=workers)
    return root


def same_targets(ours: dict[str, np.ndarray], plain: dict[str, np.ndarray]) -> None:
    """Refuse maps of other values."""
    for name in MAPS:
        if not np.array_equal(ours[name], plain[name]):
            raise DisagreementError(f"the targets differ in {name}")


def same_samples(ours: Sequence[dict[str, Any]], plain: Sequence[dict[str, Any]]) -> None:
    """Refuse other targets, and images that differ by more than a gray value.

    Only samples scaled down are compared, as both sides then crop the same part; distorted images
    are not compared.
    """
    for (scale, probability), sample, expected in zip(SAMPLES, ours, plain, strict=True):
        if scale >= 1:
            continue
        same_targets(sample, expected)
        top, left, bottom, right = sample["valid_box"]
        image = np.moveaxis(expected["image"], 0, 2)[top:bottom, left:right] * 127.5 + 127.5
        difference = image - sample["image"][top:bottom, left:right]
        if not probability and np.abs(difference).max() > 1.01:
            raise DisagreementError("the images differ by more than a gray value")


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
    """The same maps by the plain statement."""
    sample = annotated_sample(size, INSTANCES)
    return partial(plain_targets, sample["panoptic"], sample["segments"])


def plain_targets(ids: np.ndarray, segments: Sequence[Segment]) -> dict[str, np.ndarray]:
    """The training maps of [H, W] ids: for each segment a mask of the whole image.

    The maps, their types and the steps to them are those of PaddleSeg's contrib/PanopticDeepLab,
    `foreground`, which it makes as well, among them.
    """
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES

    def where(segment: Segment) -> np.ndarray:
        return ids == segment.id  # computed again for every map, as in the reference

    semantic = np.full(ids.shape, IGNORED, np.uint8)
    foreground, center_weights, offset_weights = np.zeros((3, *ids.shape), np.uint8)
    semantic_weights = np.ones(ids.shape, np.uint8)
    center = np.zeros(ids.shape, np.float32)
    offset = np.zeros((2, *ids.shape), np.float32)
    positions = [np.cumsum(np.ones(ids.shape, np.float32), axis) - 1 for axis in (0, 1)]
    for segment in segments:
        semantic[where(segment)] = segment.category
        is_thing = segment.category in CITYSCAPES.thing_ids
        if is_thing:
            foreground[where(segment)] = 1
        if not segment.iscrowd:
            center_weights[where(segment)] = 1
        if not is_thing:
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
    weights = (semantic_weights, center_weights, offset_weights)
    maps = (semantic.astype(np.int64), center, offset, *(w.astype(np.float32) for w in weights))
    return dict(zip(MAPS, maps, strict=True)) | {"foreground": foreground.astype(np.int64)}


def plain_gaussian(heatmap: np.ndarray, middle: Sequence[float]) -> None:
    """Draw a Gaussian into a center heatmap [H, W], keeping the larger value where two overlap."""
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
    """The samples, as the trainer's workers make them."""
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.engine.loading import TrainingSamples

    sources = []
    for scale, probability in SAMPLES:
        transforms = {
            "0": {"min_scale_factor": scale, "max_scale_factor": scale},
            "1": {"crop_size": f"[{crop[0]},{crop[1]}]"},
            "2": {"prob": probability},
            "3": distortion(probability),
        }
        changes = [f"train_dataset.dataset_root={root}"]
        changes += [
            f"train_dataset.transforms.{index}.{name}={value}"
            for index, arguments in transforms.items()
            for name, value in arguments.items()
        ]
        config = Config(str(CONFIG), changes)
        sources.append(TrainingSamples(config.train_dataset, config.targets, seed=0))
    return lambda: [source[0, number // 2] for number, source in enumerate(sources)]


def distortion(probability: int) -> dict[str, float]:
    """The arguments of `RandomDistort`, ours and theirs: as configured, but always or never."""
    kinds = ("brightness", "contrast", "saturation")
    ranges = {f"{kind}_range": 0.4 for kind in kinds}
    return ranges | {f"{kind}_prob": probability for kind in (*kinds, "hue")}


def prepare_plain_samples(root: Path, crop: tuple[int, int]) -> Call:
    """The same by PaddleSeg's transforms on float images and three-channel annotations."""
    from paddleseg import transforms as T

    from panoptic_deeplab.datasets import CityscapesPanoptic

    records = CityscapesPanoptic(str(root), "train").records
    pipelines = [
        T.Compose(
            [
                T.ResizeStepScaling(scale, scale),
                T.RandomPaddingCrop(crop, label_padding_value=(0, 0, 0)),
                T.RandomHorizontalFlip(probability),
                T.RandomDistort(**distortion(probability)),
                T.Normalize(),
            ]
        )
        for scale, probability in SAMPLES
    ]

    def run() -> list[dict[str, Any]]:
        random.seed(0)
        np.random.seed(0)
        return [
            plain_sample(pipeline, records[number // 2])
            for number, pipeline in enumerate(pipelines)
        ]

    return run


def plain_sample(pipeline: Any, record: Any) -> dict[str, np.ndarray]:
    """One sample by PaddleSeg's transforms, with its targets; they copy each array once more."""
    paths = {"img": str(record.image_path), "label": str(record.label_path)}
    data = pipeline(paths | {"gt_fields": ["label"]})
    colors = data["label"].astype(np.int32)
    ids = colors[..., 0] + 256 * colors[..., 1] + 256 * 256 * colors[..., 2]
    arrays = {"image": data["img"]} | plain_targets(ids, record.segments)
    return {name: np.array(array) for name, array in arrays.items()}
