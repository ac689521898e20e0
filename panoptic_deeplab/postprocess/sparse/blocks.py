"""Long arrays in blocks that stay in a core's cache.

One core works through them: on the two of the machine this was measured on, threads that took
turns with the interpreter's lock made it no faster.
"""

from __future__ import annotations

from collections.abc import Iterator


def blocks(length: int, most: int) -> Iterator[slice]:
    """Consecutive slices of 0..length, at most `most` long."""
    for start in range(0, length, most):
        yield slice(start, min(start + most, length))
