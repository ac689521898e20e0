"""The outputs of a network for an image that it sees tile by tile, stitched at its own stride."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import paddle

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.structures import Frame
from panoptic_deeplab.tiles import COARSEST_STRIDE, Tile

Outputs = Mapping[str, paddle.Tensor]


def stitched_outputs(
    image: np.ndarray,
    frame: Frame,
    tiles: Sequence[Tile],
    outputs_of: Callable[[np.ndarray, Sequence[Frame]], Outputs],
) -> dict[str, paddle.Tensor]:
    """The outputs [1, C, h, w] of a whole input, in the host's memory.

    Each tile gives the locations that it owns. Where the network is local, and sees no farther than
    half the overlap, they are those of the whole input.

    Args:
        image: [P, Q, 3] uint8 RGB.
        frame: where the original lies in it.
        tiles: of the image, which start at multiples of `COARSEST_STRIDE`.
        outputs_of: images [1, ...] and their frames -> maps; vectors are in pixels of the input.

    Raises:
        UsageError: the stride of an output does not divide `COARSEST_STRIDE`.
    """
    whole: dict[str, np.ndarray] = {}
    for tile in tiles:
        outputs = outputs_of(image[tile.window][None], [_frame_of(tile, frame)])
        for name, value in outputs.items():
            values = value[0].astype("float32").numpy()
            stride = _stride(values.shape[1:], tile)
            if name not in whole:
                size = (-(-side // stride) for side in image.shape[:2])
                whole[name] = np.empty((len(values), *size), np.float32)
            top, left = (side // stride for side in tile.box[:2])
            first_row, first_column, end_row, end_column = (-(-side // stride) for side in tile.own)
            rows, columns = slice(first_row, end_row), slice(first_column, end_column)
            own = values[
                :, first_row - top : end_row - top, first_column - left : end_column - left
            ]
            whole[name][:, rows, columns] = own
    return {  # one by one, so that a single map is held twice
        name: paddle.to_tensor(whole.pop(name)[None], place=paddle.CPUPlace())
        for name in list(whole)
    }


def _frame_of(tile: Tile, frame: Frame) -> Frame:
    """The frame of a tile, given that of the whole input."""
    top, left, bottom, right = tile.box
    size = bottom - top, right - left
    first_row, first_column, end_row, end_column = frame.valid_box
    rows = [min(max(row - top, 0), size[0]) for row in (first_row, end_row)]
    columns = [min(max(column - left, 0), size[1]) for column in (first_column, end_column)]
    return Frame(size, size, (1.0, 1.0), (rows[0], columns[0], rows[1], columns[1]))


def _stride(size: tuple[int, int], tile: Tile) -> int:
    """Pixels from one location of an output to the next, by the longer side of the tile."""
    top, left, bottom, right = tile.box
    side, locations = max((bottom - top, size[0]), (right - left, size[1]))
    stride = -(-side // locations)
    if COARSEST_STRIDE % stride:
        raise UsageError(
            f"outputs of {size[1]} x {size[0]} locations for a tile of {right - left} x "
            f"{bottom - top} pixels cannot be stitched: their stride {stride} does not divide "
            f"{COARSEST_STRIDE}; leave out --tile"
        )
    return stride
