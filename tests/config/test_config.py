"""YAML to objects: what is overridden, filled in and refused when it is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import UsageError


def test_opts_reach_into_lists_and_take_any_yaml(tiny_config: Path) -> None:
    config = Config(
        tiny_config,
        [
            "train_dataset.transforms.0.crop_size=[96, 32]",
            "lr_scheduler.learning_rate=1e-5",
            "criterion.class_weights=null",
        ],
    )
    assert config.tree["train_dataset"]["transforms"][0]["crop_size"] == [96, 32]
    assert config.tree["lr_scheduler"]["learning_rate"] == 1e-5
    assert config.tree["criterion"]["class_weights"] is None


def test_categories_in_the_file_decide_the_classes(tiny_config: Path) -> None:
    categories = (
        "categories: [{id: 7, name: way, isthing: 0, color: [1, 2, 3]},"
        " {id: 9, name: cart, isthing: 1, color: [4, 5, 6]}]\n"
    )
    tiny_config.write_text(categories + tiny_config.read_text())
    config = Config(tiny_config)
    assert config.info.num_classes == 2
    assert config.info.thing_ids == config.postprocessor.settings.thing_ids == (1,)
    assert config.model.semantic_head.weight.shape[0] == 2


def test_a_value_that_a_part_refuses_names_its_place(tiny_config: Path) -> None:
    config = Config(tiny_config, ["postprocessor.nms_kernel=4"])
    with pytest.raises(UsageError, match="--opts: 'postprocessor': nms_kernel must be odd"):
        _ = config.postprocessor


def test_gradient_clipping_is_paddlesegs(tiny_config: Path) -> None:
    clip = "optimizer.grad_clip_cfg={name: ClipGradByGlobalNorm, clip_norm: 1.5}"
    assert Config(tiny_config, [clip]).optimizer._grad_clip.clip_norm == 1.5
    with pytest.raises(UsageError, match=r"--opts: 'optimizer' cannot be made .* grad_clip name"):
        _ = Config(tiny_config, ["optimizer.grad_clip_cfg={name: Clip}"]).optimizer


def test_a_value_that_breaks_a_constructor_names_its_place(tiny_config: Path) -> None:
    config = Config(tiny_config, ["lr_scheduler.warmup_iters=x"])
    with pytest.raises(UsageError, match="--opts: 'lr_scheduler' cannot be made of these values"):
        _ = config.lr_scheduler


@pytest.mark.parametrize("sigma", ["1001", "1e30", "0"])
def test_a_gaussian_of_unreasonable_size(tiny_config: Path, sigma: str) -> None:
    config = Config(tiny_config, [f"targets.sigma={sigma}"])
    with pytest.raises(UsageError, match=r"--opts: 'targets': sigma must be in 0\.\.1000 pixels"):
        _ = config.targets


def test_a_section_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text("iters: 3\n")
    with pytest.raises(UsageError, match="has no section 'model'"):
        _ = Config(tmp_path / "own.yml").model
