"""KITTI-STEP's PNGs: class and id of each pixel, there and back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.formats.kitti_step import (
    KITTI_STEP,
    MOTCHALLENGE_STEP,
    encode_step_map,
    read_step_map,
    read_step_maps,
    read_two_channel_maps,
)
from panoptic_deeplab.structures import PanopticMap, Segment

ROAD, PERSON, RIDER, CAR, VOID = 0, 11, 12, 13, 255
PIXELS = [(ROAD, 0, 0), (VOID, 0, 7), (PERSON, 0, 0), (RIDER, 0, 0), (CAR, 1, 2), (CAR, 0, 2)]
"""Road, void, a crowd of persons, riders, which have no ids, and cars 258 and 2."""


@pytest.fixture
def png(tmp_path: Path) -> Path:
    write_image(tmp_path / "000000.png", np.array([PIXELS], np.uint8))
    return tmp_path / "000000.png"


def test_classes_and_ids(png: Path) -> None:
    classes, ids = read_step_maps(png)
    assert classes.tolist() == [[ROAD, VOID, PERSON, RIDER, CAR, CAR]]
    assert ids.tolist() == [[0, 7, 0, 0, 258, 2]]


def test_segments_have_tracks(png: Path) -> None:
    truth = read_step_map(png, KITTI_STEP)
    values = [ROAD + 1 << 16, 0, PERSON + 1 << 16, RIDER + 1 << 16, (CAR + 1 << 16) + 258]
    assert truth.ids.tolist() == [[*values, (CAR + 1 << 16) + 2]]
    found = {(s.category, s.track_id, s.iscrowd, s.area) for s in truth.segments}
    expected = {(ROAD, None, False), (PERSON, None, True), (RIDER, None, False)}
    expected |= {(CAR, 258, False), (CAR, 2, False)}
    assert found == {(*entry, 1) for entry in expected}


def test_the_map_comes_back(png: Path) -> None:
    encoded = encode_step_map(read_step_map(png, KITTI_STEP), KITTI_STEP)
    rgb = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert rgb.tolist() == [[[VOID, 0, 0] if p[0] == VOID else list(p) for p in PIXELS]]


def test_without_tracks_the_instances_of_an_image_are_numbered() -> None:
    segments = [Segment(5, CAR), Segment(6, PERSON), Segment(7, CAR), Segment(8, RIDER)]
    encoded = encode_step_map(PanopticMap(np.array([[5, 6, 7, 8]]), segments), KITTI_STEP)
    rgb = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert rgb[0].tolist() == [[CAR, 0, 1], [PERSON, 0, 1], [CAR, 0, 2], [RIDER, 0, 0]]


def test_two_channels(png: Path) -> None:
    with pytest.raises(DataError, match=r"third channel.*three_channel_png"):
        read_two_channel_maps(png)
    write_image(png, np.array([[(CAR, 200, 0), (ROAD, 0, 0)]], np.uint8))
    classes, ids = read_two_channel_maps(png)
    assert (classes.tolist(), ids.tolist()) == ([[CAR, ROAD]], [[200, 0]])


def test_what_the_files_cannot_hold(png: Path) -> None:
    with pytest.raises(DataError, match=r"class 11 at pixel \(y 0, x 2\) is none of MOTChallenge"):
        read_step_map(png, MOTCHALLENGE_STEP)
    with pytest.raises(DataError, match="id 70000 is above 65535"):
        encode_step_map(
            PanopticMap(np.ones((1, 1), int), [Segment(1, CAR, track_id=70000)]), KITTI_STEP
        )
