"""Findings and statistics as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from panoptic_deeplab.check.findings import ERROR, WARNING, Findings
from panoptic_deeplab.check.statistics import Statistics
from panoptic_deeplab.errors import one_line
from panoptic_deeplab.text_table import align

_MAX_SIZES = 5
_MAX_BINS = 12
_BAR = 30
_WIDTH = 100
_AREAS = ("smallest", "median", "largest")
_COLUMNS = ("class", "id", "kind", "segments", "crowds", "images", "pixels", *_AREAS)


def findings_text(findings: Findings, examples: int) -> str:
    """List each kind of fault with its count, the first examples and the fix."""
    lines = []
    for kind, about, kept in findings.by_kind():
        lines.append(f"{about.severity}: {kind}: {findings.counts[kind]}")
        lines += [f"    {finding.split}: {one_line(finding.cause)}" for finding in kept[:examples]]
        if findings.counts[kind] > examples:
            lines.append(f"    and {findings.counts[kind] - examples} more (--examples, --json)")
        lines.append(f"    -> {about.fix}")
    totals = f"{findings.total(ERROR)} error(s), {findings.total(WARNING)} warning(s)"
    return "\n".join([*lines, totals])


def statistics_text(statistics: Statistics, title: str) -> str:
    """Describe a split in numbers."""
    return "\n".join([_overview(statistics, title), "", _class_table(statistics)])


def _overview(statistics: Statistics, title: str) -> str:
    lines = [f"{title}: {statistics.images} images, {statistics.annotated} annotated"]
    lines.append(f"  sizes (height x width): {_sizes(statistics.sizes)}")
    if statistics.annotated:
        lines.append(f"  void: {_percent(statistics.void_fraction)} of the pixels")
        lines.append("  instances of things in an image (crowds not counted):")
        lines += [f"    {line}" for line in _histogram(statistics.instance_bins(_MAX_BINS))]
    return "\n".join(lines)


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    shown = [f"{h} x {w}: {count}" for (h, w), count in sizes.most_common(_MAX_SIZES)]
    rest = len(sizes) - len(shown)
    return ", ".join(shown) + (f", and {rest} other sizes" if rest else "") or "none"


def _histogram(bins: Sequence[tuple[str, int]]) -> Iterator[str]:
    largest = max(images for _, images in bins)
    for name, images in bins:
        yield f"{name:>9} {images:>7} {'#' * -(-_BAR * images // largest)}".rstrip()


def _class_table(statistics: Statistics) -> str:
    rows, absent = [list(_COLUMNS)], []
    for index, category in enumerate(statistics.info.categories):
        entry = statistics.classes[index].to_dict()
        if not entry["images"]:
            absent.append(category.name)
            continue
        areas = [entry[f"{which}_area"] for which in _AREAS]
        rows.append(
            [
                category.name,
                str(category.official_id),
                "thing" if category.is_thing else "stuff",
                *(str(entry[key]) for key in ("segments", "crowds", "images")),
                _percent(statistics.pixel_fraction(index)),
                *("-" if area is None else f"{area:.0f}" for area in areas),
            ]
        )
    table = align(rows)
    if not absent:
        return table
    names = f"without a segment: {', '.join(absent)}"
    return table + "\n" + textwrap.fill(names, _WIDTH, subsequent_indent="  ")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}%"
