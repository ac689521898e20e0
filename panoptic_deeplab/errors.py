"""Errors that the user can fix, with messages of one line.

All input (command line, configuration, files) is checked where it enters and refused with one of
these errors; any other exception is a defect of this package.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_MAX_CHARACTERS = 2000
"""Of a message, whatever a file holds that it repeats; the middle is left out."""


class UserError(Exception):
    """A mistake the user can fix; the message says what was expected, what came, and a hint."""

    exit_code = 1

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) > _MAX_CHARACTERS:
            text = f"{text[: _MAX_CHARACTERS // 2]} [...] {text[-_MAX_CHARACTERS // 4 :]}"
        return one_line(text)


class UsageError(UserError):
    """A wrong command line or configuration."""

    exit_code = 2


class DataError(UserError):
    """A file (image, annotation, weights) that cannot be used as it is.

    Attributes:
        kind: the kind of fault, as `panoptic-deeplab check --help` lists them.
        where: what that command reports beside the message: any of file, image_id, segment_id
            and pixel (y, x).
        is_left_out: whether the entry is left out and all else is used (`collect`).
    """

    is_left_out = False

    def __init__(self, message: str, *, kind: str = "unreadable file", **where: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.where = where


class FaultsError(DataError):
    """All the faults of an input, told together.

    Attributes:
        errors: the faults, one or more.
        left_out: what would be left out if there were no faults (`collect`).
    """

    def __init__(self, errors: Iterable[DataError], left_out: Iterable[DataError] = ()) -> None:
        self.errors, self.left_out = tuple(errors), tuple(left_out)
        first, others = self.errors[0], len(self.errors) - 1
        more = f" (and {others} more fault{'s' * (others > 1)})" if others else ""
        super().__init__(f"{first}{more}", kind=first.kind, **first.where)


_collected: ContextVar[list[DataError] | None] = ContextVar("collected", default=None)


@contextmanager
def collecting_errors() -> Iterator[list[DataError]]:
    """Collect all faults that readers find within the block, instead of raising the first."""
    errors: list[DataError] = []
    token = _collected.set(errors)
    try:
        yield errors
    finally:
        _collected.reset(token)


def raise_or_collect(error: DataError) -> None:
    """Raise `error`; within `collecting_errors`, add it to the list and return.

    For a reader that can go on without the faulty entry (an image, a segment): the reader then
    leaves the entry out.
    """
    errors = _collected.get()
    if errors is None:
        raise error
    errors.append(error)


def collect(error: DataError) -> bool:
    """Add a fault that is only left out to the list of `collecting_errors`, if there is one.

    Returns:
        Whether there is one.
    """
    error.is_left_out = True
    errors = _collected.get()
    if errors is not None:
        errors.append(error)
    return errors is not None


@contextmanager
def error_context(where: str | Path) -> Iterator[None]:
    """Put the file, and perhaps the image, in front of the message of a DataError."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {error}", kind=error.kind, **error.where) from error


@contextmanager
def skipping_faults(where: str | Path) -> Iterator[None]:
    """As `error_context`; within `collecting_errors` the block ends and the fault is collected."""
    try:
        with error_context(where):
            yield
    except DataError as error:
        raise_or_collect(error)


def one_line(text: str) -> str:
    """Make of a text one line that any terminal can show, whatever a file's name contains.

    White space becomes a blank; characters that cannot be printed (control characters, undecodable
    bytes of a name) become their escape, such as `\\x1b`.
    """
    shown = (c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return "".join(shown)


def reason_of(error: BaseException, limit: int = 200) -> str:
    """An exception's message in one line of at most `limit` characters, or else its type."""
    return one_line(str(error)[: 10 * limit])[:limit] or type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean "x"?)' for the known name closest to `name`, or '' where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' (did you mean "{close[0]}"?)' if close else ""
