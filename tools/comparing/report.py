"""The figures of all methods as tables, which the pages show."""

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
        note: what to know when reading it.
        header: the columns' titles.
        rows: of texts, the first being the row's name.
        best: for each row the places of the cells that are best, to be stressed.
        bars: for each row a number in -1..1 to be drawn as a bar, or none at all.
    """

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: Sequence[Sequence[int]] = ()
    bars: Sequence[float] = ()


@dataclass(frozen=True)
class _Figure:
    """One row: its name, where its value is, how it is told, and whether more is better."""

    name: str
    value: Callable[[Row], float | None]
    tell: Callable[[float], str]
    sign: int = 1


def tables(comparison: Comparison) -> list[Table]:
    """All of them, in reading order."""
    return [
        quality_table(comparison),
        cost_table(comparison),
        mistake_table(comparison, "Things"),
        mistake_table(comparison, "Stuff"),
        class_table(comparison),
    ]


def summary(comparison: Comparison) -> str:
    """One sentence: on what, with what, by what."""
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
    """What the comparison does tell, and what it does not."""
    items = [
        "It tells how these configurations do with these weights on these images on this machine. "
        "Every method got the same images, was scored by the same code and ran on the same device.",
        "It does not tell which family of methods is better. Size of the network, recipe, "
        "pretraining and luck of the draw (one seed) differ as well; a few points of PQ on "
        f"{comparison['data']['images']} images can be chance.",
        "Times are medians of single images; memory is what network and fusion of one of the "
        "first images needed beyond the loaded weights; multiply-adds (two floating-point "
        "operations each) are the mean over the first images, since a two-stage network does more "
        "where it finds more.",
    ]
    if comparison["train_seconds"]:
        items.append(
            "Equal training time is not equal training. A short trial told how long a step takes; "
            "the iterations that fit the time were chosen, and the learning rate's schedule "
            "(warm-up, decay, milestones) was brought to that length, its rate to the samples of a "
            "step. Under Cost stands how long the steps took in fact. A method whose steps are "
            "slower sees fewer images, and more time might turn the order around."
        )
    return items


def quality_table(comparison: Comparison) -> Table:
    """PQ, SQ, RQ, AP, mIoU."""
    figures = [
        _Figure(_measure_name(key, group), _score(group, key), _percent)
        for group in ("All", "Things", "Stuff")
        for key in ("pq", "sq", "rq")
    ]
    names = {"ap": "AP (things)", "ap50": "AP at IoU 0.5", "miou": "mean IoU"}
    figures += [_Figure(name, _top_score(key), _percent) for key, name in names.items()]
    note = "In percent; more is better. The best of each row is stressed."
    return _table("Quality", note, comparison, figures)


def cost_table(comparison: Comparison) -> Table:
    """What each method takes."""
    figures = [
        _Figure("parameters (M)", lambda m: m["parameters"] / 1e6, _decimal(2), -1),
        _Figure(
            "multiply-adds of an image (G)", lambda m: m["multiply_adds"] / 1e9, _decimal(2), -1
        ),
        _Figure("network, an image (ms)", _milliseconds("network"), _decimal(1), -1),
        _Figure("fusion, an image (ms)", _milliseconds("fusion"), _decimal(1), -1),
        _Figure("memory, an image (MB)", lambda m: m["peak_mb"], _decimal(0), -1),
        _Figure("training (minutes)", _training("seconds", 60), _decimal(1), 0),
        _Figure("training steps", _training("steps"), _decimal(0), 0),
        _Figure("images seen in training", _training("images"), _decimal(0), 0),
        _Figure("training processes", _training("processes"), _decimal(0), 0),
    ]
    sizes = " and ".join(
        dict.fromkeys("{1} x {0}".format(*m["input_size"]) for m in comparison["methods"])
    )
    note = f"Less is better. The networks see pictures of {sizes} (the first image)."
    return _table("Cost", note, comparison, figures)


def mistake_table(comparison: Comparison, group: str) -> Table:
    """How many segments have each kind of mistake."""
    entry = comparison["methods"][0]["errors"][group]
    tell = _with_share(entry["annotated"])
    figures = [_Figure("found", _found(group), tell)]
    for kind in KINDS:
        if kind in entry:
            sign = -1 if kind == "false" else 0
            figures.append(_Figure(kind, _mistakes(group, kind), tell, sign))
    note = (
        f"Of {entry['annotated']} annotated segments. Those not found are counted once each, under "
        "the first kind that applies; 'false' are predicted segments beside them."
    )
    return _table(f"Mistakes: {group.lower()}", note, comparison, figures)


def class_table(comparison: Comparison) -> Table:
    """PQ of each class; with two methods the difference too, the largest first."""
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
        [name, kind, str(annotated), *(_told(value, _percent) for value in values)]
        for name, kind, annotated, values, _ in rows
    ]
    note = "PQ in percent."
    bars: list[float] = []
    if len(methods) == 2:
        header.append("difference")
        for line, row in zip(lines, rows, strict=True):
            line.append(_told(row[4], lambda value: f"{100 * value:+.1f}"))
        bars = [0.0 if math.isnan(row[4]) else row[4] for row in rows]
        note += f" The difference is {methods[0]['name']} minus {methods[1]['name']}."
    best = [[3 + place for place in _best(row[3], 1, _percent)] for row in rows]
    return Table("PQ by class", note, header, lines, best, bars)


def _table(title: str, note: str, comparison: Comparison, figures: Sequence[_Figure]) -> Table:
    methods = comparison["methods"]
    values = [[_number(figure.value(method)) for method in methods] for figure in figures]
    rows = [
        [figure.name, *(_told(value, figure.tell) for value in row)]
        for figure, row in zip(figures, values, strict=True)
    ]
    best = [
        [1 + place for place in _best(row, figure.sign, figure.tell)]
        for figure, row in zip(figures, values, strict=True)
    ]
    return Table(title, note, ["", *(method["name"] for method in methods)], rows, best)


def _best(values: Sequence[float], sign: int, tell: Callable[[float], str]) -> list[int]:
    """Places of what looks best; none where all look equal or nothing is better (sign 0)."""
    known = [value for value in values if not math.isnan(value)]
    if not sign or len({tell(value) for value in known}) < 2:
        return []
    best = tell(max(known, key=lambda value: sign * value))
    return [place for place, value in enumerate(values) if _told(value, tell) == best]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _told(value: float, tell: Callable[[float], str]) -> str:
    return UNKNOWN if math.isnan(value) else tell(value)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _decimal(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:,.{digits}f}"


def _with_share(whole: int) -> Callable[[float], str]:
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
