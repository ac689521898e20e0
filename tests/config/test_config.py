"""YAML to objects: what is merged, filled in and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import UsageError

RECIPE = "panoptic_deeplab_resnet50_os32_cityscapes_"


def test_base_is_merged_and_lists_are_replaced() -> None:
    large = Config(RECIPE + "2049x1025_bs1_90k_lr00005").tree
    cropped = Config(RECIPE + "1025x513_bs8_90k_lr00005").tree
    assert large["batch_size"] == 1
    assert large["train_dataset"]["transforms"][1]["crop_size"] == [2049, 1025]
    assert cropped["train_dataset"]["transforms"][1]["crop_size"] == [1025, 513]
    assert cropped["model"] == large["model"]


def test_inherited_false_stops_the_merging(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text("iters: 5\nmodel: {type: PanopticDeepLab}\n")
    own = "_base_: base.yml\nmodel: {_inherited_: false, type: PanopticDeepLabLite}\n"
    (tmp_path / "own.yml").write_text(own)
    config = Config(tmp_path / "own.yml")
    assert config.iters == 5
    assert config.tree["model"] == {"type": "PanopticDeepLabLite"}


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


MISTAKES = {
    "modle.type=x": "no 'modle' in the configuration (did you mean \"model\"?)",
    "batchsize=3": "unknown key 'batchsize' (did you mean \"batch_size\"?)",
    "model.chanels=[1]": "unknown key 'model.chanels' (did you mean \"channels\"?)",
    "train_dataset.transforms.0.crop=1": '(did you mean "crop_size"?)',
    "train_dataset.transforms.5.crop_size=1": "no 'train_dataset.transforms.5'",
    "train_dataset.transforms.0.type=RandomPadingCrop": '(did you mean "RandomPaddingCrop"?)',
    "model.type=PanopticDeepLabLight": '(did you mean "PanopticDeepLabLite"?)',
    "optimizer.type=Adan": "unknown type 'Adan' under 'optimizer' (did you mean \"Adam\"?)",
    "optimizer.beta=0.9": "unknown key 'optimizer.beta'",
    "lr_scheduler.type=PolyDecay": '(did you mean "PolynomialDecay"?)',
    "lr_scheduler.powr=1": '(did you mean "power"?)',
    "batch_size=many": "'batch_size' must be a whole number, got 'many'",
    "batch_size=0": "'batch_size' must be at least 1, got 0",
    "iters=-1": "'iters' must be at least 1",
    "iters=true": "'iters' must be a whole number, got True",
    "postprocessor.threshold=high": "'postprocessor.threshold' must be a number, got 'high'",
    "train_dataset.transforms.0.crop_size=[a, 3]": "must be a list, each item a whole number",
    "train_dataset.transforms=3": "must be a list, got 3",
    "model=3": "'model' must be a dictionary, got 3",
    "model={channels: [1]}": "must be a dictionary with a 'type'",
    "evaluators=[{type: PanopticQualty}]": '(did you mean "PanopticQuality"?)',
    "preprocess.std=[0, 0, 0]": "there is no 'preprocess'",
    "train_dataset={type: CityscapesPanoptic}": "lacks the key 'dataset_root'",
    "noequals": "--opts takes a.b=value, got 'noequals'",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_mistakes_name_the_key_and_the_nearest_known(tiny_config: Path, override: str) -> None:
    with pytest.raises(UsageError) as failure:
        Config(tiny_config, [override])
    assert MISTAKES[override] in str(failure.value)
    assert "--opts" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_the_file_that_holds_the_mistake_is_named(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text("model: {type: PanopticDeepLabLite, chanels: [1]}\n")
    (tmp_path / "own.yml").write_text("_base_: base.yml\niters: 3\n")
    with pytest.raises(UsageError, match=r"base\.yml: unknown key 'model\.chanels'"):
        Config(tmp_path / "own.yml")


BROKEN_FILES = {
    "model: [": "not valid YAML",
    "- 1\n- 2\n": "expected a YAML dictionary",
    "": "expected a YAML dictionary",
    "iters: 3\niters: 4\n": "the key 'iters' is given twice",
    "_base_: own.yml\n": "is based on itself",
    "_base_: absent.yml\n": "absent.yml: no such configuration file",
    "_base_: 3\n": "_base_ must be a file name",
    "model: !!python/object/apply:os.system ['true']\n": "not valid YAML",
    "loss: {types: [], coef: []}\n": "'loss' needs three 'types'",
    "learning_rate: 3\n": "'learning_rate' needs 'value'",
    "learning_rate: {value: 1, decay: {type: step}}\n": "decay type 'step'",
    "train_dataset:\n": "'train_dataset' must be a dictionary, got None",
    "optimizer: {type: [1]}\n": "'optimizer' must be a dictionary with a 'type'",
    "model: {1: 2}\n": "the key 1 is not a string; write it in quotes",
    "model: {? [1]: 2}\n": "not valid YAML",
    "name: &a [*a]\n": "it contains itself",
    "a: &a [1, 1]\n"
    + "".join(f"{k}: &{k} [{', '.join(['*' + j] * 9)}]\n" for j, k in ("ab", "bc", "cd")): (
        "more than 16 aliases"
    ),
    "name: " + "[" * 5000: "not valid YAML",
    '_base_: ["a\\nb"]\n': "_base_ must be a file name",
    "name: \0": "not valid YAML",
}


@pytest.mark.parametrize("content", BROKEN_FILES)
def test_broken_files(tmp_path: Path, content: str) -> None:
    (tmp_path / "own.yml").write_text(content)
    with pytest.raises(UsageError) as failure:
        Config(tmp_path / "own.yml")
    assert BROKEN_FILES[content] in str(failure.value)
    assert "\n" not in str(failure.value)


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


@pytest.mark.parametrize("sigma", [".inf", "1e300", "0"])
def test_a_gaussian_of_unreasonable_size(tiny_config: Path, sigma: str) -> None:
    config = Config(tiny_config, [f"targets.sigma={sigma}"])
    with pytest.raises(UsageError, match=r"--opts: 'targets': sigma must be in 0\.\.1000 pixels"):
        _ = config.targets


def test_keys_below_a_base_entry_that_is_not_a_dictionary(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text("optimizer: null\n")
    (tmp_path / "own.yml").write_text("_base_: base.yml\noptimizer: {type: Adam}\n")
    with pytest.raises(UsageError, match=r"own\.yml: .* give that entry _inherited_: false"):
        Config(tmp_path / "own.yml")


def test_a_section_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text("iters: 3\n")
    with pytest.raises(UsageError, match="has no section 'model'"):
        _ = Config(tmp_path / "own.yml").model


def test_only_parts_take_a_type(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text("preprocess: {type: Preprocess, mean: [0.5]}\n")
    with pytest.raises(UsageError, match=r"unknown key 'preprocess\.type'"):
        Config(tmp_path / "own.yml")
