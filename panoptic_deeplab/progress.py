"""Progress of long work: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import os
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


def patient_bar(*, title: str, unit: str) -> tqdm:
    """Return a bar for work that is mostly quick: it appears when a second has passed.

    The end is not known beforehand; call `update` by hand. Of several processes the first shows it.
    """
    on_terminal = sys.stderr.isatty()
    return tqdm(
        desc=title,
        unit=f" {unit}",
        disable=os.environ.get("PADDLE_TRAINER_ID", "0") != "0",  # as the launcher numbers them
        delay=1,
        mininterval=0.2 if on_terminal else 3,
        dynamic_ncols=on_terminal,
        leave=True,
    )
