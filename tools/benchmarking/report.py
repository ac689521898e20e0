"""Results as a table, as JSON and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from benchmarking.comparison import Result

Measured = tuple[str, Result]
"""A subject's name and one of its results."""

_WIDTHS = (31, 23, 9, 9, 8, 6, 8)  # 100 columns, with one blank between two
_COLUMNS = 100
_HEADS = ("", "against", "ours", "theirs", "faster", "goal", "MB")
MARKS = {True: "ok", False: "NO", None: ""}


def to_json(measured: Sequence[Measured], machine: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry a result: its fields, `speedup`, `reached` and the machine."""
    return [
        asdict(result)
        | {
            "name": f"{subject}: {result.name} against {result.baseline_name}",
            "speedup": result.speedup,
            "reached": result.reached,
            "machine": dict(machine),
        }
        for subject, result in measured
    ]


def format_heading(subject: str) -> str:
    """The headings of the columns."""
    return "\n".join(["", _line((subject.upper(), *_HEADS[1:])), "-" * _COLUMNS])


def format_result(result: Result) -> str:
    """The lines of one result."""
    return "\n".join(_rows(result))


def format_notes(results: Sequence[Result]) -> list[str]:
    """The notes of the results, wrapped."""
    notes = [f"{result.name}: {result.note}" for result in results if result.note]
    return [line for note in notes for line in wrap(note, _COLUMNS, subsequent_indent="  ")]


def _rows(result: Result) -> list[str]:
    first = (
        result.name,
        result.baseline_name,
        duration(result.seconds),
        duration(result.baseline_seconds),
        "" if result.is_of_memory else times(result.speedup),
        "" if result.goal is None else times(result.goal),
        amount(result.peak_mb),
    )
    second = (
        f"  {MARKS[result.reached]:3}{memory_in_words(result)}",
        "",
        f"±{100 * result.spread:.0f} %",
        f"±{100 * result.baseline_spread:.0f} %",
        f"of {result.repeats}",
        "",
        f"/{amount(result.baseline_peak_mb)}",
    )
    return [_line(first), _line(second)]


def memory_in_words(result: Result) -> str:
    """Memory needed and aimed at, '' where there is no such goal."""
    if result.goal_mb is not None:
        return f"{amount(result.peak_mb)} of {result.goal_mb:g} MB"
    if result.goal_memory is not None:
        return f"{result.memory_ratio:.2f} of {result.goal_memory:g} times the MB"
    return ""


def _line(cells: Sequence[str]) -> str:
    texts = [
        cell[:width].ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True))
    ]
    return " ".join(texts).rstrip()


def duration(seconds: float) -> str:
    """Three digits and a unit.

    >>> duration(0.0412), duration(12.04)
    ('41.2 ms', '12.0 s')
    """
    value, unit = (seconds, "s") if seconds >= 1 else (1000 * seconds, "ms")
    return f"{three_digits(value)} {unit}"


def times(factor: float) -> str:
    """Three digits and an x."""
    return f"{three_digits(factor)}x"


def amount(megabytes: float) -> str:
    """Whole megabytes, '?' where unknown."""
    return "?" if math.isnan(megabytes) else f"{megabytes:.0f}"


def three_digits(value: float) -> str:
    """At most three significant digits, integers without a point.

    >>> three_digits(8.0), three_digits(0.8512), three_digits(1234.5)
    ('8', '0.85', '1234')
    """
    if value == round(value) or value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def format_machine(machine: Mapping[str, Any]) -> str:
    """Describe the machine in a few lines."""
    versions = [
        f"{name} {value}"
        for name, value in machine.items()
        if isinstance(value, str) and value[:1].isdigit()
    ]
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['memory_gb']} GB, load {machine['load']}\n{', '.join(versions)}"
    )
