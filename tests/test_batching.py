"""Lists of equal items, full where that takes little waiting."""

from __future__ import annotations

import pytest

from panoptic_deeplab.batching import batched_alike

CASES = {
    "all equal": ("aaaaa", 2, 4, ["aa", "aa", "a"]),
    "two in turns": ("abababab", 3, 6, ["aaa", "bbb", "a", "b"]),
    "one odd among many": ("aabaaa", 2, 4, ["aa", "aa", "b", "a"]),
    "too many wait: the longest group goes": ("aabcdaa", 3, 4, ["aa", "aa", "b", "c", "d"]),
    "one at a time": ("abc", 1, 0, ["a", "b", "c"]),
    "nothing": ("", 2, 4, []),
}


@pytest.mark.parametrize("case", CASES)
def test_items_of_equal_key_come_together(case: str) -> None:
    items, batch_size, max_waiting, expected = CASES[case]
    found = batched_alike(items, lambda item: item, batch_size, max_waiting)
    assert ["".join(batch) for batch in found] == expected


def test_no_more_items_wait_than_allowed() -> None:
    taken = 0

    def items() -> object:
        nonlocal taken
        for i in range(100):
            taken += 1
            yield i % 7

    given = 0
    for batch in batched_alike(items(), lambda item: item, 4, 8):
        given += len(batch)
        assert taken - given <= 8
