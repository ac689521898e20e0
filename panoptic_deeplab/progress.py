"""Progress of long work: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(
    items: Iterable[Any] | None = None, *, title: str, total: int, unit: str, hidden: bool = False
) -> tqdm:
    """Return a tqdm bar over `items` on standard error.

    Args:
        items: an iterable, or None to call `update` by hand.
        title: name of the work.
        total: number of items.
        unit: name of the items.
        hidden: show nothing (on all ranks but one).
    """
    on_terminal = sys.stderr.isatty()
    return tqdm(
        items,
        desc=title,
        total=total,
        unit=f" {unit}",
        disable=hidden,
        mininterval=0.2 if on_terminal else 15,
        dynamic_ncols=on_terminal,
        leave=True,
    )
