"""Two-stage networks: files of the network and its heads, and what lies between on the host."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml
from drawn_checkpoint import drawn_image

from panoptic_deeplab.cli import export as export_tool
from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.inference.model import Model, load_model
from panoptic_deeplab.result import Result

for package in ("onnx", "paddle2onnx", "onnxruntime"):
    pytest.importorskip(package)

CONFIG = """
name: own
categories:
  - {{id: 1, name: car, isthing: 1, color: [0, 0, 1]}}
  - {{id: 2, name: road, isthing: 0, color: [0, 0, 2]}}
  - {{id: 3, name: sky, isthing: 0, color: [0, 0, 3]}}
  - {{id: 4, name: rider, isthing: 1, color: [0, 0, 4]}}
model:
  {model}
  channels: 16
  semantic_channels: 32
  box_channels: 32
  test_proposals: 50
  score_threshold: 0.3
  max_instances: 6
val_dataset: {{type: CocoPanoptic, dataset_root: none, image_root: none, annotation_file: a.json}}
postprocessor: {{type: {postprocessor}, min_stuff_area: 1}}
"""
METHODS = {
    "EfficientPS": (
        "backbone: {type: EfficientNet, variant: b0, width: 0.25, depth: 0.25}",
        "AdaptiveFusion",
    ),
    "PanopticFPN": (
        "backbone: {type: ResNet, depth: 18, width: 8, frozen_stages: 0, norm: instance}",
        "HeuristicFusion",
    ),
}
FILES = {"deploy.yaml", "model.onnx", "box_head.onnx", "mask_head.onnx"}


def write_checkpoint(folder: Path, method: str) -> None:
    """Drawn weights, whose classes are far enough apart that there are instances."""
    backbone, postprocessor = METHODS[method]
    parts = {"model": f"type: {method}\n  {backbone}", "postprocessor": postprocessor}
    (folder / "config.yml").write_text(CONFIG.format(**parts))
    paddle.seed(0)
    model = Config(folder / "config.yml").model
    for name, value in model.named_parameters():
        if name.endswith(("fc_cls.weight", "rpn_reg.weight")):
            value.set_value(30 * value)
    paddle.save(model.state_dict(), str(folder / "model.pdparams"))


def export(checkpoint: Path, target: Path, *more: str) -> int:
    words = ["--model_path", str(checkpoint), "--save_dir", str(target), "--device", "cpu"]
    return export_tool.main([*words, "--repeats", "1", *more])


@pytest.fixture(scope="module", params=METHODS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    write_checkpoint(folder, request.param)
    return folder


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """What the export of a checkpoint said, by the checkpoint's folder."""
    return {}


@pytest.fixture(scope="module")
def exported(
    checkpoint: Path, tmp_path_factory: pytest.TempPathFactory, told: dict[str, str]
) -> Path:
    """The files that another machine is given."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda *words, **_: lines.append(" ".join(map(str, words))))
        assert export(checkpoint, folder / "all", "--format", "onnx") == 0
    told[checkpoint.name] = "\n".join(lines)
    (folder / "taken").mkdir()
    for name in FILES:
        shutil.copy(folder / "all" / name, folder / "taken")
    return folder / "taken"


@pytest.fixture(scope="module")
def models(checkpoint: Path, exported: Path) -> tuple[Model, Model]:
    return load_model(checkpoint, "cpu", runtime="paddle"), load_model(exported, "cpu")


def assert_same(found: Result, expected: Result) -> None:
    """But for single pixels that rounding decides."""
    assert [s.category for s in found] == [s.category for s in expected]
    assert [s.score for s in found] == pytest.approx([s.score for s in expected], abs=1e-4)
    assert (found.ids != expected.ids).mean() < 1e-3
    assert (found.semantic != expected.semantic).mean() < 1e-3


@pytest.mark.parametrize("size", [(96, 128), (64, 64), (70, 150)])
def test_the_files_predict_as_their_model(
    size: tuple[int, int], models: tuple[Model, Model]
) -> None:
    """Alone and as a batch, at any size."""
    images = [drawn_image(size, seed) for seed in range(3)]
    expected, found = (list(model.predict(images, batch_size=3)) for model in models)
    assert sum(segment.is_thing for result in expected for segment in result) > 3
    for pair in zip(found, expected, strict=True):
        assert_same(*pair)
    assert_same(models[1](images[0]), expected[0])


def test_the_export_says_how_far_all_files_agree(
    exported: Path, checkpoint: Path, told: dict[str, str]
) -> None:
    lines = told[checkpoint.name]
    names = ("semantic", "features_4", "rpn_logits_32", "class_logits", "mask_logits")
    assert all(f"{name} differs by at most" in lines for name in names)
    assert "0 % of the pixels have another id" in lines
    assert "this model in Paddle" in lines


def test_limits_are_in_the_description(exported: Path, tmp_path: Path) -> None:
    image = drawn_image((96, 128))
    host = yaml.safe_load((exported / "deploy.yaml").read_text())["host"]
    assert host["instances"]["max_instances"] == 6
    assert host["instances"]["score_threshold"] == 0.3
    found = changed(exported, tmp_path / "one", {"max_instances": 1})(image)
    assert sum(segment.is_thing for segment in found) == 1
    found = changed(exported, tmp_path / "none", {"score_threshold": 1.0})(image)
    assert len(found)
    assert not any(segment.is_thing for segment in found)


def test_an_image_without_proposals(exported: Path, tmp_path: Path) -> None:
    """All anchors lie beside the image: it is its only region."""
    host = yaml.safe_load((exported / "deploy.yaml").read_text())["host"]
    anchors = (np.array(host["instances"]["anchors"]) - 1e5).tolist()
    model = changed(exported, tmp_path / "beside", {"anchors": anchors, "legacy_boxes": False})
    for result in model([drawn_image((64, 96), seed) for seed in range(2)]):
        assert result.ids.shape == (64, 96)
        assert sum(segment.is_thing for segment in result) <= 2


def changed(exported: Path, target: Path, settings: dict[str, Any]) -> Model:
    """The model of a copy whose instances are found by other settings."""
    shutil.copytree(exported, target)
    change_description(target, lambda host: host["instances"].update(settings))
    return load_model(target, device="cpu")


def change_description(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = yaml.safe_load((folder / "deploy.yaml").read_text())
    change(content["host"])
    (folder / "deploy.yaml").write_text(yaml.safe_dump(content))


def test_the_description_inside_the_file_is_enough(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "copy")
    (folder / "deploy.yaml").unlink()
    image = drawn_image((64, 96))
    found, expected = (load_model(p, device="cpu")(image) for p in (folder, exported))
    np.testing.assert_array_equal(found.ids, expected.ids)


def instances(**settings: Any) -> Callable[[Path], None]:
    return lambda f: change_description(f, lambda host: host["instances"].update(settings))


def heads(**checksums: str) -> Callable[[Path], None]:
    return lambda f: change_description(f, lambda host: host["heads"].update(checksums))


BAD_FOLDERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a part is missing": (
        lambda f: (f / "mask_head.onnx").unlink(),
        "mask_head.onnx: is missing; model.onnx needs it beside it",
    ),
    "a part is a folder": (
        lambda f: ((f / "mask_head.onnx").unlink(), (f / "mask_head.onnx").mkdir()),
        "mask_head.onnx: is missing",
    ),
    "a part is cut off": (
        lambda f: (f / "box_head.onnx").write_bytes((f / "box_head.onnx").read_bytes()[:-9]),
        "box_head.onnx: is not the file that model.onnx was exported with",
    ),
    "a part of another export": (
        lambda f: shutil.copy(f / "box_head.onnx", f / "mask_head.onnx"),
        "mask_head.onnx: is not the file that model.onnx was exported with",
    ),
    "the description of another export": (
        heads(box_head="0" * 64),
        "model.onnx: is of another export than the deploy.yaml beside it",
    ),
    "a part elsewhere": (heads(**{"../box_head": "0" * 64}), "heads are box_head and mask_head"),
    "other anchors": (instances(anchors=[[[0, 0, 8, 8]]]), "anchors: expected 3 boxes for each"),
    "no anchors": (instances(anchors="many"), "names a part that cannot be made"),
    "no instances": (instances(max_instances=0), "max_instances must be at least 1"),
    "no number": (instances(candidates="all"), "names a part that cannot be made"),
    "no fraction": (instances(nms_threshold=7), "nms_threshold must be in 0..1, got 7"),
    "an unknown setting": (instances(speed=1), "names a part that cannot be made"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_a_wrong_folder_is_one_line(name: str, exported: Path, tmp_path: Path) -> None:
    spoil, message = BAD_FOLDERS[name]
    folder = shutil.copytree(exported, tmp_path / "copy")
    spoil(folder)
    with pytest.raises(DataError) as caught:
        load_model(folder, device="cpu")
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_head_is_no_model(exported: Path) -> None:
    with pytest.raises(DataError, match="it gives mask_logits of regions, labels"):
        load_model(exported / "mask_head.onnx", device="cpu")
