"""Which files a model path means: a checkpoint, weights, an export, a URL, a name of the zoo."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

from panoptic_deeplab.errors import DataError, UsageError, nearest
from panoptic_deeplab.file_kinds import mistaken_for
from panoptic_deeplab.weights import (
    head_of,
    is_torch,
    local_weights,
    published_model,
    refuse_other_kinds,
    zoo,
)

CONFIG_FILE = "config.yml"
WEIGHTS_FILES = ("model.pdparams", "model.safetensors")
EXPORT_FILE = "model.onnx"
PADDLE_PROGRAM = "inference.json"
_OF_PROGRAMS = (".pdmodel", ".pdiparams")
_WEIGHTS_SUFFIXES = (".pdparams", ".safetensors", ".onnx", ".pth", ".pt")

_MAX_SUGGESTIONS = 3


class ModelFiles(NamedTuple):
    """Where a model lies.

    Attributes:
        weights: the file of weights, or the exported file.
        config: path or name of the configuration that describes the network; None for an exported
            file without one, which needs none.
        is_exported: whether `weights` is an exported ONNX file.
    """

    weights: Path
    config: str | None
    is_exported: bool


def locate_model(model_path: str | Path, config: str | Path | None = None) -> ModelFiles:
    """Find the files of a model.

    Args:
        model_path: the folder of a checkpoint or an export, a file of weights, an ONNX file, the
            https URL of a file of weights (or of an archive with one) or of an ONNX file, or the
            name of a published model, unless a file or folder is called so.
        config: path or name of a configuration; it overrides the one beside the weights.

    Raises:
        DataError: there is nothing of that name, the folder holds no model, or the URL cannot be
            fetched.
        UsageError: the path is empty, or no configuration lies beside the weights and none is
            given.
    """
    if not str(model_path):
        raise UsageError(
            "--model_path: expected a checkpoint folder, a weights file, an ONNX file, an https "
            "URL or a name of the zoo, got an empty text"
        )
    if (published := published_model(model_path)) is not None:
        return ModelFiles(published.fetch(), str(config or published.config), False)
    weights = _model_file(model_path)
    if weights.suffix == ".onnx":
        return ModelFiles(weights, None if config is None else str(config), True)
    return ModelFiles(weights, str(config or _config_beside(weights, model_path)), False)


def _model_file(model_path: str | Path) -> Path:
    if "://" in str(model_path):
        return local_weights(str(model_path), "check the address, or give a local path")
    path = Path(model_path)
    if path.is_dir():
        return _file_in_folder(path)
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder{_near(path)}; expected a checkpoint folder, a weights "
            "file, an ONNX file, an https URL or a name of the zoo (`weights list`)",
            kind="missing file",
        )
    _refuse_other_kinds(path)
    return path


def _refuse_other_kinds(path: Path) -> None:
    """Say what a file is that is neither weights nor a network, before more is asked for."""
    if path.suffix != ".onnx":
        if not is_torch(head_of(path)):
            refuse_other_kinds(path)
    elif found := mistaken_for(head_of(path)):
        raise DataError(f"{path}: not an ONNX file: {found}")


def _file_in_folder(folder: Path) -> Path:
    for name in (*WEIGHTS_FILES, EXPORT_FILE):
        if (folder / name).exists():
            _refuse_other_kinds(folder / name)
            return folder / name
    if any(file.name == PADDLE_PROGRAM or file.suffix in _OF_PROGRAMS for file in _files(folder)):
        raise DataError(
            f"{folder}: holds a Paddle program, which only Paddle Inference runs; export with "
            "--format onnx, or give the checkpoint"
        )
    expected = ", ".join((*WEIGHTS_FILES, EXPORT_FILE))
    raise DataError(f"{folder}: holds no model (none of {expected}){_models_below(folder)}")


def _config_beside(weights: Path, model_path: str | Path) -> Path:
    config = weights.with_name(CONFIG_FILE)
    if not config.is_file():
        raise UsageError(
            f"{model_path}: no {CONFIG_FILE} lies beside these weights; give the configuration "
            "they were trained with by --config"
        )
    return config


def _near(path: Path) -> str:
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    published = zoo() if len(path.parts) == 1 else ()
    return nearest(path.name, [*siblings, *published])


def _models_below(folder: Path) -> str:
    """Name the models of a training, best_model and the newest, and files of weights."""
    names = (*WEIGHTS_FILES, EXPORT_FILE)
    folders = {file.parent for name in names for file in folder.glob(f"*/{name}")}
    files = [file for file in _files(folder) if file.suffix in _WEIGHTS_SUFFIXES]
    found = list(map(str, sorted(folders, key=_age) + sorted(files)))
    return f"; give {' or '.join(found[:_MAX_SUGGESTIONS])}" if found else ""


def _age(folder: Path) -> tuple[int, str]:
    """Order the models of a training: names without a number, then the newest checkpoints."""
    number = re.search(r"\d+$", folder.name)
    return -int(number[0]) if number else -sys.maxsize, folder.name


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]
