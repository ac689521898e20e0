"""Tables as plain text, which a terminal, a log and a test show alike."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import combining, east_asian_width


def align(rows: Sequence[Sequence[str]], rules: Sequence[int] = (1,)) -> str:
    """Align the first column left and the others right.

    Args:
        rows: texts, the same number in each row.
        rules: numbers of the rows before which a line is drawn.

    >>> print(align([["class", "PQ"], ["road", "97.50"]]))
    class     PQ
    ------------
    road   97.50
    """
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    for position in sorted(rules, reverse=True):
        lines.insert(position, rule)
    return "\n".join(lines)


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    gaps = [" " * (width - _columns(text)) for text, width in zip(row, widths, strict=True)]
    return [row[0] + gaps[0], *(gap + text for text, gap in zip(row[1:], gaps[1:], strict=True))]


def _columns(text: str) -> int:
    """The width of a text on a terminal, where Chinese letters take two columns, accents none."""
    wide = sum(east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(combining(letter) > 0 for letter in text)
