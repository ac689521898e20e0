"""Progress of long work: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

from tqdm import tqdm


def progress_bar(
    items: Iterable[Any] | None = None,
    *,
    title: str,
    total: int | None,
    unit: str,
    hidden: bool = False,
) -> tqdm:
    """Return a tqdm bar over `items` on standard error.

    Args:
        items: an iterable, or None to call `update` by hand.
        title: name of the work.
        total: number of items, None where it is not known.
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
        file=_Unfailing(sys.stderr),
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
        file=_Unfailing(sys.stderr),
    )


class _Unfailing:
    """A stream that drops what cannot be written: no work ends because nobody sees its progress."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()
