"""Reading a file of weights as named arrays, without Paddle and without running code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from panoptic_deeplab.errors import DataError, reason_of
from panoptic_deeplab.files import open_file
from panoptic_deeplab.weights.kinds import head_of, is_safetensors, refuse_other_kinds
from panoptic_deeplab.weights.plain_pickle import (
    RefusalError,
    array_of_bytes,
    float32_of_bfloat16,
    read_pickle,
)
from panoptic_deeplab.weights.wrapping import unwrapped

_PICKLE_START = b"\x80"
NOTE_ENDING = "@@"
"""Ending of names that stand for no weight: the table that paddle.save adds, a license."""
_BFLOAT16_BITS = np.dtype(np.uint16)  # as Paddle writes them; it has no uint16 of its own


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read name -> array from a `.pdparams` or `.safetensors` file, or a folder with one of these.

    The content decides, not the suffix. Weights may lie under `state_dict` or the like, and their
    names begin with `module.` or the like. bfloat16 weights are returned as float32, which holds
    all their values.

    Raises:
        DataError: the file is missing, damaged, or holds something else than named arrays.
    """
    return read_weights_and_others(path)[0]


def read_weights_and_others(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """As `read_weights`; also return what lies beside the weights, by name."""
    path = _model_file(Path(path))
    refuse_other_kinds(path)
    whole = _read_safetensors(path) if _is_safetensors(path) else read_pickle(path)
    if not isinstance(whole, Mapping):
        raise DataError(f"{path}: expected named weights, got {type(whole).__name__}")
    content, beside = unwrapped(whole)
    weights = {n: value for n, value in content.items() if not str(n).endswith(NOTE_ENDING)}
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise DataError(
                f"{path}: expected named arrays of numbers, got {type(value).__name__} for "
                f"{name!r:.100}"
            )
    if not weights:
        raise DataError(f"{path}: holds no weights")
    arrays = {
        name: float32_of_bfloat16(value) if value.dtype == _BFLOAT16_BITS else value
        for name, value in weights.items()
    }
    return arrays, {name: whole.get(name) for name in beside}


def _model_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    candidates = [path / f"model{suffix}" for suffix in (".pdparams", ".safetensors")]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])


def _is_safetensors(path: Path) -> bool:
    """Tell the two forms apart by content, and what is neither by its suffix."""
    head = head_of(path)
    is_pickle = head.startswith(_PICKLE_START)
    return is_safetensors(head) or (path.suffix == ".safetensors" and not is_pickle)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    with open_file(path) as file:
        try:
            return {
                name: array_of_bytes(
                    _number_type(entry["dtype"]), tuple(entry["shape"]), entry["data"]
                )
                for name, entry in safetensors.deserialize(file.read())
            }
        except Exception as error:  # the parser's own, and whatever a hostile header leads to
            raise DataError(f"{path}: not safetensors, or damaged ({reason_of(error)})") from error


def _number_type(safetensors_name: str) -> np.dtype:
    """Return the number type: 'F32' -> float32, 'BF16' -> its bits."""
    if safetensors_name == "BF16":
        return _BFLOAT16_BITS
    match = re.fullmatch(r"([FIU])(8|16|32|64)", safetensors_name.replace("BOOL", "U8"))
    if not match or match[0] == "F8":
        raise RefusalError(f"it holds numbers of the type {safetensors_name}")
    return np.dtype(f"{match[1].lower()}{int(match[2]) // 8}")
