"""From the entries of a published file to a state dict of this project's network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.weights.class_order import NO_CLASSES, ClassOrder, class_order
from panoptic_deeplab.weights.kinds import ZIP_START, head_of, is_old_torch
from panoptic_deeplab.weights.loading import LoadReport, Misfit, listed
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


class Converted(NamedTuple):
    """Weights by the names here, whose they are, and what became of each entry.

    Attributes:
        weights: name -> array; of a whole state dict where `fit` is complete.
        origin: whose they are.
        report: what was done with each entry.
        fit: what fits the network, by the names in the file.
    """

    weights: dict[str, np.ndarray]
    origin: Origin
    report: Report
    fit: LoadReport


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
    published: Published, config: Any, path: Path, partial: bool = False, hint: str = ""
) -> Converted:
    """Convert the entries to the state dict of the part of the network that they belong to.

    Scales of in-place batch norms become |weight| + eps, which is what those compute with.

    Args:
        published: the content of the file.
        config: has the network (`model`) and its classes (`info`).
        path: the file, for errors.
        partial: convert what fits, as fine-tuning needs. Where the classes are others, their
            weights stay in the file's order.
        hint: what else the user can do about weights that do not fit, for the message.

    Raises:
        DataError: the origin is unknown; an entry is of another type or has a value that is not
            finite; or, if not `partial`, one is unknown, missing or of another shape, or the
            classes are others; with `partial`, none fits at all.
    """
    entries = published.entries
    origin = origin_of(list(entries), published.author)
    if origin is None:
        known = " or ".join(o.name for o in ORIGINS)
        raise DataError(
            f"{path}: expected weights of {known}, got entries such as {listed(list(entries))}"
        )
    part = getattr(config.model, origin.part) if origin.part else config.model
    linear = _linear_weights(part) if origin.linear_is_transposed else set()
    source_of = origin.names_of(list(part.state_dict()))
    report = Report()
    shapes = _expected_shapes(part, source_of, linear)
    entries = _filled(entries, shapes, origin, report)
    fit = _fit(entries, shapes, origin, report)
    if not fit.loaded or not (fit.complete or partial):
        raise DataError(
            f"{path}: these weights of {origin.name} are not of the network that --config "
            f"describes: {fit.differences(3)}; choose the configuration of the released network"
            f"{hint}"
        )
    _check_numbers({name: entries[name] for name in fit.loaded}, path)
    epsilons = _epsilons(part) if origin.has_in_place_norms else {}
    order = _class_order(origin, config.info, published.class_names, path, partial, hint)
    loaded = set(fit.loaded)
    weights = {}
    for name, source in {n: s for n, s in source_of.items() if s in loaded}.items():
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
    return Converted(weights, origin, report, fit)


def _class_order(
    origin: Origin,
    info: DatasetInfo,
    names: Sequence[str] | None,
    path: Path,
    partial: bool,
    hint: str,
) -> ClassOrder:
    if origin.part:
        return NO_CLASSES
    known = info.categories if origin.has_stuff else [info.categories[i] for i in info.thing_ids]
    if partial and set(names or ()) != {category.name for category in known}:
        names = None
    return class_order(info, names, path, hint, origin.has_stuff)


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


def _fit(
    entries: Mapping[str, Entry],
    shapes: Mapping[str, tuple[int, ...]],
    origin: Origin,
    report: Report,
) -> LoadReport:
    """Compare names and shapes before anything is read; report what is dropped on purpose."""
    others = {name: origin.reason_to_drop(name) for name in entries if name not in shapes}
    report.dropped |= {name: reason for name, reason in others.items() if reason}
    misshapen = {
        name: Misfit(name, entries[name].shape, shape)
        for name, shape in shapes.items()
        if name in entries and entries[name].shape != shape
    }
    return LoadReport(
        loaded=tuple(name for name in shapes if name in entries and name not in misshapen),
        missing=tuple(name for name in shapes if name not in entries),
        extra=tuple(name for name, reason in others.items() if reason is None),
        misshapen=tuple(misshapen.values()),
    )


def _check_numbers(entries: Mapping[str, Entry], path: Path) -> None:
    not_real = [f"{name} {entry.kind}" for name, entry in entries.items() if not entry.is_real]
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
