"""Weights in files, and putting them where they fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import paddle
import safetensors
import safetensors.numpy
from paddle import nn

from panoptic_deeplab.errors import DataError, reason_of
from panoptic_deeplab.files import open_file
from panoptic_deeplab.weights.plain_pickle import (
    RefusalError,
    array_of_bytes,
    read_pickle,
)

NOTE_ENDING = "@@"
"""Of names that stand for no weight: the table paddle.save adds, a license."""
_BFLOAT16_BITS = np.dtype(np.uint16)  # as Paddle writes them; it has no uint16 of its own


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Name -> array of a `.pdparams` or `.safetensors` file, or of the model file in a folder.

    bfloat16 weights come as float32, which holds all their values.

    Raises:
        DataError: the file is missing, damaged, or holds something else than named arrays.
    """
    path = _model_file(Path(path))
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_pickle(path)
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: expected named weights, got {type(content).__name__}")
    weights = {n: value for n, value in content.items() if not str(n).endswith(NOTE_ENDING)}
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise DataError(
                f"{path}: expected named arrays of numbers, got {type(value).__name__} for "
                f"{name!r:.100}"
            )
    if not weights:
        raise DataError(f"{path}: holds no weights")
    return {name: _widened(value) for name, value in weights.items()}


class Misfit(NamedTuple):
    """A weight whose shape in a file is not the network's."""

    name: str
    there: tuple[int, ...]
    here: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {list(self.there)} -> {list(self.here)}"


@dataclass(frozen=True)
class LoadReport:
    """What of a file went into a network.

    Attributes:
        loaded: names of the weights that were put in place.
        missing: names that the file lacks.
        extra: names that the network lacks, where they are not expected.
        misshapen: weights of another shape, each the file's shape and the network's.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    misshapen: tuple[Misfit, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether file and network hold the same."""
        return not (self.missing or self.extra or self.misshapen)

    def differences(self, limit: int | None = None) -> str:
        """'2 missing (a, b); ...', with at most so many names of each kind."""
        kinds = {
            "missing": self.missing,
            "not of this network": self.extra,
            "of another shape": tuple(map(str, self.misshapen)),
        }
        return "; ".join(
            f"{len(names)} {kind} ({', '.join(names[:limit])}{', ...' * (names[:limit] != names)})"
            for kind, names in kinds.items()
            if names
        )

    def class_count(self, num_classes: int) -> int | None:
        """How many classes the file's network has, where that alone sets it apart from ours.

        All that does not fit then has `num_classes` along one axis here and another number, the
        same for all, along that axis there.
        """
        axes = [
            [(a, b) for a, b in zip(m.there, m.here, strict=True) if a != b]
            if len(m.there) == len(m.here)
            else []
            for m in self.misshapen
        ]
        pairs = {pair for differing in axes for pair in differing}
        alone = not (self.missing or self.extra) and all(len(axis) == 1 for axis in axes)
        if not alone or len(pairs) != 1:
            return None
        there, here = pairs.pop()
        return there if here == num_classes else None

    def __str__(self) -> str:
        loaded = f"{len(self.loaded)} weights loaded"
        return loaded if self.complete else f"{loaded}; {self.differences()}"


def load_weights(
    layer: nn.Layer,
    path: str | Path,
    *,
    partial: bool = False,
    extra_allowed: bool = False,
    num_classes: int | None = None,
    hint: str = "",
) -> LoadReport:
    """Puts the weights of a file into `layer`: all, or none where they do not fit.

    Args:
        layer: a model, or a part of one.
        path: a `.pdparams` or `.safetensors` file, or the folder of one.
        partial: put in what fits and leave the rest of `layer` as it is.
        extra_allowed: whether the file may hold more (a classifier on a backbone).
        num_classes: of the data set here, to tell where only the number of classes differs.
        hint: what the user can do about weights of another network, for the message.

    Raises:
        DataError: entries are missing, too many or of another shape (the message lists them); with
            `partial`, none fits at all.
    """
    weights = read_weights(path)
    report = _compare(weights, layer.state_dict(), extra_allowed)
    if not report.loaded or not (report.complete or partial):
        end = f"; {hint}" if hint else ""
        raise DataError(f"{path}: {_why_not(report, num_classes)}{end}")
    set_weights(layer, {name: weights[name] for name in report.loaded})
    return report


def _why_not(report: LoadReport, num_classes: int | None) -> str:
    there = report.class_count(num_classes) if num_classes is not None and report.loaded else None
    if there is not None:
        return (
            f"these weights are for {there} classes, the data set here has {num_classes}: "
            f"{report.differences(3)}"
        )
    none = "" if report.loaded else ", no weight fits"
    return f"these weights are of another network{none}: {report.differences(3)}"


def set_weights(layer: nn.Layer, weights: Mapping[str, np.ndarray]) -> None:
    """Copies arrays that fit into the layer's own tensors; tensors without an array stay."""
    state = layer.state_dict()
    for name, array in weights.items():
        kind = str(state[name].dtype).removeprefix("paddle.")
        array = array.astype({"bfloat16": "float32"}.get(kind, kind))  # numpy has no bfloat16
        state[name].set_value(paddle.to_tensor(array).astype(state[name].dtype))


def _model_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    candidates = [path / f"model{suffix}" for suffix in (".pdparams", ".safetensors")]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])


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
    """'F32' -> float32, 'BF16' -> its bits."""
    if safetensors_name == "BF16":
        return _BFLOAT16_BITS
    match = re.fullmatch(r"([FIU])(8|16|32|64)", safetensors_name.replace("BOOL", "U8"))
    if not match or match[0] == "F8":
        raise RefusalError(f"it holds numbers of the type {safetensors_name}")
    return np.dtype(f"{match[1].lower()}{int(match[2]) // 8}")


def _widened(array: np.ndarray) -> np.ndarray:
    """bfloat16, which numpy lacks, as float32: the same bits with 16 zeros behind."""
    if array.dtype != _BFLOAT16_BITS:
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)


def _compare(
    weights: Mapping[str, np.ndarray], state: Mapping[str, paddle.Tensor], extra_allowed: bool
) -> LoadReport:
    misshapen = {
        name: Misfit(name, tuple(weights[name].shape), tuple(value.shape))
        for name, value in state.items()
        if name in weights and tuple(weights[name].shape) != tuple(value.shape)
    }
    return LoadReport(
        loaded=tuple(name for name in state if name in weights and name not in misshapen),
        missing=tuple(name for name in state if name not in weights),
        extra=() if extra_allowed else tuple(name for name in weights if name not in state),
        misshapen=tuple(misshapen.values()),
    )
