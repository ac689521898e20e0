"""Batches: arrays of equal shape together, and items in lists of a given length."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
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
        found = function(_stacked([arrays[i] for i in group]), group)
        results |= zip(group, found, strict=True)
    return [results[i] for i in range(len(arrays))]


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """[N, ...] of N arrays; of a single one, which may be large, no copy is made."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def batched(items: Iterable[Item], batch_size: int) -> Iterator[list[Item]]:
    """Yield lists of `batch_size` items, the last perhaps shorter, without reading ahead."""
    iterator = iter(items)
    while batch := list(islice(iterator, batch_size)):
        yield batch


def batched_alike(
    items: Iterable[Item], key: Callable[[Item], Key], batch_size: int, max_waiting: int
) -> Iterator[list[Item]]:
    """Yield lists of `batch_size` items of equal key; items wait until a list is full.

    Where too many wait, and at the end, shorter lists come: the longest first.

    Args:
        items: in any order of keys.
        key: what the items of a list have in common.
        batch_size: length of a full list.
        max_waiting: number of items that may wait.

    >>> list(batched_alike("aBcDE", str.isupper, 2, 4))
    [['a', 'c'], ['B', 'D'], ['E']]
    """
    waiting: dict[Key, list[Item]] = {}
    for item in items:
        group = waiting.setdefault(key(item), [])
        group.append(item)
        if len(group) == batch_size:
            yield waiting.pop(key(item))
        elif sum(map(len, waiting.values())) > max_waiting:
            yield waiting.pop(max(waiting, key=lambda k: len(waiting[k])))
    yield from sorted(waiting.values(), key=len, reverse=True)
