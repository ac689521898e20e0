"""How far outputs and ids of two runtimes differ, and how far they may."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MAX_DEVIATION = (
    1e-3  # relative to the highest value of an output; rounding errors of two libraries are smaller
)
MAX_PIXELS = 1e-4  # with another id or class

Outputs = Mapping[str, np.ndarray]


def deviations(expected: Outputs, found: Outputs) -> dict[str, float]:
    """The largest difference of each output over its highest value; NaN where one holds NaN."""
    return {
        name: float(abs(value - found[name]).max() / max(float(abs(value).max()), 1e-30))
        if value.shape == found[name].shape
        else float("inf")
        for name, value in expected.items()
    }


def fraction_of_others(first: np.ndarray, second: np.ndarray) -> float:
    """The fraction of pixels with another id, up to a renaming of the ids above 0."""
    width = int(second.max()) + 1
    pairs, counts = np.unique(first.astype(np.int64) * width + second, return_counts=True)
    partners: dict[int, int] = {0: 0}
    equal = 0
    for place in np.argsort(-counts, kind="stable"):
        a, b = divmod(int(pairs[place]), width)
        if a not in partners and b not in partners.values():
            partners[a] = b
        equal += int(counts[place]) if partners.get(a) == b else 0
    return 1 - equal / first.size
