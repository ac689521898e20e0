"""The recipes of EfficientPS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rates import learning_rates

from panoptic_deeplab.config import Config

FOLDER = Path(__file__).parents[2] / "configs" / "efficientps"
CITYSCAPES = FOLDER / "efficientps_b5_cityscapes.yml"


@pytest.mark.parametrize(
    ("name", "epochs", "images"),
    [("cityscapes", 160, 2975), ("cityscapes_round2", 80, 2975), ("kitti", 160, 855)],
)
def test_the_rate_falls_after_three_quarters_and_nine_tenths(
    name: str, epochs: int, images: int
) -> None:
    """Of the epochs at 16 images a step; it starts at a third."""
    config = Config(FOLDER / f"efficientps_b5_{name}.yml")
    assert config.iters == epochs * images // 16
    rates = learning_rates(config)
    assert rates[0] == pytest.approx(0.07 / 3, rel=1e-4)
    assert rates[500] == pytest.approx(0.07)
    falls = np.flatnonzero(np.diff(rates[500:]) < 0) + 501
    assert falls.tolist() == [int(config.iters * part) for part in (0.75, 0.9)]
    assert rates[-1] == pytest.approx(0.0007)


def test_a_recipe_for_other_batches_falls_at_the_same_epochs() -> None:
    config = Config(CITYSCAPES)
    config.scale_recipe(0.5)
    assert config.iters == 59500
    rates = learning_rates(config)
    falls = np.flatnonzero(np.diff(rates[500:]) < 0) + 501
    assert falls.tolist() == [44624, 53550]
    assert max(rates) == pytest.approx(0.035)


def test_images_are_normalized_as_by_the_authors() -> None:
    """Their mean and deviation of red, green and blue are in 0..255."""
    preprocess = Config(CITYSCAPES).preprocess
    mean, std = (255 * value.numpy().ravel() for value in (preprocess.mean, preprocess.std))
    np.testing.assert_allclose(std, [65.496, 67.6, 74.123], rtol=1e-5)
    np.testing.assert_allclose(mean, [106.433, 116.617, 119.559], rtol=1e-5)


def test_the_papers_form_differs_from_the_released_one_in_two_places() -> None:
    released, paper = Config(CITYSCAPES).tree, Config(FOLDER / f"{CITYSCAPES.stem}_paper.yml").tree
    assert paper["model"].pop("separable_fpn")
    assert paper["postprocessor"].pop("mask_factor") == 1
    assert not released["model"].pop("separable_fpn")
    assert paper == released


@pytest.mark.parametrize("legacy", [True, False])
def test_boxes_mean_the_same_to_model_and_fusion(legacy: bool) -> None:
    config = Config(FOLDER / "efficientps_b0_scenes.yml", [f"model.legacy_boxes={legacy}"])
    assert config.postprocessor.edge == (0.5 if legacy else -0.5)
    assert config.model.find_instances.last_pixel == float(legacy)
