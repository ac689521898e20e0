"""Weights from files: read without running code from them, and put where they fit.

A `.pdparams` file is a pickle, and a pickle can call anything. Here only what ordinary checkpoints
hold can be built: dictionaries, numbers, texts and numpy arrays.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from panoptic_deeplab.errors import DataError

_ALLOWED_GLOBALS = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *(
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    ),
}
_NAME_TABLE = "StructuredToParameterName@@"  # what paddle.save adds beside the weights


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def read_pickle(path: str | Path) -> Any:
    """The plain content of a `.pdparams` or `.pdopt` file.

    Raises:
        DataError: it is missing, truncated, or holds anything but plain data and arrays.
    """
    try:
        with open(path, "rb") as file:
            return _ArrayUnpickler(file).load()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: expected a file such as model.pdparams, got a folder") from error
    except Exception as error:  # a broken pickle can raise anything
        raise DataError(
            f"{path}: not weights that Paddle saved, or damaged ({' '.join(str(error).split())})"
        ) from error


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Name -> array of a `.pdparams` file, or of `model.pdparams` in a folder.

    Raises:
        DataError: the file is missing, damaged, or holds something else than named arrays.
    """
    path = Path(path)
    path = path / "model.pdparams" if path.is_dir() else path
    content = read_pickle(path)
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: expected named weights, got {type(content).__name__}")
    weights = {name: value for name, value in content.items() if name != _NAME_TABLE}
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray) or value.dtype.hasobject:
            raise DataError(
                f"{path}: expected named arrays of numbers, got {type(value).__name__} for {name!r}"
            )
    if not weights:
        raise DataError(f"{path}: holds no weights")
    return weights


def load_weights(
    layer: nn.Layer, path: str | Path, *, extra_allowed: bool = False
) -> dict[str, np.ndarray]:
    """Puts all weights of a file into `layer` and returns them.

    Args:
        layer: a model, or a part of one.
        path: a `.pdparams` file or the folder of one.
        extra_allowed: whether the file may hold more (a classifier on a backbone).

    Raises:
        DataError: entries are missing, too many or of another shape; the message lists them.
    """
    weights, state = read_weights(path), layer.state_dict()
    missing = [name for name in state if name not in weights]
    extra = [name for name in weights if name not in state and not extra_allowed]
    misshapen = [
        f"{name} {list(weights[name].shape)} instead of {list(value.shape)}"
        for name, value in state.items()
        if name in weights and tuple(weights[name].shape) != tuple(value.shape)
    ]
    if missing or extra or misshapen:
        faults = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for what, names in (
                ("missing", missing),
                ("not of this network", extra),
                ("of another shape", misshapen),
            )
            if names
        ]
        raise DataError(f"{path}: these weights are of another network: {'; '.join(faults)}")
    set_weights(layer, {name: weights[name] for name in state})
    return weights


def set_weights(layer: nn.Layer, weights: Mapping[str, np.ndarray]) -> None:
    """Copies arrays that fit into the layer's own tensors."""
    for name, value in layer.state_dict().items():
        value.set_value(paddle.to_tensor(weights[name].astype(_numpy_type(value))))


def _numpy_type(tensor: paddle.Tensor) -> np.dtype:
    return np.dtype(str(tensor.dtype).removeprefix("paddle."))
