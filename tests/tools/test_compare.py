"""The command that compares methods: wrong use, and one small run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import compare
import paddle
import pytest
from comparing import training
from comparing.methods import Method, refuse_other_data, unique_name

from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --model_paths, one for each configuration, or --train_seconds"),
        (["--model_paths", "x", "--train_seconds", "3"], "give either"),
        (["--model_paths", "x"], "expected weights for each of 2 configurations, got 1"),
    ],
)
def test_contradictions_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = compare.main(["--configs", "a", "b", "--save_dir", str(tmp_path / "out"), *arguments])
    assert code == 2
    assert message in capsys.readouterr().err


def test_methods_on_other_data_are_refused(tiny_config: Path) -> None:
    one = Method("one", Config(tiny_config), (), None)
    training_split = ["val_dataset.mode=train"]
    two = Method("two", Config(tiny_config, training_split), (), None)
    refuse_other_data([one, one])
    with pytest.raises(UsageError, match=r"validates on other images than .*tiny\.yml"):
        refuse_other_data([one, two])


def test_names_are_made_unique() -> None:
    assert unique_name("a", []) == "a"
    assert unique_name("a", ["a", "a-2"]) == "a-3"


def test_help_comes_without_paddle() -> None:
    probe = (
        "import sys, runpy; sys.path.insert(0, 'tools'); sys.argv = ['x', '--help']\n"
        "try: runpy.run_path('tools/compare.py', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'paddle' not in sys.modules and 'numpy' not in sys.modules, 'imported'\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=training.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "python tools/compare.py --configs" in finished.stdout


def test_three_methods_from_weights_to_page(
    tiny_config: Path, tiny_top_down_config: Path, tiny_panoptic_fpn_config: Path, tmp_path: Path
) -> None:
    """Untrained networks on three scenes; each is measured in its own process."""
    configs, weights = [tiny_config, tiny_top_down_config, tiny_panoptic_fpn_config], []
    for config in configs:
        paddle.seed(0)
        weights.append(tmp_path / config.stem / "model.pdparams")
        paddle.save(Config(config).model.state_dict(), str(weights[-1]))
    out = tmp_path / "out"
    options = ["--configs", *map(str, configs), "--model_paths", *map(str, weights)]
    options += ["--opts", "val_dataset.transforms=[]"]
    assert compare.main([*options, "--save_dir", str(out), "--worst", "1"]) == 0

    comparison_json = json.loads((out / "comparison.json").read_text())
    names = ["tiny", "tiny_top_down", "tiny_panoptic_fpn"]
    assert [m["name"] for m in comparison_json["methods"]] == names
    for measured, config in zip(comparison_json["methods"], configs, strict=True):
        model = Config(config).model
        trained = sum(p.size for p in model.parameters() if not p.stop_gradient)
        assert measured["parameters"] == trained
        assert measured["multiply_adds"] > 0 < measured["seconds"]["network"]
        assert measured["input_size"] == [64, 128]
        assert measured["training"] is None
        assert len(measured["images"]) == 3
        per_class = measured["scores"]["per_class"]
        kinds = measured["errors"]["per_class"]
        for name, counts in kinds.items():
            not_found = sum(n for k, n in counts.items() if k not in ("annotated", "false"))
            assert not_found == per_class[name]["fn"]
    images = sorted((out / "pictures").iterdir())
    assert len(images) == len(comparison_json["pictures"]) >= 1
    assert (out / "index.html").read_text().count("<img ") == len(images)
    assert "tiny_top_down" in (out / "comparison.md").read_text().replace("\\", "")
