"""Changes of colour; the ids stay."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.registry import TRANSFORMS

Sample = dict[str, Any]

_ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}


@TRANSFORMS.add_component
class RandomDistort:
    """Brightness, contrast, saturation, sharpness and hue, each with its probability, any order.

    A range r draws the factor from 1 - r to 1 + r; hue is shifted by up to hue_range of 256.
    Values and meaning are those of PaddleSeg's transform of this name.
    """

    def __init__(
        self,
        brightness_range: float = 0.5,
        brightness_prob: float = 0.5,
        contrast_range: float = 0.5,
        contrast_prob: float = 0.5,
        saturation_range: float = 0.5,
        saturation_prob: float = 0.5,
        hue_range: float = 18,
        hue_prob: float = 0.5,
        sharpness_range: float = 0.5,
        sharpness_prob: float = 0.0,
    ) -> None:
        self.ranges = {
            "brightness": brightness_range,
            "contrast": contrast_range,
            "saturation": saturation_range,
            "sharpness": sharpness_range,
            "hue": hue_range,
        }
        self.probabilities = {
            "brightness": brightness_prob,
            "contrast": contrast_prob,
            "saturation": saturation_prob,
            "sharpness": sharpness_prob,
            "hue": hue_prob,
        }
        if not all(0 <= value <= 1 for value in self.probabilities.values()):
            raise UsageError(f"RandomDistort needs probabilities in 0..1, got {self.probabilities}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image = Image.fromarray(sample["image"])
        for kind in rng.permutation(list(self.ranges)):
            if rng.random() < self.probabilities[kind]:
                image = _distort(image, kind, self.ranges[kind] * rng.uniform(-1, 1))
        return sample | {"image": np.asarray(image)}


def _distort(image: Image.Image, kind: str, amount: float) -> Image.Image:
    if kind == "hue":
        return _shift_hue(image, round(amount))
    return _ENHANCERS[kind](image).enhance(1 + amount)


def _shift_hue(image: Image.Image, shift: int) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    turned = Image.fromarray((np.asarray(hue).astype(np.int16) + shift).astype(np.uint8))
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")
