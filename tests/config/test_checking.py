"""Unknown keys and wrong values are refused by name; the arguments of all backbones are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.config.checking import takes
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.registry import BACKBONES

SHIPPED = "panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005"


@pytest.mark.parametrize("name", BACKBONES.components_dict)
def test_the_arguments_of_each_backbone_are_known(name: str) -> None:
    """PaddleSeg's are functions of **kwargs; a table gives each module's class."""
    assert takes(BACKBONES[name])


def test_an_argument_that_the_class_takes_and_one_that_it_does_not() -> None:
    backbone = "model.backbone={type: MobileNetV3_large_x1_0, %s: 3}"
    Config(SHIPPED, [backbone % "in_channels"])
    with pytest.raises(
        UsageError, match=r"'model\.backbone\.in_chanels' .*\"in_channels\""
    ) as failure:
        Config(SHIPPED, [backbone % "in_chanels"])
    assert "--opts" in str(failure.value)


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
    "postprocessor.threshold=high": "'postprocessor.threshold' must be a finite number, got 'high'",
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


def test_only_parts_take_a_type(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text("preprocess: {type: Preprocess, mean: [0.5]}\n")
    with pytest.raises(UsageError, match=r"unknown key 'preprocess\.type'"):
        Config(tmp_path / "own.yml")
