"""Configurations of PaddleSeg's contrib/PanopticDeepLab keep their meaning."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from panoptic_deeplab.config import Config, find_config
from panoptic_deeplab.config.upgrade import upgrade
from panoptic_deeplab.errors import UsageError

REFERENCE = Path(__file__).parent / "data" / "paddleseg"
LARGE, CROPPED = (
    REFERENCE / "panoptic_deeplab" / f"panoptic_deeplab_resnet50_os32_cityscapes_{recipe}.yml"
    for recipe in ("2049x1025_bs1_90k_lr00005", "1025x513_bs8_90k_lr00005")
)


def test_the_reference_files_keep_their_meaning() -> None:
    config = Config(CROPPED)
    assert (config.batch_size, config.iters) == (8, 90000)
    assert config.info.thing_ids == tuple(range(11, 19))
    criterion, targets, postprocessor = config.criterion, config.targets, config.postprocessor
    weights = (criterion.semantic_weight, criterion.center_weight, criterion.offset_weight)
    assert weights == (1, 200, 0.001)
    assert (criterion.top_k_percent_pixels, criterion.align_corners) == (0.2, True)
    assert (targets.small_instance_area, targets.small_instance_weight) == (4096, 3)
    assert targets.ignore_stuff_in_offset
    assert len(targets.gaussian) == 51
    settings = postprocessor.settings
    assert (settings.threshold, settings.nms_kernel, settings.top_k) == (0.1, 7, 200)
    assert settings.min_stuff_area == 2048
    assert settings.align_corners
    assert config.pretrained == {
        "backbone": "https://bj.bcebos.com/paddleseg/dygraph/resnet50_vd_ssld_v2.tar.gz"
    }
    schedule = config.lr_scheduler
    assert (schedule.base_lr, schedule.power, schedule.decay_steps) == (5e-5, 0.9, 90000)
    assert type(config.optimizer).__name__ == "Adam"


@pytest.mark.parametrize("opts", [[], ["batch_size=2"]])
def test_the_recipe_stays_whatever_the_command_line_says(opts: list[str]) -> None:
    assert Config(CROPPED, opts).recipe_factor(64) == 1
    assert Config(LARGE, opts).recipe_factor(4) == 0.5


@pytest.mark.parametrize("reference", [LARGE, CROPPED], ids=lambda path: path.stem)
def test_shipped_and_reference_file_agree(reference: Path) -> None:
    """Today's form spells out less: what it leaves to the defaults is compared on the objects."""
    ours, theirs = Config(reference.stem), Config(reference)
    assert {"loss", "learning_rate"}.isdisjoint(ours.tree)
    assert ours.path != theirs.path
    for section in {*ours.tree, *theirs.tree} - {"model", "preprocess"}:
        assert ours.tree[section] == theirs.tree[section]
    assert theirs.tree["preprocess"] == ours.tree.get("preprocess", {}) == {}
    shapes = [
        {name: value.shape for name, value in config.model.state_dict().items()}
        for config in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]


def test_upgrade_is_pure_and_leaves_todays_form(tiny_config: Path) -> None:
    old = yaml.safe_load((REFERENCE / "_base_/cityscapes_panoptic.yml").read_text())
    before = yaml.safe_dump(old)
    new = upgrade(old, "file")
    assert yaml.safe_dump(old) == before
    assert new != old
    assert upgrade(new, "file") == new
    today = yaml.safe_load(tiny_config.read_text())
    assert upgrade(today, "file") == today


def test_old_stuff_area_and_normalize_are_moved(tmp_path: Path) -> None:
    text = """
    val_dataset:
      type: CityscapesPanoptic
      dataset_root: nowhere
      stuff_area: 77
      transforms: [{type: Normalize, mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6]}]
    """
    (tmp_path / "old.yml").write_text(text)
    tree = Config(tmp_path / "old.yml").tree
    assert tree["postprocessor"] == {"type": "CenterGrouping", "min_stuff_area": 77}
    assert tree["preprocess"] == {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    assert tree["val_dataset"]["transforms"] == []


def test_a_former_name_of_a_key_is_read(tmp_path: Path) -> None:
    base = find_config("efficientps_b0_scenes")
    path = tmp_path / "former.yml"
    path.write_text(f"_base_: {base}\ncriterion: {{hardest_share: 0.5}}\n")
    assert Config(path).criterion.top_k_percent_pixels == 0.5


OVERRIDES = {
    "loss.coef=[1, 2, 3]": "criterion.offset_weight=3",
    "loss.coef.1=100": "criterion.center_weight=100",
    "loss.types.0.top_k_percent_pixels=0.5": "criterion.top_k_percent_pixels=0.5",
    "learning_rate.value=0.001": "lr_scheduler.learning_rate=0.001",
    "learning_rate.decay.power=1": "lr_scheduler.power=1",
    "train_dataset.small_instance_area=9": "targets.small_instance_area=9",
    "val_dataset.stuff_area=77": "postprocessor.min_stuff_area=77",
    "postprocessor.threshold=0.3": "postprocessor.threshold=0.3",
}


@pytest.mark.parametrize("path", [CROPPED, CROPPED.stem], ids=["old form", "shipped"])
@pytest.mark.parametrize("override", OVERRIDES)
def test_overrides_may_name_keys_of_either_form(path: Path | str, override: str) -> None:
    place, value = OVERRIDES[override].split("=")
    section, key = place.split(".")
    assert Config(path, [override]).tree[section][key] == yaml.safe_load(value)


def test_a_wrong_override_of_an_old_key_names_todays() -> None:
    wrong = r"--opts: 'criterion\.center_weight' must be a finite number"
    with pytest.raises(UsageError, match=wrong):
        Config(CROPPED, ["loss.coef=[1, x, 3]"])
    with pytest.raises(UsageError, match=r"--opts: there is no 'loss'"):
        Config(CROPPED, ["loss.coef=[1, 2, 3, 4]"])
