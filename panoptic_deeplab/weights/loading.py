"""Putting weights into a network where they fit, and a report of what does not."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights.reading import read_weights
from panoptic_deeplab.weights.zoo import local_or_published

if TYPE_CHECKING:
    import paddle
    from paddle import nn

_log = logging.getLogger(__name__)

PARTIAL_HINT = "to load what fits and train the rest anew: --allow_partial"


class Misfit(NamedTuple):
    """A weight with different shapes in the file and in the network."""

    name: str
    there: tuple[int, ...]
    here: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {list(self.there)} -> {list(self.here)}"


@dataclass(frozen=True)
class LoadReport:
    """What was loaded from a file into a network, and what was not.

    Attributes:
        loaded: names of the loaded weights.
        missing: names that the file lacks.
        extra: names that the network lacks, where they are not expected.
        misshapen: weights of another shape.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    misshapen: tuple[Misfit, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether file and network hold the same weights."""
        return not (self.missing or self.extra or self.misshapen)

    def differences(self, limit: int | None = None) -> str:
        """Return '2 missing (a, b); ...', with at most `limit` names of each kind."""
        kinds = {
            "missing": self.missing,
            "not of this network": self.extra,
            "of another shape": tuple(map(str, self.misshapen)),
        }
        return "; ".join(
            f"{len(names)} {kind} ({listed(names, limit)})"
            for kind, names in kinds.items()
            if names
        )

    def class_count(self, num_classes: int) -> int | None:
        """Return the file's number of classes if only that differs, else None.

        Then all misshapen weights have `num_classes` along one axis here and another number,
        the same for all, along that axis in the file.
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
    """Load the weights of a file into `layer`: all, or none where they do not fit.

    Args:
        layer: a model, or a part of one.
        path: a `.pdparams` or `.safetensors` file, or the folder of one.
        partial: load what fits and leave the rest of `layer` as it is.
        extra_allowed: whether the file may hold more (a classifier on a backbone).
        num_classes: of the data set, to report where only the number of classes differs.
        hint: what the user can do about weights of another network, for the message.

    Raises:
        DataError: entries are missing, too many or of another shape (the message lists them), or
            hold NaN or infinite numbers; with `partial`, none fits at all.
    """
    weights = read_weights(path)
    report = compare(weights, layer.state_dict(), extra_allowed)
    if not report.loaded or not (report.complete or partial):
        end = f"; {hint}" if hint else ""
        raise DataError(f"{path}: {_why_not(report, num_classes)}{end}")
    fitting = {name: weights[name] for name in report.loaded}
    refuse_not_finite(fitting, path)
    set_weights(layer, fitting)
    return report


def refuse_not_finite(weights: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Refuse weights of a training that diverged, or of a damaged file.

    Raises:
        DataError: a weight holds NaN or infinite numbers.
    """
    bad = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if bad:
        raise DataError(
            f"{path}: {len(bad)} of {len(weights)} weights hold NaN or infinite numbers "
            f"({listed(bad)}): the training diverged, or the file is damaged; take an earlier "
            "checkpoint"
        )


def _why_not(report: LoadReport, num_classes: int | None) -> str:
    there = report.class_count(num_classes) if num_classes is not None and report.loaded else None
    if there is not None:
        return (
            f"these weights are for {there} classes, the data set here has {num_classes}: "
            f"{report.differences(3)}"
        )
    none = "" if report.loaded else ", no weight fits"
    return f"these weights are of another network{none}: {report.differences(3)}"


def listed(names: Sequence[str], limit: int | None = 3) -> str:
    """Return the first `limit` names (None: all), and how many more there are.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    shown = ", ".join(str(name)[:100] for name in names[:limit])
    more = 0 if limit is None else len(names[limit:])
    return f"{shown} and {more} more" if more else shown


def set_weights(layer: nn.Layer, weights: Mapping[str, np.ndarray]) -> None:
    """Copy arrays of equal shape into the layer's tensors; tensors without an array stay."""
    import paddle

    state = layer.state_dict()
    for name, array in weights.items():
        kind = str(state[name].dtype).removeprefix("paddle.")
        array = array.astype({"bfloat16": "float32"}.get(kind, kind))  # numpy has no bfloat16
        state[name].set_value(paddle.to_tensor(array).astype(state[name].dtype))


def load_pretrained(
    model: nn.Layer,
    sources: Mapping[str, str],
    *,
    num_classes: int | None = None,
    partial: bool = False,
) -> None:
    """Load the pretrained weights of each part; other weights in a file are left out.

    Args:
        model: the network.
        sources: attribute of the model ('' for the whole) -> file, folder of a checkpoint, https
            URL or name of a published model.
        num_classes: of the data set, to report where only the number of classes differs.
        partial: load what fits and log what does not, as fine-tuning to other classes needs: a
            head of another shape keeps its fresh weights.

    Raises:
        DataError: a file is missing, cannot be fetched, or is of another network.
    """
    for name, source in sources.items():
        report = load_weights(
            getattr(model, name) if name else model,
            pretrained_file(name, source),
            partial=partial,
            extra_allowed=bool(name),
            num_classes=num_classes,
            hint="" if partial else PARTIAL_HINT,
        )
        tell_loaded(name, source, report)


def pretrained_key(name: str) -> str:
    """Return the key of the configuration that says where a part's weights lie."""
    return ".".join(filter(None, ("model", name, "pretrained")))


def pretrained_file(name: str, source: str) -> Path:
    """Return the file of weights to start from, or the folder of a checkpoint.

    Args:
        name: attribute of the model, '' for the whole.
        source: a file, a folder, an https URL or the name of a published model.

    Raises:
        DataError: it is missing, or cannot be fetched.
    """
    return local_or_published(source, f"or train without it: --opts {pretrained_key(name)}=null")


def tell_loaded(name: str, source: str, report: LoadReport, whose: str = "") -> None:
    """Log what was loaded into a part of a model, and what is to be trained anew."""
    end = f"; {whose}" if whose else ""
    _log.info("Loaded %s from %s: %s%s", pretrained_key(name), source, report, end)
    if report.misshapen:
        names = ", ".join(map(str, report.misshapen))
        _log.warning("Replaced, to be trained anew (file -> here): %s", names)


def compare(
    weights: Mapping[str, np.ndarray],
    state: Mapping[str, paddle.Tensor],
    extra_allowed: bool = False,
) -> LoadReport:
    """Report which weights of a file fit a network's state dict, as `load_weights` loads them."""
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
