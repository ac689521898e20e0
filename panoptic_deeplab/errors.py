"""What a user can mend, told in one line.

Everything that comes from outside (command line, configuration, files) is checked where it enters
and refused with one of these; any other exception is a defect of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend; the message says what was expected, what came, the way out."""

    exit_code = 1

    def __str__(self) -> str:
        return " ".join(super().__str__().split())  # one line, whatever is in a file's name


class UsageError(UserError):
    """A wrong command line or configuration."""

    exit_code = 2


class DataError(UserError):
    """A file (image, annotation, weights) that cannot be used as it is."""


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean "x"?)' for the known name closest to `name`, or '' where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' (did you mean "{close[0]}"?)' if close else ""
