"""The shipped configurations: each is valid, and found by its name."""

from __future__ import annotations

import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from panoptic_deeplab.config import Config, find_config, shipped_configs
from panoptic_deeplab.errors import UsageError

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_valid(path: Path) -> None:
    Config(path)


@pytest.mark.parametrize("path", shipped_configs().values(), ids=lambda path: path.stem)
def test_the_head_gives_the_command_and_the_score(path: Path) -> None:
    lines = path.read_text().splitlines()
    head = "\n".join(takewhile(lambda line: line.startswith("#"), lines))
    assert path.name in head
    assert "score" in head.lower()


def test_a_shipped_configuration_is_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = find_config("panoptic_deeplab_lite_scenes")
    assert path == find_config("panoptic_deeplab_lite_scenes.yml") == find_config(path)
    monkeypatch.chdir(tmp_path)
    Path("own_data").mkdir()
    assert find_config("own_data").name == "own_data.yml", "a folder is no configuration"
    Path("own_data").rmdir()
    Path("own_data").write_text("a file here goes before a name")
    assert find_config("own_data") == Path("own_data")


def test_a_shipped_configuration_is_based_upon_by_name(tmp_path: Path) -> None:
    own = tmp_path / "own_data.yml"
    own.write_text("_base_: own_data\niters: 7\n")
    config = Config(own)
    assert config.tree == Config("own_data").tree | {"iters": 7}
    (tmp_path / "own_data").write_text("batch_size: 3\n")
    assert Config(own).tree == {"batch_size": 3, "iters": 7}, "a file beside it goes first"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("panoptic_deeplab_lite_scene", "did you mean the shipped panoptic_deeplab_lite_scenes"),
        ("zzz", "shipped are efficientps_b0_scenes, "),
        ("nowhere/panoptic_deeplab_lite_scenes.yml", "no such configuration file"),
        ("_base_/own_data", "no such configuration file"),
        ("x" * 300, "no such configuration file"),
    ],
)
def test_a_wrong_name_lists_near_ones(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=name) as failure:
        find_config(name)
    assert hint in str(failure.value)


def test_finding_a_configuration_loads_nothing_heavy() -> None:
    code = (
        "import sys; from panoptic_deeplab.config import find_config; find_config('own_data'); "
        "assert not {'paddle', 'numpy', 'cv2', 'yaml'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
