"""Bitmasks and Scalabel JSON score by the rules of BDD100K, or are refused in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation import (
    evaluate_bdd100k_files,
)

BUILDING, BDD_CAR = 10, 35  # the official numbers of two classes
LEFT = np.zeros((4, 8), bool)
LEFT[:, :4] = True


def rle(mask, as_list=False):
    """Run lengths down the columns."""
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    counts = encoded["counts"].decode()
    if as_list:
        column = np.concatenate([[False], mask.ravel("F")]).astype(int)
        starts = np.flatnonzero(np.diff(column))
        counts = np.diff([0, *starts, mask.size]).tolist()
    return {"counts": counts, "size": list(mask.shape)}


def label(mask, category="car", number="1", **more):
    return {"id": number, "category": category, "rle": rle(mask)} | more


class ScalabelCase:
    """A frame: a car on the left, a building on the right, predicted as they are."""

    def __init__(self, folder: Path) -> None:
        self.gt, self.pred = folder / "gt.json", folder / "pred.json"
        self.truth = [label(LEFT, number="a"), label(~LEFT, "building", "b")]
        self.labels = [label(LEFT), label(~LEFT, "building", "2")]

    def score(self, gt=None, pred=None):
        self.gt.write_text(json.dumps(gt or [{"name": "a.jpg", "labels": self.truth}]))
        self.pred.write_text(json.dumps(pred or [{"name": "a.jpg", "labels": self.labels}]))
        results = evaluate_bdd100k_files(self.gt, self.pred)
        names = ("car", "building", "person")
        return {name: results["PQ"]["per_class"][name] for name in names} | {
            "n": results["NUM"]["OVERALL"]
        }


@pytest.fixture
def frame(tmp_path):
    return ScalabelCase(tmp_path)


PERFECT = {"car": 100, "building": 100, "person": 0, "n": 2}
NOTHING = {"car": 0, "building": 0, "person": 0, "n": 2}
QUARTER = LEFT.copy()
QUARTER[:, 1:] = False
CORNERS = [[0, 0], [4, 0], [4, 4], [0, 4]]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: None, PERFECT),
        (lambda f: f.labels.clear(), NOTHING),
        (lambda f: f.labels[0].update(rle=rle(LEFT, as_list=True)), PERFECT),
        # Overlapping masks drop the whole frame, before anyone looks at the ids.
        (lambda f: f.labels.append(label(QUARTER, "person", "no number")), NOTHING),
        (
            lambda f: f.labels.append(label(LEFT, "person", "3", attributes={"crowd": True})),
            NOTHING,
        ),
        # What covers nothing, is of no class, or has no mask, is as good as not there.
        (lambda f: f.labels.append(label(LEFT & ~LEFT, "person", "3")), PERFECT),
        (lambda f: f.labels.append(label(LEFT, "unicorn", "no number")), PERFECT),
        (lambda f: f.labels.append({"id": "no number", "category": "car"}), PERFECT),
        # The parts of stuff are one segment, those of things are not: IoU .25 and .75.
        (
            lambda f: f.labels.__setitem__(
                slice(1, 2),
                [label(~LEFT & (np.arange(8) == k), "building", str(k)) for k in range(4, 8)],
            ),
            PERFECT,
        ),
        (
            lambda f: f.labels.__setitem__(
                slice(0, 1), [label(QUARTER), label(LEFT & ~QUARTER, number="3")]
            ),
            # One hit of IoU 3/4, one false positive: 75 / 1.5
            PERFECT | {"car": 50},
        ),
        # A crowd is neither to be found nor a hit.
        (lambda f: f.truth[0].update(attributes={"crowd": True}), PERFECT | {"car": 0, "n": 1}),
        (lambda f: f.truth[0].update(attributes={"ignored": 1}), PERFECT | {"car": 0, "n": 1}),
        (lambda f: f.truth[0].update(attributes={"crowd": "false"}), PERFECT),
        (lambda f: f.labels[0].update(attributes={"crowd": True}), PERFECT | {"car": 0}),
        # Nothing is annotated: nobody is wrong.
        (lambda f: f.truth.clear(), NOTHING | {"n": 0}),
        # An annotated mask without a pixel cannot be found.
        (lambda f: f.truth.append(label(LEFT & ~LEFT, "person")), PERFECT | {"n": 3}),
        (
            lambda f: f.truth.__setitem__(
                0,
                {"id": "a", "category": "car", "poly2d": [{"vertices": CORNERS, "types": "LLLL"}]},
            ),
            PERFECT,
        ),
    ],
)
def test_scalabel_frames_by_hand(frame, change, expected):
    change(frame)
    assert frame.score() == pytest.approx(expected)


def test_void_stays_in_the_union_of_scalabel_frames(frame):
    # The car's right half is annotated as nothing: IoU 1/2 is no match, and exactly half of it
    # lies outside what is annotated, which does not pardon.
    frame.truth[0] = label(LEFT & (np.arange(8) < 2))
    assert frame.score() == pytest.approx(PERFECT | {"car": 0})


def test_frames_are_paired_by_video_where_names_are_not_enough(frame):
    names = [("v1", "a.jpg"), ("v2", "a.jpg")]
    gt = [{"name": name, "videoName": video, "labels": frame.truth} for video, name in names]
    pred = [
        {"name": "a.jpg", "videoName": "v2", "labels": []},
        {"name": "a.jpg", "videoName": "v1", "labels": frame.labels},
    ]
    half = {"car": 100 / 1.5, "building": 100 / 1.5, "person": 0, "n": 2}  # one found, one missed
    assert frame.score(gt, pred) == pytest.approx(half)
    for entry in pred:  # of two predictions for a name the last counts
        del entry["videoName"]
    assert frame.score(gt, pred) == pytest.approx(PERFECT)


def test_a_data_set_object_a_folder_and_an_image_not_predicted(frame, tmp_path):
    content = {"config": {"categories": []}, "groups": None}
    frames = [{"name": "a.jpg", "labels": frame.truth}, {"name": "b.jpg", "labels": None}]
    assert frame.score({"frames": frames} | content) == pytest.approx(PERFECT)
    (tmp_path / "folder").mkdir()
    os.rename(frame.gt, tmp_path / "folder" / "1.json")
    results = evaluate_bdd100k_files(tmp_path / "folder", frame.pred)
    assert results["PQ"]["per_class"]["car"] == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.labels[0].update(id="a-1"), "pred.json: frame a.jpg: label 'a-1'"),
        (lambda f: f.labels[0].pop("id"), "pred.json: expected a frame"),
        (lambda f: f.labels.append(3), "pred.json: expected a frame"),
        (lambda f: f.labels[0].update(rle={"counts": "5"}), "label 1: its mask cannot be decoded"),
        (lambda f: f.labels[0].update(rle={"counts": "", "size": [4, 8]}), "cannot be decoded"),
        (
            lambda f: f.labels[0].update(rle={"counts": "5", "size": [1 << 20, 1 << 20]}),
            "cannot be decoded",
        ),
        (lambda f: f.labels[0].update(rle=rle(LEFT[:2])), "its mask is 2x8, the frame's first"),
        (lambda f: f.truth[1].update(rle=rle(LEFT.T)), "gt.json: frame a.jpg: label b: its mask"),
        (
            lambda f: f.labels.__setitem__(0, {"id": "1", "category": "car", "poly2d": []}),
            "label 1: a prediction has to be a mask (rle), no polygon",
        ),
    ],
)
def test_scalabel_frames_that_are_refused(frame, change, message):
    change(frame)
    with pytest.raises(DataError) as error:
        frame.score()
    assert message in str(error.value)


def write_bitmask(path, rows):
    """An RGBA image of (category, attributes, instance) triples."""
    values = np.array(rows)
    category, attributes, instance = np.moveaxis(values, -1, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    rgba = np.stack([category, attributes, instance >> 8, instance & 255], axis=-1)
    Image.fromarray(rgba.astype(np.uint8)).save(path)


ROWS = [[(BDD_CAR, 0, 300), (BDD_CAR, 0, 300), (BUILDING, 0, 10), (0, 0, 0)]]


def score_bitmasks(folder):
    results = evaluate_bdd100k_files(folder / "gt", folder / "pred")["PQ"]["per_class"]
    return results["car"], results["building"]


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        (ROWS, (100, 100)),
        ([[(0, 0, 0)] * 4], (0, 0)),  # an empty prediction: the official tool crashes
        ([[(BDD_CAR, 0b10, 300)] * 2 + [(BDD_CAR, 0, 10), (0, 0, 0)]], (0, 0)),  # a crowd
        ([[(BDD_CAR, 0b1100, 9)] * 2 + [(BUILDING, 0, 10)] * 2], (100, 0)),  # half on void
    ],
)
def test_bitmasks_by_hand(tmp_path, predicted, expected):
    write_bitmask(tmp_path / "gt" / "deep" / "er" / "a.png", ROWS)
    write_bitmask(tmp_path / "pred" / "other" / "a.png", predicted)
    assert score_bitmasks(tmp_path) == pytest.approx(expected)


def test_more_than_a_hundred_segments_and_nothing_annotated(tmp_path):
    rows = [[(BDD_CAR, 0, 1000 + k) for k in range(101)]]
    write_bitmask(tmp_path / "gt" / "a.png", rows)
    write_bitmask(tmp_path / "pred" / "a.png", rows)
    write_bitmask(tmp_path / "gt" / "b.png", [[(0, 0, 0)]])
    write_bitmask(tmp_path / "pred" / "b.png", [[(BUILDING, 0, 10)]])  # outside: no false positive
    assert score_bitmasks(tmp_path) == (100, 0)


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        ([[(BDD_CAR, 0, 9), (BUILDING, 0, 9), (0, 0, 0), (0, 0, 0)]], "instance 9 has several"),
        ([[(BDD_CAR, 0, 9), (BDD_CAR, 1, 9), (0, 0, 0), (0, 0, 0)]], "instance 9 has several"),
        ([[(BDD_CAR, 0, 9)]], "a.png: the prediction is 1x1 but the annotation is 1x4"),
    ],
)
def test_bitmasks_that_are_refused(tmp_path, predicted, message):
    write_bitmask(tmp_path / "gt" / "a.png", ROWS)
    write_bitmask(tmp_path / "pred" / "a.png", predicted)
    with pytest.raises(DataError) as error:
        score_bitmasks(tmp_path)
    assert message in str(error.value)


def test_folders_without_a_prediction_are_refused(tmp_path):
    write_bitmask(tmp_path / "gt" / "a.png", ROWS)
    with pytest.raises(DataError, match="pred: no such file or folder"):
        score_bitmasks(tmp_path)
    (tmp_path / "pred").mkdir()
    with pytest.raises(DataError, match=r"pred: no file \*\.png lies below"):
        score_bitmasks(tmp_path)
    (tmp_path / "gt.json").write_text("[]")
    with pytest.raises(DataError, match=r"gt\.json: there is no frame"):
        evaluate_bdd100k_files(tmp_path / "gt.json", tmp_path / "gt.json")


@pytest.mark.parametrize("gt", ["gt", "gt.json"])
@pytest.mark.parametrize("pred", ["pred", "pred.json"])
def test_bitmasks_and_json_score_each_other(tmp_path, gt, pred):
    """A car of two pixels, found in three, and a building: IoU 2/3 and 1/2 (no match)."""
    annotated = ([True, True, False, False], [False, False, True, True])
    predicted = ([True, True, True, False], [False, False, False, True])
    for name, masks in (("gt", annotated), ("pred", predicted)):
        car, building = (np.array([mask]) for mask in masks)
        rows = np.where(car[..., np.newaxis], (BDD_CAR, 0, 300), (BUILDING, 0, 10))
        write_bitmask(tmp_path / name / "a.png", rows)
        labels = [label(car), label(building, "building", "2")]
        frames = [{"name": "a.jpg", "labels": labels}]
        (tmp_path / f"{name}.json").write_text(json.dumps(frames))
    scores = evaluate_bdd100k_files(tmp_path / gt, tmp_path / pred)["PQ"]["per_class"]
    assert (scores["car"], scores["building"]) == pytest.approx((200 / 3, 0))


@pytest.mark.parametrize(("gt", "pred"), [("gt", "pred.json"), ("gt.json", "pred")])
def test_bitmasks_and_json_of_different_sizes(tmp_path, gt, pred):
    for name, columns in (("gt", 4), ("pred", 5)):
        write_bitmask(tmp_path / name / "a.png", [[(BDD_CAR, 0, 31)] * columns])
        frames = [{"name": "a.jpg", "labels": [label(np.ones((1, columns), bool))]}]
        (tmp_path / f"{name}.json").write_text(json.dumps(frames))
    with pytest.raises(DataError, match=r"(1x5|5x1).*1x4"):
        evaluate_bdd100k_files(tmp_path / gt, tmp_path / pred)
