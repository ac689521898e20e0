"""A large map that is constant on most cells of a grid, kept without writing it out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.postprocess.sparse.grid import Grid


@dataclass(frozen=True)
class Patchwork:
    """Whole numbers on the box of a grid: one a cell, but one a pixel in the cells that are mixed.

    Attributes:
        grid: the box over the network's pixels.
        cells: [h, w] the value of all pixels of each cell; of no meaning where it is mixed.
        is_mixed: [h, w] bool.
        pixels: [M] int64 flat indices in the box of all pixels of mixed cells.
        values: [M] theirs.
    """

    grid: Grid
    cells: np.ndarray
    is_mixed: np.ndarray
    pixels: np.ndarray
    values: np.ndarray

    def painted(self, table: np.ndarray | None = None) -> np.ndarray:
        """[H, W] the values, or what they are in a look-up table."""
        cells, values = (
            (self.cells, self.values)
            if table is None
            else (table.take(self.cells), table.take(self.values))
        )
        painting = self.grid.spread(cells)
        painting.ravel()[self.pixels] = values
        return painting

    def counts(self, length: int) -> np.ndarray:
        """[length] int64, how many pixels have each value 0..length-1."""
        areas = np.where(self.is_mixed, 0, self.grid.areas()).ravel()
        # whole numbers below 2^53 are exact as the weights' float64
        of_cells = np.bincount(self.cells.ravel(), areas, length).astype(np.int64)
        return of_cells + np.bincount(self.values, minlength=length)
