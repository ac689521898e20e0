"""Geometry that keeps image, ids and frame consistent; color that leaves the ids alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from PIL import Image, ImageEnhance

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.preprocess import Preprocess, valid_boxes
from panoptic_deeplab.structures import Frame
from panoptic_deeplab.transforms import (
    Padding,
    PaddingToMultiple,
    RandomDistort,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    Resize,
    ResizeShortestEdge,
    ResizeStepScaling,
)

RNG = np.random.default_rng


def sample(height: int = 6, width: int = 8) -> dict[str, Any]:
    """An image whose red channel repeats the ids, so that both can be compared afterwards."""
    ids = np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width)
    image = np.stack([ids, ids, ids], axis=-1).astype(np.uint8)
    return {"image": image, "panoptic": ids, "segments": [], "frame": Frame.whole(height, width)}


def inside(result: dict[str, Any]) -> tuple[slice, slice]:
    top, left, bottom, right = result["frame"].valid_box
    return slice(top, bottom), slice(left, right)


GEOMETRY = [
    Padding([11, 9]),
    PaddingToMultiple(5),
    RandomPaddingCrop([5, 4]),
    RandomPaddingCrop([12, 4]),
    RandomPaddingCrop([5, 9]),
    RandomPaddingCrop([12, 9]),
    RandomHorizontalFlip(1.0),
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("transform", GEOMETRY, ids=lambda t: type(t).__name__)
def test_image_ids_and_frame_stay_consistent(transform: Any, seed: int) -> None:
    given = sample()
    copies = given["image"].copy(), given["panoptic"].copy()
    result = transform(given, RNG(seed))
    assert result["image"].shape[:2] == result["panoptic"].shape == result["frame"].size
    box = inside(result)
    np.testing.assert_array_equal(result["image"][box][..., 0], result["panoptic"][box])
    assert (result["panoptic"][box] > 0).all()
    outside = result["panoptic"].copy()
    outside[box] = 0
    assert not outside.any()
    np.testing.assert_array_equal(given["image"], copies[0])
    np.testing.assert_array_equal(given["panoptic"], copies[1])


def test_crop_then_flip_moves_the_valid_box() -> None:
    cropped = RandomPaddingCrop([12, 4])(sample(), RNG(0))
    assert cropped["frame"].valid_box == (0, 0, 4, 8)
    flipped = RandomHorizontalFlip(1.0)(cropped, RNG(0))
    assert flipped["frame"].valid_box == (0, 4, 4, 12)


def test_padding_never_crops_a_larger_image() -> None:
    result = Padding([4, 9])(sample(), RNG(0))
    assert result["image"].shape == (9, 8, 3)
    assert result["frame"].valid_box == (0, 0, 6, 8)


def test_scaling_takes_every_step_and_nothing_else() -> None:
    transform = ResizeStepScaling(0.5, 2.0, 0.25)
    heights = {transform(sample(40, 40), RNG(seed))["image"].shape[0] for seed in range(100)}
    assert heights == {20, 30, 40, 50, 60, 70, 80}


def test_scaling_keeps_the_frame_true() -> None:
    padded = Padding([16, 12])(sample(), RNG(0))
    result = ResizeStepScaling(2.0, 2.0)(padded, RNG(0))
    frame = result["frame"]
    assert (frame.original_size, frame.size, frame.scale) == ((6, 8), (24, 32), (2.0, 2.0))
    assert frame.valid_box == (0, 0, 12, 16)
    np.testing.assert_array_equal(result["panoptic"][::2, ::2], padded["panoptic"])


def test_resize_within_a_size_keeps_the_ratio() -> None:
    assert Resize([16, 16], keep_ratio=True)(sample(), RNG(0))["frame"].size == (12, 16)
    assert Resize([16, 16])(sample(), RNG(0))["frame"].size == (16, 16)


def test_resizing_the_shortest_edge() -> None:
    """6 x 8 pixels to a shorter side of 9 or 12, and no farther than to a longer side of 14."""
    transform = ResizeShortestEdge([9, 12], max_size=14)
    sizes = {transform(sample(), RNG(seed))["frame"].size for seed in range(20)}
    assert sizes == {(9, 12), (10, 14)}
    assert transform(sample(8, 6), RNG(0))["frame"].size in {(12, 9), (14, 10)}


def test_padding_to_a_multiple() -> None:
    assert PaddingToMultiple(4)(sample(), RNG(0))["frame"].size == (8, 8)
    assert PaddingToMultiple(32)(sample(), RNG(0))["frame"].size == (32, 32)
    assert PaddingToMultiple(2)(sample(), RNG(0))["frame"].size == (6, 8)


def test_the_same_generator_gives_the_same_sample() -> None:
    transforms = [ResizeStepScaling(0.5, 2.0), RandomPaddingCrop([5, 4]), RandomDistort()]
    results = []
    for _ in range(2):
        rng, result = RNG(7), sample()
        for transform in transforms:
            result = transform(result, rng)
        results.append(result["image"])
    np.testing.assert_array_equal(*results)


def test_distortion_changes_colors_only() -> None:
    given = sample(32, 32)
    results = [RandomDistort(hue_prob=1.0)(given, RNG(seed)) for seed in range(3)]
    assert any((result["image"] != given["image"]).any() for result in results)
    assert all(result["panoptic"] is given["panoptic"] for result in results)


OFF = {f"{kind}_prob": 0.0 for kind in ("brightness", "contrast", "saturation", "hue", "sharpness")}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("kind", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_colors_are_pillows_within_a_gray_value(kind: str, enhancer: Any, seed: int) -> None:
    image = RNG(1).integers(0, 256, (40, 50, 3), np.uint8)
    given = {"image": image, "frame": Frame.whole(40, 50)}
    result = RandomDistort(**OFF | {f"{kind}_prob": 1.0})(given, RNG(seed))["image"]

    rng = RNG(seed)  # draws an order, then for each kind whether, and how much
    for name in rng.permutation(["brightness", "contrast", "saturation", "sharpness", "hue"]):
        if rng.random() < (name == kind):
            factor = 1 + 0.5 * rng.uniform(-1, 1)
    expected = np.asarray(enhancer(Image.fromarray(image)).enhance(factor))
    assert np.abs(result.astype(int) - expected).max() == (0 if kind == "sharpness" else 1)
    assert np.abs(expected.astype(int) - image).max() > 3, "the change is visible"


def test_a_shift_of_the_hue_leaves_gray_and_brightness() -> None:
    gray = np.full((2, 3, 3), 77, np.uint8)
    colorful = RNG(0).integers(0, 256, (20, 20, 3), np.uint8)
    only_hue = RandomDistort(**OFF | {"hue_prob": 1.0}, hue_range=128)
    frames = Frame.whole(2, 3), Frame.whole(20, 20)
    shifted = only_hue({"image": gray, "frame": frames[0]}, RNG(0))["image"]
    np.testing.assert_array_equal(shifted, gray)
    shifted = only_hue({"image": colorful, "frame": frames[1]}, RNG(0))["image"]
    np.testing.assert_array_equal(shifted.max(axis=2), colorful.max(axis=2))
    assert (shifted.argmax(axis=2) != colorful.argmax(axis=2)).mean() > 0.5


def test_a_third_of_the_circle_makes_green_of_red() -> None:
    class Third:
        """A generator whose only draws that count are 85 of 256 steps."""

        permutation = staticmethod(list)
        random = staticmethod(lambda: 0.5)
        uniform = staticmethod(lambda low, high: 85 / 128)

    red = {"image": np.full((1, 1, 3), (200, 0, 0), np.uint8), "frame": Frame.whole(1, 1)}
    shifted = RandomDistort(**OFF | {"hue_prob": 1.0}, hue_range=128)(red, Third())["image"]
    np.testing.assert_allclose(shifted[0, 0], (0, 200, 0), atol=5)


def test_padding_has_no_part_in_a_distortion() -> None:
    alone = sample(20, 30)
    padded = Padding([50, 60])(alone, RNG(0))
    padded["image"][20:] = 99
    always = RandomDistort(0.4, 1, 0.4, 1, 0.4, 1, 18, 1, 0.5, 1)
    result = always(padded, RNG(3))
    np.testing.assert_array_equal(result["image"][inside(result)], always(alone, RNG(3))["image"])
    assert (result["image"][20:] == 99).all()


def test_a_window_of_nothing_but_padding_stays_as_it_is() -> None:
    given = sample() | {"frame": Frame((6, 8), (6, 8), valid_box=(6, 0, 6, 8))}
    result = RandomDistort(brightness_prob=1.0)(given, RNG(0))
    np.testing.assert_array_equal(result["image"], given["image"])


def test_a_distortion_of_probability_zero_changes_nothing() -> None:
    given = sample()
    np.testing.assert_array_equal(RandomDistort(**OFF)(given, RNG(0))["image"], given["image"])


def test_transforms_take_samples_without_ground_truth() -> None:
    given = {key: value for key, value in sample().items() if key not in ("panoptic", "segments")}
    for transform in [*GEOMETRY, Resize([5, 5]), RandomDistort()]:
        assert "panoptic" not in transform(given, RNG(0))


WRONG = [
    (lambda: Padding([0, 3]), r"target_size must be \[width, height\]"),
    (lambda: Padding([3]), r"target_size must be \[width, height\]"),
    (lambda: RandomPaddingCrop([1, 2, 3]), r"crop_size must be \[width, height\]"),
    (lambda: ResizeStepScaling(2.0, 1.0), "min_scale_factor <= max_scale_factor"),
    (lambda: ResizeStepScaling(scale_step_size=-1), "must not be negative"),
    (lambda: ResizeShortestEdge([], 9), r"in positive pixels, got \[\] and 9"),
    (lambda: ResizeShortestEdge([9, 0], 9), r"in positive pixels, got \[9, 0\] and 9"),
    (lambda: PaddingToMultiple(0), "a positive divisor, got 0"),
    (lambda: RandomHorizontalFlip(2.0), r"a prob in 0\.\.1"),
    (lambda: RandomDistort(hue_prob=3), r"probabilities in 0\.\.1"),
    (lambda: Preprocess([0.5, 0.5]), "mean needs 1 or 3 numbers"),
    (lambda: Preprocess(std=[0.0]), "std must be positive"),
]


@pytest.mark.parametrize(("build", "message"), WRONG)
def test_wrong_arguments(build: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()


def test_preprocess_normalizes_and_sets_padding_to_zero() -> None:
    images = np.full((2, 4, 6, 3), 255, np.uint8)
    frames = [Frame((2, 3), (4, 6), valid_box=(0, 0, 2, 3)), Frame.whole(4, 6)]
    result = Preprocess()(paddle.to_tensor(images), valid_boxes(frames)).numpy()
    assert result.shape == (2, 3, 4, 6)
    expected = np.zeros((4, 6))
    expected[:2, :3] = 1
    np.testing.assert_allclose(result[0], np.stack([expected] * 3), atol=1e-6)
    np.testing.assert_allclose(result[1], 1, atol=1e-6)


def test_preprocess_has_no_state_and_takes_channels_in_order() -> None:
    preprocess = Preprocess([0.1, 0.2, 0.3], [0.5, 0.25, 0.125])
    assert not preprocess.state_dict()
    pixel = np.array([[[[51, 102, 153]]]], np.uint8)  # 0.2, 0.4, 0.6
    result = preprocess(paddle.to_tensor(pixel), valid_boxes([Frame.whole(1, 1)])).numpy()
    np.testing.assert_allclose(result.ravel(), [0.2, 0.8, 2.4], rtol=1e-5)
