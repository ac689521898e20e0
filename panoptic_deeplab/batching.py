"""Batches: arrays of equal shape together, and items in lists of a given length."""

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
        function: takes N arrays of one shape stacked, [N, ...], and their positions; returns N
            results.
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
    """Yield lists of `batch_size` items, the last perhaps shorter, without reading ahead."""
    iterator = iter(items)
    while batch := list(islice(iterator, batch_size)):
        yield batch
