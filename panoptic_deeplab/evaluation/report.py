"""Results of several evaluators as one dictionary and as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.text_table import align

COLUMNS = {"pq": "PQ", "sq": "SQ", "rq": "RQ", "iou": "IoU", "ap": "AP", "ap50": "AP50"}
GROUPS = ("All", "Things", "Stuff")
NOT_MEASURED, UNKNOWN = "-", "n/a"


def merge_results(results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the results of the evaluators into one dictionary.

    Keys stay as the evaluators name them; the entries of `per_class` are joined by class name,
    where a bare number is the class's `iou`.
    """
    merged: dict[str, Any] = {}
    per_class: dict[str, dict[str, Any]] = {}
    for result in results:
        merged.update(result)
        for name, entry in result.get("per_class", {}).items():
            values = entry if isinstance(entry, Mapping) else {"iou": entry}
            per_class.setdefault(name, {}).update(values)
    return merged | {"per_class": per_class}


def format_table(results: Mapping[str, Any], info: DatasetInfo) -> str:
    """Format merged results as a plain-text table, in percent.

    `n/a` marks undefined values (the class never occurred), `-` values that do not apply or were
    not measured; measures that no evaluator computed have no column.

    Args:
        results: what `merge_results` returns.
        info: the classes, in the order of the rows.
    """
    overall = {"iou": results.get("miou"), "ap": results.get("ap"), "ap50": results.get("ap50")}
    head = {group: dict(results[group]) for group in GROUPS if group in results}
    head["All"] = head.get("All", {}) | {key: v for key, v in overall.items() if v is not None}
    per_class = results.get("per_class", {})
    body = {category.name: per_class.get(category.name, {}) for category in info.categories}

    given = {key for row in (*head.values(), *body.values()) for key in row}
    columns = [key for key in COLUMNS if key in given]
    rows = [[f"{info.name}, %", *(COLUMNS[key] for key in columns)]]
    rows += [
        [name, *(_percent(row.get(key)) for key in columns)]
        for name, row in (*head.items(), *body.items())
    ]
    return align(rows, rules=(1, 1 + len(head)))


def _percent(value: float | None) -> str:
    if value is None:
        return NOT_MEASURED
    return UNKNOWN if math.isnan(value) else f"{100 * value:.2f}"
