"""Arrays of equal shape go through a function together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_by_shape(
    function: Callable[[np.ndarray, list[int]], Sequence[Result]], arrays: Sequence[np.ndarray]
) -> list[Result]:
    """Call `function` once for each shape; the results are in the order of the arrays.

    Args:
        function: [N, ...] arrays of one shape stacked, and their N positions -> N results.
        arrays: of any shapes.
    """
    places: dict[tuple[int, ...], list[int]] = {}
    for i, array in enumerate(arrays):
        places.setdefault(array.shape, []).append(i)
    results: dict[int, Result] = {}
    for group in places.values():
        found = function(np.stack([arrays[i] for i in group]), group)
        results |= zip(group, found, strict=True)
    return [results[i] for i in range(len(arrays))]


def batched(items: Iterable[Item], batch_size: int) -> Iterator[list[Item]]:
    """Lists of `batch_size` items, the last perhaps shorter; each is read when it is asked for."""
    iterator = iter(items)
    while batch := list(islice(iterator, batch_size)):
        yield batch
