"""A checkpoint of random weights, and what `tools/export.py` makes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarking.train_step import CONFIGS, Recipe
from panoptic_deeplab.errors import UserError

ROOT = CONFIGS.parent
Outputs = list[np.ndarray]


def export(recipe: Recipe, folder: Path, *options: str) -> Path:
    """Writes the checkpoint, exports it and returns the ONNX file.

    Raises:
        UserError: the export failed.
    """
    command = [sys.executable, "tools/export.py", "--config", CONFIGS / recipe.config]
    command += ["--model_path", checkpoint(recipe, folder), "--save_dir", folder / "exported"]
    command += ["--format", "onnx", "--repeats", "1", *options]
    if recipe.changes:
        command += ["--opts", *recipe.changes]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    found = sorted((folder / "exported").rglob("*.onnx"))
    if done.returncode or len(found) != 1:
        raise UserError(f"the export to be measured failed: {done.stderr[-500:]}")
    return found[0]


def checkpoint(recipe: Recipe, folder: Path) -> Path:
    """The weights that the configuration's model starts with, always the same."""
    import paddle

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.pdparams"
    paddle.save(configuration(recipe).model.state_dict(), str(path))
    return path


def configuration(recipe: Recipe) -> Any:
    """The configuration, its model ready to predict."""
    import paddle

    from panoptic_deeplab.config import Config

    paddle.seed(0)
    config = Config(str(CONFIGS / recipe.config), list(recipe.changes))
    config.model.eval()
    return config


def onnxruntime(path: Path) -> Callable[[np.ndarray], Outputs]:
    """The file in ONNX Runtime: an array to the file's outputs."""
    from onnxruntime import InferenceSession

    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    return lambda array: session.run(None, {entry.name: array})


def openvino(path: Path) -> Callable[[np.ndarray], Outputs]:
    """The file in OpenVINO."""
    from openvino import Core

    model = Core().compile_model(str(path), "CPU")
    return lambda array: list(model(array).to_tuple())


RUNTIMES: Mapping[str, Callable[[Path], Callable[[np.ndarray], Outputs]]] = {
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}


def installed_runtimes() -> list[str]:
    """The names of those that are there.

    Raises:
        UserError: none is.
    """
    found = [name for name in RUNTIMES if find_spec(name) is not None]
    if not found:
        raise UserError(f"nothing runs ONNX files: pip install {' or '.join(RUNTIMES)}")
    return found
