"""What a user can mend, told in one line.

Everything that comes from outside (command line, configuration, files) is checked where it enters
and refused with one of these; any other exception is a defect of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any


class UserError(Exception):
    """A mistake the user can mend; the message says what was expected, what came, the way out."""

    exit_code = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


class UsageError(UserError):
    """A wrong command line or configuration."""

    exit_code = 2


class DataError(UserError):
    """A file (image, annotation, weights) that cannot be used as it is.

    Attributes:
        kind: what sort of fault it is, in the words of `panoptic-deeplab check --help`.
        where: what that tool tells apart from the message: any of file, image_id, segment_id and
            pixel (y, x).
    """

    def __init__(self, message: str, *, kind: str = "unreadable file", **where: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.where = where


_collected: ContextVar[list[DataError] | None] = ContextVar("collected", default=None)


@contextmanager
def collecting_errors() -> Iterator[list[DataError]]:
    """Collect in the list all faults that readers meet within the block, instead of the first."""
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


def collect(error: DataError) -> None:
    """Add to the list of `collecting_errors`, if any, what a check tells and training ignores."""
    errors = _collected.get()
    if errors is not None:
        errors.append(error)


@contextmanager
def error_context(where: str | Path) -> Iterator[None]:
    """Put the file, and perhaps the image, in front of the message of a DataError."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {error}", kind=error.kind, **error.where) from error


def one_line(text: str) -> str:
    """The text in a line that any terminal can show, whatever is in a file's name.

    White space becomes a blank; what cannot be printed (control characters, bytes of a name that
    are no text) its escape, such as `\\x1b`.
    """
    shown = (c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return "".join(shown)


def reason_of(error: BaseException, limit: int = 200) -> str:
    """What an exception says, in one line of at most `limit` characters; its type if nothing."""
    return one_line(str(error))[:limit] or type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean "x"?)' for the known name closest to `name`, or '' where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' (did you mean "{close[0]}"?)' if close else ""
