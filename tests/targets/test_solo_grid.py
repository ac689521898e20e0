"""Targets of location-based instances: which cells learn what."""

from __future__ import annotations

import numpy as np
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.structures import Segment
from panoptic_deeplab.targets import SoloGridTargets
from panoptic_deeplab.targets.runs import segment_runs
from panoptic_deeplab.targets.solo_grid import SoloGrid, centers_of_mass

ROAD, CAR, PERSON = range(3)
SMALL = SoloGridTargets(thing_ids=(CAR, PERSON), grids=(4, 2), ranges=((1, 4), (3, 100)))


def sample(ids: np.ndarray, *segments: Segment) -> dict:
    return {"panoptic": ids, "segments": list(segments)}


def test_a_box_worked_by_hand() -> None:
    """100..180 x 60..140 on 256 x 512: side 80, so levels of 36 and 24 cells among those of SOLOv2.

    The center (100, 140) lies in row 14.06, column 9.84 of 36 and row 9.4, column 6.6 of 24; a
    tenth of the side, 8 pixels, reaches rows 12.9..15.2 and columns 9.3..10.4 of 36.
    """
    box, center = np.array([[100, 60, 180, 140]], np.float32), np.array([[100, 140]], np.float32)
    grid = SoloGrid((36, 24), ((48, 192), (1, 192)))
    cells, instances = grid.positives(box, center, (256, 512))
    rows, columns = np.divmod(cells[:6], 36)
    assert rows.tolist() == [13, 13, 14, 14, 15, 15]
    assert columns.tolist() == [9, 10, 9, 10, 9, 10]
    rows, columns = np.divmod(cells[6:] - 36 * 36, 24)
    assert (rows.tolist(), columns.tolist()) == ([8, 9, 10], [6, 6, 6])
    assert not instances.any()


def test_an_image_worked_by_hand() -> None:
    """A car of 2 x 2 pixels in the upper left quarter, a crowd, and road; a cell is 2 x 2."""
    ids = np.full((8, 8), 1, np.int32)
    ids[2:4, 2:4] = 7
    ids[6:, 6:] = 9
    targets = SMALL(sample(ids, Segment(1, ROAD), Segment(7, CAR), Segment(9, CAR, iscrowd=True)))
    assert targets["semantic"][3].tolist() == [ROAD, ROAD, CAR, CAR, ROAD, ROAD, ROAD, ROAD]
    assert targets["instances"].sum() == 4
    assert targets["cells"].tolist() == [1 * 4 + 1]  # row 1, column 1 of the first level
    assert targets["owners"].tolist() == [1]
    assert np.flatnonzero(targets["categories"]).tolist() == [5]
    assert targets["categories"][5] == 1  # the first of the things


def test_two_instances_may_share_a_cell_and_the_later_gives_its_class() -> None:
    """The first one's center lies on the upper border of row 1, so it has row 0 as well."""
    ids = np.zeros((8, 8), np.int32)
    ids[2, 2:4], ids[3, 2:4] = 1, 2
    targets = SMALL(sample(ids, Segment(1, CAR), Segment(2, PERSON)))
    assert targets["cells"].tolist() == [1, 5, 5]
    assert targets["owners"].tolist() == [1, 1, 2]
    assert targets["categories"][[1, 5]].tolist() == [1, 2]


def test_without_an_instance_there_is_one_row_without_owner() -> None:
    targets = SMALL(sample(np.ones((8, 8), np.int32), Segment(1, ROAD)))
    assert targets["cells"].tolist() == targets["owners"].tolist() == [0]
    assert not targets["categories"].any()


@pytest.mark.parametrize("place", [(0, 0), (0, 7), (7, 0), (7, 7), (3, 5)])
def test_an_instance_of_one_pixel_learns_the_cell_that_it_lies_in(place: tuple[int, int]) -> None:
    ids = np.zeros((8, 8), np.int32)
    ids[place] = 5
    targets = SMALL(sample(ids, Segment(5, PERSON)))
    assert targets["cells"].tolist() == [place[0] // 2 * 4 + place[1] // 2]
    assert targets["categories"].max() == 2


def test_crowds_alone_are_no_instances() -> None:
    ids = np.repeat(np.arange(1, 9, dtype=np.int32), 8).reshape(8, 8)
    targets = SMALL(sample(ids, *(Segment(k, CAR, iscrowd=True) for k in range(1, 9))))
    assert targets["owners"].tolist() == [0]
    assert not targets["categories"].any()
    assert not targets["instances"].any()


def test_an_image_smaller_than_a_grid_and_of_no_whole_steps() -> None:
    """3 x 5 pixels count as 4 x 8: a pixel in row 2, column 4 is in row 20, column 20 of 40."""
    ids = np.zeros((3, 5), np.int32)
    ids[2, 4] = 1
    targets = SoloGridTargets(thing_ids=(CAR,))(sample(ids, Segment(1, CAR)))
    rows, columns = np.divmod(targets["cells"], 40)
    assert (rows.max(), columns.max()) == (20, 20)
    assert targets["categories"].sum() == len(targets["cells"]) == 2 * 2


def test_three_hundred_instances() -> None:
    """15 x 20 cars of 12 x 12 pixels, one in each block of 16 x 16, which 4 x 3 cells cover."""
    blocks = np.arange(1, 301, dtype=np.int32).reshape(15, 20)
    ids = np.kron(blocks, np.pad(np.ones((12, 12), np.int32), ((0, 4), (0, 4))))
    grid = SoloGridTargets((CAR,), grids=(60,), ranges=((1, 12),), center_fraction=0.0)
    targets = grid(sample(ids, *(Segment(k, CAR) for k in range(1, 301))))
    assert targets["owners"].tolist() == list(range(1, 301))
    assert targets["cells"].tolist() == [
        (4 * row + 1) * 60 + 3 * column + 1 for row in range(15) for column in range(20)
    ]


def test_centers_of_mass_by_hand() -> None:
    """Of an L of three pixels the mean is (2 / 3, 1 / 3); a segment without a pixel has none."""
    runs = segment_runs(np.array([[5, 0], [5, 5]]), [Segment(5, CAR), Segment(6, CAR)])
    centers = centers_of_mass(runs, 2)
    np.testing.assert_allclose(centers[0], [2 / 3, 1 / 3], rtol=1e-6)
    assert np.isnan(centers[1]).all()


def test_grids_and_ranges_go_in_pairs() -> None:
    with pytest.raises(UsageError, match="one range for each of 2 grids, got 1"):
        SoloGrid((4, 2), ((1, 4),))
