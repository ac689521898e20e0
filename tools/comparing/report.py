"""The measurements of all methods as tables, which the pages show."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comparing.errors import KINDS

UNKNOWN = "n/a"

Comparison = Mapping[str, Any]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        title: its heading.
        note: explains the table.
        header: the columns' titles.
        rows: texts, the first of each row being its name.
        best: for each row the columns with the best value, to be highlighted.
        bars: for each row a number in -1..1 to be drawn as a bar; empty for no bars.
    """

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: Sequence[Sequence[int]] = ()
    bars: Sequence[float] = ()


@dataclass(frozen=True)
class _Measure:
    """One row.

    Attributes:
        name: of the row.
        value: reads it from a method's results.
        text: formats it.
        sign: 1 if more is better, -1 if less, 0 if neither.
    """

    name: str
    value: Callable[[Row], float | None]
    text: Callable[[float], str]
    sign: int = 1


def tables(comparison: Comparison) -> list[Table]:
    """All tables, in reading order."""
    return [
        quality_table(comparison),
        cost_table(comparison),
        mistake_table(comparison, "Things"),
        mistake_table(comparison, "Stuff"),
        class_table(comparison),
    ]


def summary(comparison: Comparison) -> str:
    """Describe data, device and training in a sentence or two."""
    data, machine = comparison["data"], comparison["machine"]
    device = "a GPU" if comparison["device"] == "gpu" else "a CPU"
    trained = comparison["train_seconds"]
    how = (
        f"Each was trained from its configuration for {trained} seconds of steps. "
        if trained
        else ""
    )
    folder = f" in {data['folder']}" if data["folder"] else ""
    return (
        f"{len(comparison['methods'])} methods on the {data['images']} validation images"
        f"{folder} (classes of {data['name']}), measured one after the other on {device} "
        f"({machine['processor']}, threads: {machine['threads']}) on {comparison['made']}. {how}"
    ).strip()


def caveats(comparison: Comparison) -> list[str]:
    """List what the comparison shows and what it does not."""
    items = [
        "It shows how these configurations perform with these weights on these images on this "
        "machine. Every method got the same images, was scored by the same code and ran on the "
        "same device.",
        "It does not show which family of methods is better. Size of the network, recipe, "
        "pretraining and random draws (one seed) differ as well; a few points of PQ on "
        f"{comparison['data']['images']} images can be chance.",
        "Times are medians of single images; memory is what network and fusion of one of the "
        "first images needed beyond the loaded weights; multiply-adds (two floating-point "
        "operations each) are the mean over the first images, since a two-stage network does more "
        "where it finds more.",
    ]
    if comparison["train_seconds"]:
        items.append(
            "Equal training time is not equal training. A short trial measured how long a step "
            "takes; the iterations that fit the time were chosen, and the learning rate's schedule "
            "(warm-up, decay, milestones) was brought to that length, its rate to the effective "
            "batch size. The table Cost says how long the steps actually took. A method whose "
            "steps are slower sees fewer images, and more time might reverse the order."
        )
    return items


def quality_table(comparison: Comparison) -> Table:
    """PQ, SQ, RQ, AP, mIoU."""
    measures = [
        _Measure(_measure_name(key, group), _score(group, key), _percent)
        for group in ("All", "Things", "Stuff")
        for key in ("pq", "sq", "rq")
    ]
    names = {"ap": "AP (things)", "ap50": "AP at IoU 0.5", "miou": "mean IoU"}
    measures += [_Measure(name, _top_score(key), _percent) for key, name in names.items()]
    note = "In percent; more is better. The best value of each row is highlighted."
    return _table("Quality", note, comparison, measures)


def cost_table(comparison: Comparison) -> Table:
    """Parameters, computation, time, memory and training of each method."""
    measures = [
        _Measure("parameters (M)", lambda m: m["parameters"] / 1e6, _decimal(2), -1),
        _Measure(
            "multiply-adds of an image (G)", lambda m: m["multiply_adds"] / 1e9, _decimal(2), -1
        ),
        _Measure("network, an image (ms)", _milliseconds("network"), _decimal(1), -1),
        _Measure("fusion, an image (ms)", _milliseconds("fusion"), _decimal(1), -1),
        _Measure("memory, an image (MB)", lambda m: m["peak_mb"], _decimal(0), -1),
        _Measure("training (minutes)", _training("seconds", 60), _decimal(1), 0),
        _Measure("training steps", _training("steps"), _decimal(0), 0),
        _Measure("images seen in training", _training("images"), _decimal(0), 0),
        _Measure("training processes", _training("processes"), _decimal(0), 0),
    ]
    sizes = " and ".join(
        dict.fromkeys("{1} x {0}".format(*m["input_size"]) for m in comparison["methods"])
    )
    note = f"Less is better. The networks see images of {sizes} (the first image)."
    return _table("Cost", note, comparison, measures)


def mistake_table(comparison: Comparison, group: str) -> Table:
    """Count the segments with each kind of mistake."""
    entry = comparison["methods"][0]["errors"][group]
    text = _with_percentage(entry["annotated"])
    measures = [_Measure("found", _found(group), text)]
    for kind in KINDS:
        if kind in entry:
            sign = -1 if kind == "false" else 0
            measures.append(_Measure(kind, _mistakes(group, kind), text, sign))
    note = (
        f"Of {entry['annotated']} annotated segments. Each one that is not found is counted once, "
        "under the first kind that applies; 'false' counts predicted segments."
    )
    return _table(f"Mistakes: {group.lower()}", note, comparison, measures)


def class_table(comparison: Comparison) -> Table:
    """PQ of each class; of two methods also the difference, the largest first."""
    methods, rows = comparison["methods"], []
    for category in comparison["data"]["classes"]:
        name = category["name"]
        values = [_number(m["scores"]["per_class"][name].get("pq")) for m in methods]
        annotated = methods[0]["errors"]["per_class"][name]["annotated"]
        kind = "thing" if category["is_thing"] else "stuff"
        difference = values[0] - values[1] if len(values) == 2 else math.nan
        rows.append((name, kind, annotated, values, difference))
    rows.sort(key=lambda row: (math.isnan(row[4]), -row[4]))
    header = ["class", "", "segments", *(method["name"] for method in methods)]
    lines = [
        [name, kind, str(annotated), *(_shown(value, _percent) for value in values)]
        for name, kind, annotated, values, _ in rows
    ]
    note = "PQ in percent."
    bars: list[float] = []
    if len(methods) == 2:
        header.append("difference")
        for line, row in zip(lines, rows, strict=True):
            line.append(_shown(row[4], lambda value: f"{100 * value:+.1f}"))
        bars = [0.0 if math.isnan(row[4]) else row[4] for row in rows]
        note += f" The difference is {methods[0]['name']} minus {methods[1]['name']}."
    best = [[3 + place for place in _best(row[3], 1, _percent)] for row in rows]
    return Table("PQ by class", note, header, lines, best, bars)


def _table(title: str, note: str, comparison: Comparison, measures: Sequence[_Measure]) -> Table:
    methods = comparison["methods"]
    values = [[_number(measure.value(method)) for method in methods] for measure in measures]
    rows = [
        [measure.name, *(_shown(value, measure.text) for value in row)]
        for measure, row in zip(measures, values, strict=True)
    ]
    best = [
        [1 + place for place in _best(row, measure.sign, measure.text)]
        for measure, row in zip(measures, values, strict=True)
    ]
    return Table(title, note, ["", *(method["name"] for method in methods)], rows, best)


def _best(values: Sequence[float], sign: int, text: Callable[[float], str]) -> list[int]:
    """Columns with the best value as shown; none if all look equal or sign is 0."""
    known = [value for value in values if not math.isnan(value)]
    if not sign or len({text(value) for value in known}) < 2:
        return []
    best = text(max(known, key=lambda value: sign * value))
    return [place for place, value in enumerate(values) if _shown(value, text) == best]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _shown(value: float, text: Callable[[float], str]) -> str:
    return UNKNOWN if math.isnan(value) else text(value)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _decimal(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:,.{digits}f}"


def _with_percentage(whole: int) -> Callable[[float], str]:
    return lambda value: f"{value:.0f}" + (f" ({100 * value / whole:.0f}%)" if whole else "")


def _measure_name(key: str, group: str) -> str:
    return key.upper() + ("" if group == "All" else f" of {group.lower()}")


def _score(group: str, key: str) -> Callable[[Row], float | None]:
    return lambda method: method["scores"][group][key]


def _top_score(key: str) -> Callable[[Row], float | None]:
    return lambda method: method["scores"][key]


def _milliseconds(part: str) -> Callable[[Row], float | None]:
    def value(method: Row) -> float:
        return 1000 * _number(method["seconds"][part])

    return value


def _training(key: str, unit: float = 1) -> Callable[[Row], float | None]:
    def value(method: Row) -> float:
        return _number((method["training"] or {}).get(key)) / unit

    return value


def _found(group: str) -> Callable[[Row], float | None]:
    def value(method: Row) -> float:
        counts = method["errors"][group]
        return counts["annotated"] - sum(counts[k] for k in KINDS if k in counts and k != "false")

    return value


def _mistakes(group: str, kind: str) -> Callable[[Row], float | None]:
    return lambda method: method["errors"][group][kind]
