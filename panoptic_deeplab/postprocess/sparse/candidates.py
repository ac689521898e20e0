"""The best of a few candidates for each of many points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Candidates:
    """For each of U cells, the members that may win there, ascending.

    Attributes:
        members: the lists of all cells, one after the other.
        first: [U] start of each cell's list.
        count: [U] length of the list, at least 1.
    """

    members: np.ndarray
    first: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, may_win: np.ndarray) -> Candidates:
        """From [U, K] bool with at least one True a row."""
        cells, members = np.divmod(np.flatnonzero(may_win), max(may_win.shape[1], 1))
        count = np.bincount(cells, minlength=len(may_win))
        return cls(members, np.cumsum(count) - count, count)

    def best(
        self, cells: np.ndarray, value_of: Callable[[np.ndarray | slice, np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The member of the highest value for each point, the first on ties.

        NaN is below all numbers; where a cell has only NaN, its first member wins.

        Args:
            cells: [M] the cell of each point.
            value_of: (which points, their member) -> their values.

        Returns:
            [M] members; [M] by how much each leads the next candidate, infinite without one.
        """
        first, count = self.first.take(cells), self.count.take(cells)
        winner = self.members.take(first)
        best, second = np.full((2, len(cells)), -np.inf, np.float32)
        points, place = np.arange(len(cells)), first
        for rank in range(int(count.max(initial=0))):
            if rank:
                points = points[count[points] > rank]
                place = first[points] + rank
            everybody = slice(None) if len(points) == len(cells) else points
            members = self.members.take(place)
            values = value_of(everybody, members)
            held = best[everybody]
            better = values > held
            second[everybody] = np.fmax(second[everybody], np.fmin(values, held))
            best[everybody] = np.fmax(values, held)
            winner[points[better]] = members[better]
        with np.errstate(invalid="ignore"):
            return winner, np.where(count > 1, best - second, np.inf)


def numbered(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of [M] integers in a narrow range, ascending; [M] index of each value."""
    start = int(cells.min()) if len(cells) else 0
    shifted = cells - start
    present = np.zeros(int(shifted.max(initial=-1)) + 1, bool)
    present[shifted] = True
    return np.flatnonzero(present) + start, (np.cumsum(present) - 1)[shifted]
