"""A Result: its segments, what is drawn and saved of it, and what other tools get."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.formats.images import read_ids, read_image, write_image
from panoptic_deeplab.result import Result
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment

INFO = DatasetInfo(
    "street",
    (Category("road", False, (128, 64, 128), 7), Category("car", True, (0, 0, 142), 26)),
)
IDS = np.array(
    [
        [1, 1, 1, 1, 0],
        [1, 2, 2, 1, 0],
        [1, 2, 2, 3, 0],
        [1, 1, 1, 1, 0],
    ],
    np.int32,
)
LABELS = np.where(IDS > 1, 1, 0).astype(np.uint8)
IMAGE = np.full((4, 5, 3), 90, np.uint8)
SEGMENTS = [
    Segment(1, 0, area=11, is_thing=False, score=0.75),
    Segment(2, 1, area=4, is_thing=True, score=0.5),
    Segment(3, 1, area=1, is_thing=True, score=0.25),
]


def result(path: str | None = "drive/street.jpg", frame_index: int | None = None) -> Result:
    return Result(IMAGE, Prediction(IDS, SEGMENTS, LABELS), INFO, path, frame_index)


def tracked() -> Result:
    """As a tracker leaves it: each car has an identity, the road has none."""
    tracks = [None, 9, 4]
    segments = [replace(s, track_id=t) for s, t in zip(SEGMENTS, tracks, strict=True)]
    return Result(IMAGE, Prediction(IDS, segments, LABELS), INFO, "drive.mp4", 7)


EMPTY = Result(IMAGE, Prediction(np.zeros_like(IDS), []), INFO)


def test_its_segments_say_what_they_are() -> None:
    road, car, far_car = result()
    assert (road.id, road.label, road.category, road.is_thing) == (1, "road", 0, False)
    assert (car.id, car.label, car.category, car.is_thing) == (2, "car", 1, True)
    assert [s.score for s in result()] == [0.75, 0.5, 0.25]
    assert [s.area for s in result()] == [11, 4, 1]
    assert (road.box, car.box, far_car.box) == ((0, 0, 4, 4), (1, 1, 3, 3), (3, 2, 4, 3))
    assert car.track_id is None
    assert car.mask.dtype == bool
    np.testing.assert_array_equal(car.mask, IDS == 2)
    assert len(result()) == 3


def test_its_maps_and_names() -> None:
    assert result().ids is IDS
    assert result().semantic is LABELS
    fused = Result(IMAGE, Prediction(IDS, SEGMENTS), INFO)
    np.testing.assert_array_equal(fused.semantic, np.where(IDS == 0, 255, LABELS))
    assert result().path == Path("drive/street.jpg")
    assert repr(result()) == "Result(drive/street.jpg, 4x5, 3 segments)"
    assert repr(EMPTY) == "Result(image, 4x5, 0 segments)"


NAMES = [
    ("drive/street.jpg", None, "street", "street.jpg"),
    (None, None, "image", "image.png"),
    (None, 7, "image_000007", "image_000007.png"),
    ("drive.mp4", 7, "drive_000007", "drive_000007.png"),
]


@pytest.mark.parametrize(("path", "frame_index", "name", "file_name"), NAMES)
def test_frames_and_images_from_memory_have_names(
    path: str | None, frame_index: int | None, name: str, file_name: str
) -> None:
    assert (result(path, frame_index).name, result(path, frame_index).file_name) == (
        name,
        file_name,
    )


def test_printing_shows_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    result().print()
    assert capsys.readouterr().out == (
        "Result(drive/street.jpg, 4x5, 3 segments)\n"
        "class  id  score  area  box (x0, y0, x1, y1)\n"
        "--------------------------------------------\n"
        "road    1  0.750    11            0, 0, 4, 4\n"
        "car     2  0.500     4            1, 1, 3, 3\n"
        "car     3  0.250     1            3, 2, 4, 3\n"
    )


def test_tracks_are_told_and_printed() -> None:
    assert [s.track_id for s in tracked()] == [None, 9, 4]
    assert str(tracked()).splitlines()[1:5] == [
        "class  id  track  score  area  box (x0, y0, x1, y1)",
        "---------------------------------------------------",
        "road    1         0.750    11            0, 0, 4, 4",
        "car     2      9  0.500     4            1, 1, 3, 3",
    ]


def test_tracks_are_saved(tmp_path: Path) -> None:
    content = json.loads(tracked().save_to_json(tmp_path).read_text())
    assert [s["track_id"] for s in content["segments"]] == [None, 9, 4]
    entries = tracked().to_coco().annotation["segments_info"]
    assert [s.get("track_id") for s in entries] == [None, 9, 4]


def test_the_overlay_is_drawn_saved_and_shown_in_notebooks(tmp_path: Path) -> None:
    overlay = result().plot()
    assert (overlay.dtype, overlay.shape[2]) == (np.uint8, 3)
    path = result().save_to_img(tmp_path / "new")
    assert path == tmp_path / "new" / "street_overlay.png"
    np.testing.assert_array_equal(read_image(path), overlay)
    shown = np.asarray(Image.open(io.BytesIO(result()._repr_png_())))
    np.testing.assert_array_equal(shown, overlay)


def test_json_lists_the_segments(tmp_path: Path) -> None:
    path = result(frame_index=2).save_to_json(tmp_path)
    assert path.name == "street_000002.json"
    content = json.loads(path.read_text())
    assert content["image"] == "drive/street.jpg"
    assert (content["frame_index"], content["height"], content["width"]) == (2, 4, 5)
    assert content["segments"][1] == {
        "label": "car",
        "track_id": None,
        "id": 2,
        "category_id": 26,
        "area": 4,
        "bbox": [1, 1, 2, 2],
        "iscrowd": 0,
        "isthing": 1,
        "score": 0.5,
    }


@pytest.mark.parametrize("text", ["{", "[1]", '{"shapes": [], "imagePath": "street.jpg"}'])
def test_json_of_others_is_not_replaced(text: str, tmp_path: Path) -> None:
    path = tmp_path / "street.json"  # as Labelme names the annotation of street.jpg
    path.write_text(text)
    with pytest.raises(DataError, match=r"street\.json: is no result, and is not replaced"):
        result().save_to_json(tmp_path)
    assert path.read_text() == text
    path.unlink()
    for _ in range(2):  # its own it replaces
        assert result().save_to_json(tmp_path) == path


def test_coco_is_a_png_and_its_annotation(tmp_path: Path) -> None:
    png, annotation = result().to_coco()
    write_image(tmp_path / annotation["file_name"], png)
    np.testing.assert_array_equal(read_ids(tmp_path / "street.png"), IDS)
    assert annotation["image_id"] == "street"
    assert [s["category_id"] for s in annotation["segments_info"]] == [7, 26, 26]
    json.dumps(annotation)


# --- supervision ---


def test_supervision_takes_the_segments() -> None:
    supervision = pytest.importorskip("supervision")
    detections = result().to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert len(detections) == 3
    assert detections.class_id.tolist() == [0, 1, 1]
    assert detections.confidence.tolist() == [0.75, 0.5, 0.25]
    assert detections.data["class_name"].tolist() == ["road", "car", "car"]
    assert detections.tracker_id is None
    inclusive = supervision.mask_to_xyxy(detections.mask)
    np.testing.assert_array_equal(detections.xyxy, inclusive + np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(detections.area, [11, 4, 1])
    cars = detections[detections.class_id == 1]
    np.testing.assert_array_equal(cars.mask, [IDS == 2, IDS == 3])


def test_supervision_takes_the_tracks() -> None:
    pytest.importorskip("supervision")
    assert tracked().to_supervision().tracker_id.tolist() == [-1, 9, 4]


def test_supervision_without_segments_and_scores() -> None:
    pytest.importorskip("supervision")
    assert len(EMPTY.to_supervision()) == 0
    unscored = Result(IMAGE, Prediction(IDS, [Segment(2, 1, area=4)]), INFO)
    assert unscored.to_supervision().confidence is None


def test_supervision_draws_them() -> None:
    supervision = pytest.importorskip("supervision")
    drawn = supervision.MaskAnnotator().annotate(IMAGE.copy(), result().to_supervision())
    assert (drawn[IDS == 2] != 90).any()
    np.testing.assert_array_equal(drawn[IDS == 0], IMAGE[IDS == 0])


def test_a_missing_supervision_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match=r"pip install 'panoptic-deeplab\[supervision\]'$"):
        result().to_supervision()
