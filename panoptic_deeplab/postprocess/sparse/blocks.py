"""Long arrays in blocks that stay in a core's cache.

One thread processes them: on two cores, threads that shared the interpreter's lock were no faster.
"""

from __future__ import annotations

from collections.abc import Iterator


def blocks(length: int, size: int) -> Iterator[slice]:
    """Consecutive slices of 0..length, at most `size` long."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
