"""Results of several evaluators as one dictionary and as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.text_table import align

COLUMNS = {"pq": "PQ", "sq": "SQ", "rq": "RQ", "iou": "IoU", "ap": "AP", "ap50": "AP50"}
GROUPS = ("All", "Things", "Stuff")
SEQUENCE_COLUMNS = {"stq": "STQ", "aq": "AQ", "iou": "IoU", "vpq": "VPQ"}
SEQUENCE_COUNTS = {"frames": "frames", "tubes": "tubes", "predicted_tubes": "predicted"}
NOT_MEASURED, UNKNOWN = "-", "n/a"


def merge_results(results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the results of the evaluators into one dictionary.

    Keys stay as the evaluators name them; the entries of `per_class` are joined by class name,
    where a bare number is the class's `iou`, and those of `per_sequence` by the sequence's name.
    """
    merged: dict[str, Any] = {}
    per_sequence: dict[str, dict[str, Any]] = {}
    per_class: dict[str, dict[str, Any]] = {}
    for result in results:
        merged.update(result)
        for name, entry in result.get("per_class", {}).items():
            values = entry if isinstance(entry, Mapping) else {"iou": entry}
            per_class.setdefault(name, {}).update(values)
        for name, values in result.get("per_sequence", {}).items():
            per_sequence.setdefault(name, {}).update(values)
    if per_sequence:
        merged["per_sequence"] = per_sequence
    return merged | {"per_class": per_class}


def format_table(results: Mapping[str, Any], info: DatasetInfo) -> str:
    """Format merged results as a plain-text table, in percent.

    `n/a` marks undefined values (the class never occurred), `-` values that do not apply or were
    not measured; measures that no evaluator computed have no column, and without any there is no
    table.

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
    if not columns:
        return ""
    rows = [[f"{info.name}, %", *(COLUMNS[key] for key in columns)]]
    rows += [
        [name, *(_percent(row.get(key)) for key in columns)]
        for name, row in (*head.items(), *body.items())
    ]
    return align(rows, rules=(1, 1 + len(head)))


def format_sequences(results: Mapping[str, Any]) -> str:
    """Format STQ and VPQ in percent as two plain-text tables, by sequence and by class.

    Args:
        results: what STQ's or VPQ's `compute` returns, or `merge_results` of both and of others.

    Returns:
        '' where no sequence was scored.
    """
    per_sequence = results.get("per_sequence", {})
    if not per_sequence:
        return ""
    return f"{_table_of_sequences(results, per_sequence)}\n\n{_table_of_classes(results)}"


def _table_of_sequences(results: Mapping[str, Any], per_sequence: Mapping[str, Any]) -> str:
    by_window = results.get("vpq_by_window", {})
    total = dict(results) | {f"vpq_{k}": scores["all"]["vpq"] for k, scores in by_window.items()}
    total["frames"] = sum(values["frames"] for values in per_sequence.values())
    titles = SEQUENCE_COLUMNS | {f"vpq_{k}": f"VPQ{k}" for k in by_window}
    columns = [key for key in titles if key in total]
    counts = [key for key in SEQUENCE_COUNTS if key in total]
    rows = [["sequence, %", *(titles[k] for k in columns), *(SEQUENCE_COUNTS[k] for k in counts)]]
    rows += [
        [name, *(_percent(row.get(k)) for k in columns), *(str(row.get(k)) for k in counts)]
        for name, row in {"All": total, **per_sequence}.items()
    ]
    return align(rows, rules=(1, 2))


def _table_of_classes(results: Mapping[str, Any]) -> str:
    """IoU as STQ takes it and VPQ of each window size, of the classes that occurred."""
    columns = {"IoU": results["iou_per_class"]} if "iou_per_class" in results else {}
    for size, scores in results.get("vpq_by_window", {}).items():
        of_groups = {group: scores[group.lower()]["vpq"] for group in GROUPS}
        of_classes = {name: entry["vpq"] for name, entry in scores["per_class"].items()}
        columns[f"VPQ{size}"] = of_groups | of_classes
    names = dict.fromkeys([*GROUPS, *(name for values in columns.values() for name in values)])
    rows = [[name, *(values.get(name) for values in columns.values())] for name in names]
    occurred = [row for row in rows if not all(v is None or math.isnan(v) for v in row[1:])]
    body = [[name, *map(_percent, values)] for name, *values in occurred]
    return align([["class, %", *columns], *body])


def _percent(value: float | None) -> str:
    if value is None:
        return NOT_MEASURED
    return UNKNOWN if math.isnan(value) else f"{100 * value:.2f}"
