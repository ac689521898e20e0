"""A map that is constant in most cells of a grid, stored by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.postprocess.sparse.grid import Grid


@dataclass(frozen=True)
class Patchwork:
    """Integers on the box of a grid: one for each cell, but one for each pixel of mixed cells.

    Attributes:
        grid: the box over the feature map.
        cells: [h, w] value of all pixels of each cell; undefined where the cell is mixed.
        is_mixed: [h, w] bool.
        pixels: [M] int64 flat indices in the box of all pixels of mixed cells.
        values: [M] of these pixels.
    """

    grid: Grid
    cells: np.ndarray
    is_mixed: np.ndarray
    pixels: np.ndarray
    values: np.ndarray

    def painted(self, table: np.ndarray | None = None) -> np.ndarray:
        """[H, W] the values, or the entries of a look-up table at them."""
        cells, values = (
            (self.cells, self.values)
            if table is None
            else (table.take(self.cells), table.take(self.values))
        )
        painting = self.grid.spread(cells)
        painting.ravel()[self.pixels] = values
        return painting

    def counts(self, length: int) -> np.ndarray:
        """[length] int64, the number of pixels with each value 0..length-1."""
        areas = np.where(self.is_mixed, 0, self.grid.areas()).ravel()
        # integers below 2^53 are exact in the float64 of weights
        of_cells = np.bincount(self.cells.ravel(), areas, length).astype(np.int64)
        return of_cells + np.bincount(self.values, minlength=length)
