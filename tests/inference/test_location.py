"""What a model path means, and what is said where it means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.errors import DataError, UsageError, UserError
from panoptic_deeplab.inference import location
from panoptic_deeplab.inference.location import ModelFiles, locate_model


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


FOUND = {
    "a checkpoint folder": ("run", None, "run/model.pdparams", "run/config.yml"),
    "its weights": ("run/model.pdparams", None, "run/model.pdparams", "run/config.yml"),
    "a given configuration goes first": ("run", "my.yml", "run/model.pdparams", "my.yml"),
    "safetensors": ("safe", None, "safe/model.safetensors", "safe/config.yml"),
    "bare weights with a configuration": ("bare.pdparams", "my.yml", "bare.pdparams", "my.yml"),
}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some models, in the current folder."""
    make_files(tmp_path, "run/model.pdparams", "run/config.yml", "run/model.onnx")
    make_files(tmp_path, "safe/model.safetensors", "safe/config.yml", "bare.pdparams")
    make_files(tmp_path, "export/model.onnx", "export/deploy.yaml", "paddle/inference.json")
    make_files(tmp_path, "output/best_model/model.pdparams", "output/iter_9/model.pdparams")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", FOUND)
def test_weights_and_their_configuration_are_found(kind: str, models: Path) -> None:
    model_path, config, weights, found_config = FOUND[kind]
    assert locate_model(model_path, config) == ModelFiles(Path(weights), found_config, False)


@pytest.mark.parametrize("model_path", ["export", "export/model.onnx", Path("export")])
@pytest.mark.parametrize("config", [None, "my.yml"])
def test_an_export_needs_no_configuration(
    model_path: str | Path, config: str | None, models: Path
) -> None:
    assert locate_model(model_path, config) == ModelFiles(Path("export/model.onnx"), config, True)


def test_an_exported_file_is_fetched(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = models / "cache" / "0-model.onnx"
    monkeypatch.setattr(location, "local_weights", lambda source, hint: fetched)
    assert locate_model("https://example.com/model.onnx") == ModelFiles(fetched, None, True)


def test_a_url_is_fetched_and_needs_a_configuration(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://example.com/weights.pdparams"
    fetched = models / "cache" / "0-weights.pdparams"
    monkeypatch.setattr(location, "local_weights", lambda source, hint: fetched)
    assert locate_model(url, "my.yml") == ModelFiles(fetched, "my.yml", False)
    with pytest.raises(UsageError, match=rf"{url}: no config.yml lies beside .* by --config"):
        locate_model(url)


REFUSED: dict[str, tuple[type[UserError], str]] = {
    "": (UsageError, "--model_path: expected a checkpoint folder"),
    "rum": (DataError, 'rum: no such file or folder (did you mean "run"?); expected a checkpoint'),
    "nowhere/at/all": (DataError, "nowhere/at/all: no such file or folder; expected"),
    "bare.pdparams": (
        UsageError,
        "bare.pdparams: no config.yml lies beside these weights; give the configuration",
    ),
    "output": (
        DataError,
        "output: holds no model (none of model.pdparams, model.safetensors, model.onnx); give "
        "output/best_model or output/iter_9",
    ),
    "paddle": (DataError, "paddle: holds a Paddle program, which only Paddle Inference runs"),
    "http://example.com/a.pdparams": (DataError, "only https is fetched, not http"),
    "s3://bucket/a.pdparams": (DataError, "only https is fetched, not s3"),
    "zero\0byte": (DataError, "zero\\x00byte: no such file or folder"),
}


@pytest.mark.parametrize("model_path", REFUSED)
def test_what_is_no_model_is_one_line(model_path: str, models: Path) -> None:
    kind, message = REFUSED[model_path]
    with pytest.raises(kind) as caught:
        locate_model(model_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


OTHER_FILES = {
    "run/model.pdparams": (b"<html>", "run/model.pdparams: not a file of weights: it is an HTML"),
    "run/model.onnx": (b"version https://git-lfs.github.com", "not an ONNX file: it is a p"),
    "old/resnet.pdiparams": (b"\0", "the parameters of an exported Paddle program"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_what_a_file_is_comes_before_a_missing_configuration(name: str, models: Path) -> None:
    content, message = OTHER_FILES[name]
    (models / "run" / "config.yml").unlink()
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        locate_model(name)


def test_a_folder_of_a_paddle_program_of_before(models: Path) -> None:
    make_files(models, "old/model.pdmodel", "old/model.pdiparams")
    with pytest.raises(DataError, match="old: holds a Paddle program"):
        locate_model("old")


def test_of_a_run_the_best_and_the_newest_models_are_named(models: Path) -> None:
    make_files(models, *(f"output/iter_{n}/model.pdparams" for n in (8, 10, 100)))
    with pytest.raises(DataError, match="give output/best_model or output/iter_100 or output/iter"):
        locate_model("output")


def test_weights_of_another_name_are_named(models: Path) -> None:
    make_files(models, "hub/resnet50.pdparams", "hub/readme.md")
    with pytest.raises(DataError, match=r"hub: holds no model .*; give hub/resnet50.pdparams$"):
        locate_model("hub")
