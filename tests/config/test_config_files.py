"""Configuration files: what is merged, and files that are refused."""

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
    + "".join(
        f"{k}: &{k} [{', '.join(['*' + j] * 9)}]\n" for j, k in ("ab", "bc", "cd", "de", "ef")
    ): ("more than 100000 entries"),
    "name: " + "[" * 5000: "nested more than 50 levels deep",
    '_base_: ["a\\nb"]\n': "_base_ must be a file name",
    f"_base_: {'x' * 5000}\n": "cannot be read",
    "name: \0": "not valid YAML",
}


@pytest.mark.parametrize("content", BROKEN_FILES)
def test_broken_files(tmp_path: Path, content: str) -> None:
    (tmp_path / "own.yml").write_text(content)
    with pytest.raises(UsageError) as failure:
        Config(tmp_path / "own.yml")
    assert BROKEN_FILES[content] in str(failure.value)
    assert "\n" not in str(failure.value)


def test_keys_below_a_base_entry_that_is_not_a_dictionary(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text("optimizer: null\n")
    (tmp_path / "own.yml").write_text("_base_: base.yml\noptimizer: {type: Adam}\n")
    with pytest.raises(UsageError, match=r"own\.yml: .* give that entry _inherited_: false"):
        Config(tmp_path / "own.yml")
