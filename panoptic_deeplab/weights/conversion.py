"""From the entries of a published file to a state dict of this project's network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights.kinds import ZIP_START, head_of, is_old_torch
from panoptic_deeplab.weights.loading import listed
from panoptic_deeplab.weights.origins import ORIGINS, Origin, origin_of
from panoptic_deeplab.weights.reading import read_weights
from panoptic_deeplab.weights.torch_file import (
    StoredTensor,
    TorchFile,
    open_torch_file,
)
from panoptic_deeplab.weights.wrapping import unwrapped

if TYPE_CHECKING:
    from paddle import nn


@dataclass(frozen=True)
class Entry:
    """One array of a file, read on demand.

    Attributes:
        shape: of the array.
        kind: name of its number type.
        is_real: whether they are floating-point numbers.
        read: returns the array.
    """

    shape: tuple[int, ...]
    kind: str
    is_real: bool
    read: Callable[[], np.ndarray]


@dataclass
class Report:
    """What was done with each entry of a file, by the names in the file and here."""

    mapped: dict[str, str] = field(default_factory=dict)
    transposed: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    negative: dict[str, int] = field(default_factory=dict)
    widened: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield the report as lines for the user."""
        yield f"mapped: {len(self.mapped)} entries"
        yield f"transposed: {len(self.transposed)} weights of linear layers"
        changed = f"{sum(self.negative.values())} negative numbers in {len(self.negative)} of them"
        yield f"made: {len(self.made)} scales of batch norms are |weight| + eps now; {changed}"
        if self.widened:
            yield f"widened: {len(self.widened)} entries of half precision are float32 now"
        for reason in dict.fromkeys(self.dropped.values()):
            names = [name for name, why in self.dropped.items() if why == reason]
            yield f"dropped: {listed(names)}: {reason}"


@contextmanager
def published_entries(path: Path) -> Iterator[tuple[dict[str, Entry], dict[str, str]]]:
    """Open a `.pth` or `.pdparams` file: its entries, and other content -> why it is dropped.

    Raises:
        DataError: the file is missing, damaged, or of another form.
    """
    head = head_of(path)
    if not head.startswith(ZIP_START) and not is_old_torch(head):
        yield {name: _in_memory(array) for name, array in read_weights(path).items()}, {}
        return
    with open_torch_file(path) as file:
        state, others = _state_dict(path, file.content)
        yield {name: _in_file(file, tensor) for name, tensor in state.items()}, others


def convert(
    entries: Mapping[str, Entry], model: nn.Layer, path: Path
) -> tuple[dict[str, np.ndarray], Origin, Report]:
    """Convert the entries to the state dict of the part of `model` that they belong to.

    Scales of batch norms become |weight| + eps, as the in-place batch norm of the authors' network
    computes them.

    Raises:
        DataError: the origin is unknown, or an entry is unknown, missing, of another shape or type,
            or has a value that is not finite.
    """
    origin = origin_of(list(entries))
    if origin is None:
        known = " or ".join(o.name for o in ORIGINS)
        raise DataError(
            f"{path}: expected weights of {known}, got entries such as {listed(list(entries))}"
        )
    part = getattr(model, origin.part) if origin.part else model
    names = list(part.state_dict())
    linear = _linear_weights(part) if origin.linear_is_transposed else set()
    source_of = origin.names_of(names)
    report = Report()
    _check_names(entries, source_of, origin, report, path)
    _check_entries(entries, _expected_shapes(part, source_of, linear), path)
    epsilons = _epsilons(part)
    weights = {}
    for name, source in source_of.items():
        array = _finite(entries[source], source, path)
        report.mapped[source] = name
        if entries[source].kind != "float32":
            report.widened[source] = entries[source].kind
        if name in linear:
            array = np.ascontiguousarray(array.T)
            report.transposed.append(name)
        if name in epsilons:
            array = _in_place_scale(array, name, epsilons[name], report)
        weights[name] = array
    return weights, origin, report


def _in_place_scale(scale: np.ndarray, name: str, epsilon: float, report: Report) -> np.ndarray:
    """Return the factor that an in-place batch norm computes from its weight."""
    report.made[name] = f"|weight| + {epsilon:g}"
    negative = int((scale < 0).sum())
    if negative:
        report.negative[name] = negative
    return np.abs(scale) + np.float32(epsilon)


def _in_memory(array: np.ndarray) -> Entry:
    return Entry(array.shape, str(array.dtype), array.dtype.kind == "f", lambda: array)


_TORCH_KINDS = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
}


def _in_file(file: TorchFile, tensor: StoredTensor) -> Entry:
    kind = _TORCH_KINDS[tensor.numbers.name]
    return Entry(tensor.shape, kind, "float" in kind, lambda: file.array(tensor))


def _state_dict(path: Path, content: Any) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the named tensors, saved alone or beside a training's state, and the other names."""
    state, beside = unwrapped(content) if isinstance(content, dict) else (content, [])
    if not isinstance(state, dict) or not state:
        raise DataError(f"{path}: expected named weights, got {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, StoredTensor):
            raise DataError(
                f"{path}: expected named tensors, got {type(value).__name__} for {name!r:.100}"
            )
    return state, dict.fromkeys(beside, "the state of a training, no weight")


def _check_names(
    entries: Mapping[str, Entry],
    source_of: Mapping[str, str],
    origin: Origin,
    report: Report,
    path: Path,
) -> None:
    """Refuse missing and unknown entries; report the dropped ones."""
    sources = set(source_of.values())
    others = {name: origin.reason_to_drop(name) for name in entries if name not in sources}
    unknown = [name for name, reason in others.items() if reason is None]
    missing = [name for name in source_of.values() if name not in entries]
    if unknown or missing:
        kinds = {"missing": missing, "unknown": unknown}
        found = "; ".join(f"{len(n)} {kind} ({listed(n)})" for kind, n in kinds.items() if n)
        raise DataError(
            f"{path}: these weights of {origin.name} are not of the network that --config "
            f"describes: {found}; choose the configuration of the released network"
        )
    report.dropped |= {name: reason for name, reason in others.items() if reason}


def _check_entries(
    entries: Mapping[str, Entry], shapes: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Refuse entries of another shape or type before anything is read."""
    misshapen = [
        f"{name} {list(entries[name].shape)} instead of {list(shape)}"
        for name, shape in shapes.items()
        if entries[name].shape != shape
    ]
    if misshapen:
        raise DataError(f"{path}: {len(misshapen)} of another shape ({listed(misshapen)})")
    not_real = [f"{name} {entries[name].kind}" for name in shapes if not entries[name].is_real]
    if not_real:
        raise DataError(f"{path}: expected floating-point weights, got {listed(not_real)}")


def _finite(entry: Entry, name: str, path: Path) -> np.ndarray:
    array = entry.read().astype(np.float32)
    if not np.isfinite(array).all():
        raise DataError(f"{path}: {name} holds a value that is no finite number; it is damaged")
    return array


def _expected_shapes(
    part: nn.Layer, source_of: Mapping[str, str], linear: set[str]
) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the entries must have, by their names in the file."""
    return {
        source_of[name]: tuple(value.shape)[:: -1 if name in linear else 1]
        for name, value in part.state_dict().items()
    }


def _linear_weights(part: nn.Layer) -> set[str]:
    from paddle import nn

    return {
        f"{path}.weight" for path, layer in part.named_sublayers() if isinstance(layer, nn.Linear)
    }


def _epsilons(part: nn.Layer) -> dict[str, float]:
    """Return name of the scale -> eps of each batch norm."""
    from paddle import nn

    return {
        f"{path}.weight": layer._epsilon
        for path, layer in part.named_sublayers()
        if isinstance(layer, nn.layer.norm._BatchNormBase)
    }
