"""Color augmentation; the ids stay as they are."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.registry import TRANSFORMS
from panoptic_deeplab.structures import Sample


@TRANSFORMS.add_component
class RandomDistort:
    """Brightness, contrast, saturation, sharpness and hue, each with its probability, any order.

    A range r draws the factor from 1 - r to 1 + r; hue is shifted by up to hue_range of 256.
    Arguments and defaults follow the transform of this name in PaddleSeg, which computes with
    Pillow. OpenCV needs a tenth of the time; a gray value may differ by 1, after a shift of the hue
    by more, because Pillow rounds the hue itself down. Padding keeps its value and does not
    count in the mean that the contrast is scaled about.
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
        changes = [
            (kind, self.ranges[kind] * rng.uniform(-1, 1))
            for kind in rng.permutation(list(self.ranges))
            if rng.random() < self.probabilities[kind]
        ]
        top, left, bottom, right = sample["frame"].valid_box
        content = sample["image"][top:bottom, left:right]
        if not changes or not content.size:
            return sample
        for kind, amount in changes:
            content = _CHANGES[kind](content, amount)
        if content.shape == sample["image"].shape:
            return sample | {"image": content}
        image = sample["image"].copy()
        image[top:bottom, left:right] = content
        return sample | {"image": image}


def _brighten(image: np.ndarray, amount: float) -> np.ndarray:
    return _scaled(image, 1 + amount, 0)


def _contrast(image: np.ndarray, amount: float) -> np.ndarray:
    mean = round(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])
    return _scaled(image, 1 + amount, -amount * mean)


def _scaled(image: np.ndarray, factor: float, summand: float) -> np.ndarray:
    return cv2.addWeighted(image, factor, image, 0, summand)


def _saturate(image: np.ndarray, amount: float) -> np.ndarray:
    return cv2.transform(image, (1 + amount) * np.eye(3) - amount * _LUMINANCE)


def _sharpen(image: np.ndarray, amount: float) -> np.ndarray:
    return np.asarray(ImageEnhance.Sharpness(Image.fromarray(image)).enhance(1 + amount))


def _shift_hue(image: np.ndarray, amount: float) -> np.ndarray:
    shifted = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    shifted[..., 0] += np.uint8(round(amount) % 256)  # the hue circle has 256 steps
    return cv2.cvtColor(shifted, cv2.COLOR_HSV2RGB_FULL, dst=shifted)


_LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue, as in ITU-R BT.601

_CHANGES = {
    "brightness": _brighten,
    "contrast": _contrast,
    "saturation": _saturate,
    "sharpness": _sharpen,
    "hue": _shift_hue,
}
