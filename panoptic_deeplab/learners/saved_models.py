"""Folders of models as OpenDR saves them: a JSON that names the weights beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json

_WEIGHTS = "model.pdparams"


def meta_data(method: str, is_trained: bool) -> dict[str, Any]:
    """Return the content of the JSON; OpenDR writes paths from the folder given to `save`."""
    return {
        "model_paths": [f"/{method}/{_WEIGHTS}"],
        "framework": "paddle",
        "format": "pdparams",
        "has_data": False,
        "inference_params": {},
        "optimized": is_trained,
        "optimizer_info": {},
    }


def weights_of(path: str, method: str) -> str:
    """Return the file or checkpoint folder that a path means, by the JSON if it has one.

    Args:
        path: what was given to `save` or the folder that it made; anything else is returned.
        method: the learner's.

    Raises:
        DataError: the folder is neither saved by a learner nor a checkpoint.
    """
    folder = Path(path)
    if not folder.is_dir():
        return path
    names = (f"{folder.name}.json", f"{method}.json", f"{method}/{method}.json")
    meta = next((folder / name for name in names if (folder / name).is_file()), None)
    if meta is not None:
        return str(_weights_by(meta))
    if not any((folder / name).exists() for name in (_WEIGHTS, "model.safetensors")):
        raise DataError(f"No model meta data found at {folder / names[0]}")
    return path


def _weights_by(meta: Path) -> Path:
    """Return the weights that a JSON names. Only their name counts, for they lie beside it.

    Raises:
        DataError: it names none, or they are not there.
    """
    content = read_json(meta)
    names = content.get("model_paths") if isinstance(content, dict) else None
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, Sequence) or not names or not isinstance(names[0], str):
        raise DataError(f"{meta}: expected model_paths, a list of file names")
    weights = meta.parent / PurePosixPath(names[0]).name
    if not weights.is_file():
        raise DataError(f"No model weights found at {weights}")
    return weights
