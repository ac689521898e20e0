"""Scores and measurements of a training in OpenDR's form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_GROUPS = ("All", "Things", "Stuff")
_MEASURES = ("pq", "sq", "rq")


def opendr_scores(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return `All`, `Things`, `Stuff`: {pq, sq, rq, n} and `per_class`: {name: {pq, sq, rq}}.

    They are fractions. A class that never occurred has 0, as cityscapesscripts says; a group
    without any class has NaN, where that divides by zero.
    """
    per_class = {
        name: {key: 0.0 if math.isnan(values[key]) else values[key] for key in _MEASURES}
        for name, values in results["per_class"].items()
    }
    return {group: dict(results[group]) for group in _GROUPS} | {"per_class": per_class}


def training_history(folder: Path, steps_per_epoch: int, has_val: bool) -> dict[str, list[Any]]:
    """Read what a training measured: a row for each step under `train`, each evaluation under
    `val`, if there was a data set for it.

    Args:
        folder: of the run.
        steps_per_epoch: `iter` counts them within an epoch, as mmcv's log does.
        has_val: whether the run evaluated.
    """
    from panoptic_deeplab.engine.metrics import read_metrics

    history: dict[str, list[Any]] = {
        "train": [_train_row(row, steps_per_epoch) for row in read_metrics(folder, "train")]
    }
    if has_val:
        history["val"] = [_val_row(row, steps_per_epoch) for row in read_metrics(folder, "eval")]
    return history


def _train_row(row: Mapping[str, Any], steps_per_epoch: int) -> dict[str, Any]:
    return {
        **_position(row, steps_per_epoch),
        "lr": row["lr"],
        "time": row["batch_cost"],
        "data_time": row["reader_cost"],
        "grad_norm": row["gradient_norm"],
        **row["losses"],
        "loss": row["loss"],
    }


def _val_row(row: Mapping[str, Any], steps_per_epoch: int) -> dict[str, Any]:
    return {**_position(row, steps_per_epoch), **opendr_scores(_numbers(row["results"]))}


def _position(row: Mapping[str, Any], steps_per_epoch: int) -> dict[str, int]:
    epoch, place = divmod(row["iter"] - 1, steps_per_epoch)
    return {"epoch": epoch + 1, "iter": place + 1}


def _numbers(content: Any) -> Any:
    """Give NaN back where JSON has null."""
    if isinstance(content, Mapping):
        return {key: _numbers(value) for key, value in content.items()}
    return math.nan if content is None else content
