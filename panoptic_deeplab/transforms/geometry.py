"""Scaling, cropping, padding and flipping of samples.

Names, arguments and defaults are PaddleSeg's where it has the transform. Each transform is called
with a sample and a random generator, returns a new sample and edits nothing in place. Sizes in
arguments are [width, height]. Padding is void in the ids; its value in the image does not matter:
`Preprocess` sets it to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.registry import TRANSFORMS
from panoptic_deeplab.structures import VOID_ID, Frame, Sample

Box = tuple[int, int, int, int]


@TRANSFORMS.add_component
class ResizeStepScaling:
    """Scale by a factor drawn from min, min + step, ..., max; with step 0 from the whole range."""

    def __init__(
        self,
        min_scale_factor: float = 0.75,
        max_scale_factor: float = 1.25,
        scale_step_size: float = 0.25,
    ) -> None:
        if not 0 < min_scale_factor <= max_scale_factor:
            raise UsageError(
                "ResizeStepScaling needs 0 < min_scale_factor <= max_scale_factor, got "
                f"{min_scale_factor} and {max_scale_factor}"
            )
        if scale_step_size < 0:
            raise UsageError(f"scale_step_size must not be negative, got {scale_step_size}")
        self.min_scale_factor = min_scale_factor
        self.max_scale_factor = max_scale_factor
        self.scale_step_size = scale_step_size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample["image"].shape[:2]
        factor = self._draw_factor(rng)
        return resize(sample, (max(1, round(height * factor)), max(1, round(width * factor))))

    def _draw_factor(self, rng: np.random.Generator) -> float:
        if self.scale_step_size == 0:
            return float(rng.uniform(self.min_scale_factor, self.max_scale_factor))
        span = self.max_scale_factor - self.min_scale_factor
        steps = int(span / self.scale_step_size + 1)
        return float(rng.choice(np.linspace(self.min_scale_factor, self.max_scale_factor, steps)))


@TRANSFORMS.add_component
class Resize:
    """Scale to target_size [width, height]; with keep_ratio to the largest size within it."""

    def __init__(self, target_size: Sequence[int] = (512, 512), keep_ratio: bool = False) -> None:
        self.target_height, self.target_width = _height_width("target_size", target_size)
        self.keep_ratio = keep_ratio

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        size = (self.target_height, self.target_width)
        if self.keep_ratio:
            height, width = sample["image"].shape[:2]
            factor = min(size[0] / height, size[1] / width)
            size = (max(1, round(height * factor)), max(1, round(width * factor)))
        return resize(sample, size)


@TRANSFORMS.add_component
class ResizeShortestEdge:
    """Scale the shorter side to a length drawn from `short_sides`, or less where the longer side
    would exceed max_size.

    The name is detectron2's; mmdetection's `Resize` does the same with several scales of one long
    side, their mode being "value".
    """

    def __init__(self, short_sides: Sequence[int], max_size: int) -> None:
        if not short_sides or min(short_sides) < 1 or max_size < 1:
            raise UsageError(
                "ResizeShortestEdge needs short_sides and a max_size in positive pixels, got "
                f"{list(short_sides)} and {max_size}"
            )
        self.short_sides = list(short_sides)
        self.max_size = max_size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample["image"].shape[:2]
        short = int(rng.choice(self.short_sides))
        factor = min(short / min(height, width), self.max_size / max(height, width))
        return resize(sample, (max(1, round(height * factor)), max(1, round(width * factor))))


@TRANSFORMS.add_component
class PaddingToMultiple:
    """Pad at the bottom and the right until both sides are multiples of `divisor`."""

    def __init__(self, divisor: int = 32) -> None:
        if divisor < 1:
            raise UsageError(f"PaddingToMultiple needs a positive divisor, got {divisor}")
        self.divisor = divisor

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample["image"].shape[:2]
        return pad(sample, (height + -height % self.divisor, width + -width % self.divisor))


@TRANSFORMS.add_component
class Padding:
    """Pad at the bottom and the right to at least target_size [width, height].

    An image that is larger in one direction keeps its size in that direction; nothing is cropped.
    """

    def __init__(self, target_size: Sequence[int]) -> None:
        self.min_size = _height_width("target_size", target_size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return pad(sample, self.min_size)


@TRANSFORMS.add_component
class RandomPaddingCrop:
    """Crop a random window of crop_size [width, height], padding an image that is smaller."""

    def __init__(self, crop_size: Sequence[int] = (512, 512)) -> None:
        self.crop_height, self.crop_width = _height_width("crop_size", crop_size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample = pad(sample, (self.crop_height, self.crop_width))
        height, width = sample["image"].shape[:2]
        top = int(rng.integers(height - self.crop_height + 1))
        left = int(rng.integers(width - self.crop_width + 1))
        return crop(sample, (top, left, top + self.crop_height, left + self.crop_width))


@TRANSFORMS.add_component
class RandomHorizontalFlip:
    """Mirror left to right with probability `prob`."""

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise UsageError(f"RandomHorizontalFlip needs a prob in 0..1, got {prob}")
        self.prob = prob

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return flip(sample) if rng.random() < self.prob else sample


def resize(sample: Sample, size: tuple[int, int]) -> Sample:
    """Return the sample resized to (height, width): the image bilinearly, the ids by nearest."""
    height, width = size
    frame: Frame = sample["frame"]
    factors = (height / frame.size[0], width / frame.size[1])
    if factors == (1.0, 1.0):
        return sample
    changed = {"image": cv2.resize(sample["image"], (width, height))}
    if "panoptic" in sample:
        changed["panoptic"] = cv2.resize(
            sample["panoptic"], (width, height), interpolation=cv2.INTER_NEAREST
        )
    scale = (frame.scale[0] * factors[0], frame.scale[1] * factors[1])
    top, left, bottom, right = frame.valid_box
    box = (
        round(top * factors[0]),
        round(left * factors[1]),
        round(bottom * factors[0]),
        round(right * factors[1]),
    )
    return sample | changed | {"frame": replace(frame, size=size, scale=scale, valid_box=box)}


def pad(sample: Sample, size: tuple[int, int]) -> Sample:
    """Return the sample padded at the bottom and right to at least (height, width)."""
    frame: Frame = sample["frame"]
    below, beside = max(size[0] - frame.size[0], 0), max(size[1] - frame.size[1], 0)
    if not below and not beside:
        return sample
    changed = {"image": np.pad(sample["image"], ((0, below), (0, beside), (0, 0)))}
    if "panoptic" in sample:
        changed["panoptic"] = np.pad(
            sample["panoptic"], ((0, below), (0, beside)), constant_values=VOID_ID
        )
    padded = (frame.size[0] + below, frame.size[1] + beside)
    return sample | changed | {"frame": replace(frame, size=padded)}


def crop(sample: Sample, window: Box) -> Sample:
    """Return the sample inside (top, left, bottom, right); views, nothing is copied."""
    top, left, bottom, right = window
    frame: Frame = sample["frame"]
    changed = {
        key: sample[key][top:bottom, left:right] for key in ("image", "panoptic") if key in sample
    }
    size = (bottom - top, right - left)
    box = frame.valid_box
    valid_box = (
        min(max(box[0] - top, 0), size[0]),
        min(max(box[1] - left, 0), size[1]),
        min(max(box[2] - top, 0), size[0]),
        min(max(box[3] - left, 0), size[1]),
    )
    return sample | changed | {"frame": replace(frame, size=size, valid_box=valid_box)}


def flip(sample: Sample) -> Sample:
    """Return the sample mirrored left to right."""
    frame: Frame = sample["frame"]
    changed = {key: cv2.flip(sample[key], 1) for key in ("image", "panoptic") if key in sample}
    top, left, bottom, right = frame.valid_box
    valid_box = (top, frame.size[1] - right, bottom, frame.size[1] - left)
    return sample | changed | {"frame": replace(frame, valid_box=valid_box)}


def _height_width(name: str, size: Sequence[int]) -> tuple[int, int]:
    numbers = all(isinstance(value, int) and value > 0 for value in size)
    if len(size) != 2 or not numbers:
        raise UsageError(f"{name} must be [width, height] in whole pixels, got {size}")
    return size[1], size[0]
