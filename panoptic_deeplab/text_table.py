"""Tables as plain text, which a terminal, a log and a test show alike."""

from __future__ import annotations

from collections.abc import Sequence


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
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    for position in sorted(rules, reverse=True):
        lines.insert(position, rule)
    return "\n".join(lines)
