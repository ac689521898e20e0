"""The recipes of Panoptic FPN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rates import learning_rates

from panoptic_deeplab.config import Config

FOLDER = Path(__file__).parents[2] / "configs" / "panoptic_fpn"
BDD100K_IMAGES, BATCH = 7000, 16


@pytest.mark.parametrize(
    ("name", "epochs", "falls"),
    [
        ("r50_1x", 12, (8, 11)),
        ("r50_3x", 36, (24, 33)),
        ("r50_5x", 60, (40, 55)),
        ("r101_3x", 36, (24, 33)),
        ("r101_5x", 60, (40, 55)),
    ],
)
def test_bdd100ks_rate_falls_after_the_published_epochs(
    name: str, epochs: int, falls: tuple[int, int]
) -> None:
    config = Config(FOLDER / f"panoptic_fpn_{name}_bdd100k.yml")
    assert config.iters == epochs * BDD100K_IMAGES // BATCH
    check_rates(config, 500, [fall * BDD100K_IMAGES // BATCH for fall in falls])
    assert config.tree["model"]["backbone"]["depth"] == int(name[1:-3])
    assert config.info.num_classes == 40
    assert config.evaluators[0].__class__.__name__ == "Bdd100kPanopticQuality"


@pytest.mark.parametrize(
    ("name", "steps", "falls"),
    [
        ("r50_1x", 90000, (60000, 80000)),
        ("r50_3x", 270000, (210000, 250000)),
        ("r101_3x", 270000, (210000, 250000)),
    ],
)
def test_cocos_rate_falls_after_the_published_steps(
    name: str, steps: int, falls: tuple[int, int]
) -> None:
    config = Config(FOLDER / f"panoptic_fpn_{name}_coco.yml")
    assert config.iters == steps
    check_rates(config, 1000, list(falls))
    assert config.tree["model"]["backbone"]["depth"] == int(name[1:-3])


def test_cityscapes_rate_falls_after_the_papers_steps() -> None:
    config = Config(FOLDER / "panoptic_fpn_r50_cityscapes.yml")
    assert config.iters == 65000
    check_rates(config, 1000, [40000, 55000], 0.01)
    assert config.info.num_classes == 19


def check_rates(config: Config, warmup: int, falls: list[int], rate: float = 0.02) -> None:
    """It rises from a thousandth, then falls tenfold twice."""
    rates = learning_rates(config)
    assert rates[0] == pytest.approx(rate / 1000)
    assert rates[warmup] == pytest.approx(rate)
    assert (np.flatnonzero(np.diff(rates[warmup:]) < 0) + warmup + 1).tolist() == falls
    assert rates[-1] == pytest.approx(rate / 100)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("r50_1x_bdd100k", [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
        ("r50_1x_coco", [123.675, 116.28, 103.53], [1, 1, 1]),
    ],
)
def test_images_are_normalized_as_published(name: str, mean: list[float], std: list[float]) -> None:
    """Red, green and blue in 0..255."""
    given = Config(FOLDER / f"panoptic_fpn_{name}.yml").preprocess.normalization
    np.testing.assert_allclose(np.array(given.mean) * 255, mean, rtol=1e-6)
    np.testing.assert_allclose(np.array(given.std) * 255, std, rtol=1e-6)


def test_the_two_forms() -> None:
    """Only their stem and first stage are frozen in one; in the other no norm learns."""
    bdd100k, coco = (
        Config(FOLDER / f"panoptic_fpn_r50_1x_{name}.yml") for name in ("bdd100k", "coco")
    )
    assert bdd100k.model.find_instances.settings.class_agnostic_nms
    assert bdd100k.model.find_instances.settings.score_threshold == 0.6
    assert not coco.model.find_instances.settings.class_agnostic_nms
    assert coco.model.find_instances.settings.score_threshold == 0.5
    assert not bdd100k.model.backbone.layer2[0].bn1.weight.stop_gradient
    assert coco.model.backbone.layer2[0].bn1.weight.stop_gradient
    assert not coco.model.backbone.layer2[0].conv1.weight.stop_gradient
    assert bdd100k.model.semantic_head.conv_logits.weight.shape[0] == 31
    assert coco.model.semantic_head.conv_logits.weight.shape[0] == 54
