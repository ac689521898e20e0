"""From the entries of a published file to a state dict of this project's network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights.class_order import NO_CLASSES, class_order
from panoptic_deeplab.weights.kinds import ZIP_START, head_of, is_old_torch
from panoptic_deeplab.weights.loading import listed
from panoptic_deeplab.weights.origins import ORIGINS, Origin, origin_of
from panoptic_deeplab.weights.reading import read_weights_and_others
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


@dataclass(frozen=True)
class Published:
    """The content of a file.

    Attributes:
        entries: name -> weight.
        others: what else it holds -> why that is dropped.
        class_names: of its classes, in the order of its heads; None where it does not tell.
        author: whom it names as the author of the weights, '' where it does not tell.
    """

    entries: Mapping[str, Entry]
    others: Mapping[str, str] = field(default_factory=dict)
    class_names: Sequence[str] | None = None
    author: str = ""


@dataclass
class Report:
    """What was done with each entry of a file, by the names in the file and here."""

    mapped: dict[str, str] = field(default_factory=dict)
    transposed: list[str] = field(default_factory=list)
    arranged: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    negative: dict[str, int] = field(default_factory=dict)
    widened: dict[str, str] = field(default_factory=dict)
    filled: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield the report as lines for the user."""
        yield f"mapped: {len(self.mapped)} entries"
        yield f"transposed: {len(self.transposed)} weights of linear layers"
        if self.arranged:
            yield f"arranged: the classes or colors of {listed(self.arranged)} are in this order"
        if self.made:
            count = sum(self.negative.values())
            yield (
                f"made: {len(self.made)} scales of batch norms are |weight| + eps now; {count} "
                f"negative numbers in {len(self.negative)} of them"
            )
        if self.widened:
            yield f"widened: {len(self.widened)} entries of half precision are float32 now"
        if self.filled:
            names = listed([f"{name} = {value:g}" for name, value in self.filled.items()])
            yield f"filled: what the file does not hold: {names}"
        for reason in dict.fromkeys(self.dropped.values()):
            names = [name for name, why in self.dropped.items() if why == reason]
            yield f"dropped: {listed(names)}: {reason}"


@contextmanager
def published_content(path: Path) -> Iterator[Published]:
    """Open a `.pth`, `.pkl` or `.pdparams` file.

    Raises:
        DataError: the file is missing, damaged, or of another form.
    """
    head = head_of(path)
    if head.startswith(ZIP_START) or is_old_torch(head):
        with open_torch_file(path) as file:
            yield _in_torch_file(path, file)
    else:
        arrays, others = read_weights_and_others(path)
        entries = {name: _in_memory(array) for name, array in arrays.items()}
        author = others.get("__author__")
        yield Published(
            entries,
            dict.fromkeys(others, "about the file, no weight"),
            author=author if isinstance(author, str) else "",
        )


def convert(
    published: Published, config: Any, path: Path
) -> tuple[dict[str, np.ndarray], Origin, Report]:
    """Convert the entries to the state dict of the part of the network that they belong to.

    Scales of in-place batch norms become |weight| + eps, which is what those compute with.

    Args:
        published: the content of the file.
        config: has the network (`model`) and its classes (`info`).
        path: the file, for errors.

    Raises:
        DataError: the origin is unknown, or an entry is unknown, missing, of another shape or type,
            or has a value that is not finite, or the classes are others.
    """
    entries = published.entries
    origin = origin_of(list(entries), published.author)
    if origin is None:
        known = " or ".join(o.name for o in ORIGINS)
        raise DataError(
            f"{path}: expected weights of {known}, got entries such as {listed(list(entries))}"
        )
    part = getattr(config.model, origin.part) if origin.part else config.model
    names = list(part.state_dict())
    linear = _linear_weights(part) if origin.linear_is_transposed else set()
    source_of = origin.names_of(names)
    report = Report()
    shapes = _expected_shapes(part, source_of, linear)
    entries = _filled(entries, shapes, origin, report)
    _check_names(entries, source_of, origin, report, path)
    _check_entries(entries, shapes, path)
    epsilons = _epsilons(part) if origin.has_in_place_norms else {}
    order = NO_CLASSES if origin.part else class_order(config.info, published.class_names, path)
    weights = {}
    for name, source in source_of.items():
        array = _finite(entries[source], source, path)
        if source not in report.filled:
            report.mapped[source] = name
        if entries[source].kind != "float32":
            report.widened[source] = entries[source].kind
        arranged = origin.arrange(order, name, array)
        if not np.array_equal(arranged, array):
            report.arranged.append(name)
        if name in linear:
            arranged = arranged.T
            report.transposed.append(name)
        if name in epsilons:
            arranged = _in_place_scale(arranged, name, epsilons[name], report)
        weights[name] = np.ascontiguousarray(arranged)
    return weights, origin, report


def _filled(
    entries: Mapping[str, Entry],
    shapes: Mapping[str, tuple[int, ...]],
    origin: Origin,
    report: Report,
) -> Mapping[str, Entry]:
    """Add what files of this origin may leave out."""
    missing = {name: origin.value_if_absent(name) for name in shapes if name not in entries}
    report.filled = {name: value for name, value in missing.items() if value is not None}
    return {
        **entries,
        **{
            name: _in_memory(np.full(shapes[name], value, np.float32))
            for name, value in report.filled.items()
        },
    }


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


def _in_torch_file(path: Path, file: TorchFile) -> Published:
    """The named tensors, saved alone or beside a training's state, and the rest."""
    content = file.content
    state, beside = unwrapped(content) if isinstance(content, dict) else (content, [])
    if not isinstance(state, dict) or not state:
        raise DataError(f"{path}: expected named weights, got {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, StoredTensor):
            raise DataError(
                f"{path}: expected named tensors, got {type(value).__name__} for {name!r:.100}"
            )
    return Published(
        {name: _in_file(file, value) for name, value in state.items()},
        dict.fromkeys(beside, "the state of a training, no weight"),
        _class_names(content.get("meta")),
    )


def _class_names(meta: Any) -> list[str] | None:
    """The names of the classes that mmdetection writes beside weights."""
    if not isinstance(meta, dict):
        return None
    data_set = meta.get("dataset_meta")  # from version 3 on
    names = meta.get("CLASSES") or (data_set.get("classes") if isinstance(data_set, dict) else None)
    is_list = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    return list(names) if is_list else None


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
