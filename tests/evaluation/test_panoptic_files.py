"""Files in COCO panoptic form score as panopticapi scores them, or are refused in one line."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.evaluation import (
    evalPanopticSemanticLabeling,
)
from PIL import Image

from panoptic_deeplab.cli import evaluate as evaluate_files
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation import (
    evaluate_panoptic_files,
)
from panoptic_deeplab.formats.images import write_ids

ROAD, SKY, CAR, PERSON = 7, 23, 26, 24
CATEGORIES = [{"id": ROAD, "isthing": 0}, {"id": SKY, "isthing": 0}, {"id": CAR, "isthing": 1}]
TRUTH_IDS = np.repeat([[7, 7, 7, 7, 26001, 26001, 0, 0]], 4, axis=0)
TRUTH = [
    {"id": 7, "category_id": ROAD, "area": 16, "iscrowd": 0},
    {"id": 26001, "category_id": CAR, "area": 8, "iscrowd": 0},
]
PREDICTION = [{"id": 7, "category_id": ROAD}, {"id": 26001, "category_id": CAR}]


class PanopticCase:
    """One image, predicted as it is annotated, for a test to change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = [folder / name for name in ("gt.json", "gt", "pred.json", "pred")]
        write_ids(folder / "gt" / "a.png", TRUTH_IDS)
        write_ids(folder / "pred" / "a.png", TRUTH_IDS)
        self.gt = {"annotations": [self.entry(TRUTH)], "categories": list(CATEGORIES)}
        self.pred = {"annotations": [self.entry(PREDICTION)]}

    @staticmethod
    def entry(segments, **changes):
        return {"image_id": "a", "file_name": "a.png", "segments_info": copy.deepcopy(segments)} | (
            changes
        )

    def score(self):
        self.files[0].write_text(json.dumps(self.gt))
        self.files[2].write_text(json.dumps(self.pred))
        return evaluate_panoptic_files(*self.files)

    def official(self):
        """What cityscapesscripts says of the same files."""
        categories = {entry["id"]: entry for entry in self.gt["categories"]}
        predictions = {entry["image_id"]: entry for entry in self.pred["annotations"]}
        pairs = [(e, predictions[e["image_id"]]) for e in copy.deepcopy(self.gt["annotations"])]
        with contextlib.redirect_stdout(io.StringIO()):
            stat = evalPanopticSemanticLabeling.pq_compute_single_core(
                0, copy.deepcopy(pairs), str(self.files[1]), str(self.files[3]), categories
            )
        return evalPanopticSemanticLabeling.average_pq(stat, categories)


def change_entry(side, **changes):
    return lambda case: getattr(case, side)["annotations"][0].update(changes)


def change_segment(side, **changes):
    return lambda case: getattr(case, side)["annotations"][0]["segments_info"][0].update(changes)


@pytest.fixture
def case(tmp_path):
    return PanopticCase(tmp_path)


def test_the_annotation_as_prediction_scores_one(case):
    results = case.score()
    assert results["All"] == {"pq": 1, "sq": 1, "rq": 1, "n": 2}
    assert results["per_class"][SKY] == {"pq": 0, "sq": 0, "rq": 0}


def test_an_image_annotated_twice_counts_twice_and_predicted_twice_once(case):
    # Of the two predictions the last counts, which lacks the car: twice a missed car.
    case.gt["annotations"] *= 2
    write_ids(case.files[3] / "b.png", np.where(TRUTH_IDS == 7, 7, 0))
    case.pred["annotations"].append(case.entry(PREDICTION[:1], file_name="b.png"))
    assert case.score() == case.official()
    assert case.score()["All"]["pq"] == 1 / 2


@pytest.mark.parametrize(("area", "iou"), [(16, 1), (20.5, 16 / 20.5)])
def test_the_annotated_area_is_the_jsons_even_if_it_is_wrong(case, area, iou):
    case.gt["annotations"][0]["segments_info"][0]["area"] = area  # the union: 16 + area - 16
    assert case.score() == case.official()
    assert case.score()["per_class"][ROAD]["sq"] == iou


def test_wrong_areas_are_told_once(case, caplog, monkeypatch):
    monkeypatch.setattr("panoptic_deeplab.notices._given", set())
    change_segment("gt", area=16.5)(case)
    case.score()
    assert caplog.messages == [], "a fraction of a pixel is rounding"
    change_segment("gt", area=40)(case)
    case.score()
    case.score()
    (message,) = caplog.messages
    assert message.startswith("annotated segment 7 has area 40, but 16 pixels; PQ goes by")


def test_an_iou_above_1_counts_where_the_score_can_be_true(case):
    """The road scores 16 / 12 in one image and 16 / 32 in the other: 11 / 12 on average."""
    case.gt["annotations"].append(case.entry(TRUTH, image_id="b"))
    case.pred["annotations"].append(case.entry(PREDICTION, image_id="b"))
    for annotation, area in zip(case.gt["annotations"], (12, 31), strict=True):
        annotation["segments_info"][0]["area"] = area
    assert case.score() == case.official()
    assert case.score()["per_class"][ROAD]["sq"] == (16 / 12 + 16 / 31) / 2


def test_no_score_is_above_1(case):
    case.gt["annotations"][0]["segments_info"][0]["area"] = 4
    assert case.official()["All"]["pq"] > 1
    message = r"gt\.json: class 7: the mean IoU of its segments is 4, above 1: .* smaller than"
    with pytest.raises(DataError, match=message):
        case.score()


@pytest.mark.parametrize(
    ("side", "changes"),
    [
        ("gt", {"id": "7", "category_id": "7"}),
        ("gt", {"id": 7.0, "category_id": 7.0, "area": "16"}),
        ("pred", {"id": "7", "category_id": "7"}),
        ("gt", {"iscrowd": False}),
        ("gt", {"iscrowd": None}),
        ("gt", {"iscrowd": "0"}),
    ],
)
def test_numbers_may_be_written_as_other_programs_do(case, side, changes):
    expected = case.score()
    change_segment(side, **changes)(case)
    assert case.score() == expected


@pytest.mark.parametrize("flag", [True, 1.0, "1", "true"])
def test_a_crowd_is_a_crowd_however_it_is_written(case, flag):
    change_segment("gt", iscrowd=flag)(case)
    assert case.score()["All"] == {"pq": 1, "sq": 1, "rq": 1, "n": 1}, "the car alone counts"


def test_things_are_things_and_images_found_however_they_are_written(case):
    expected = case.score()
    case.gt["categories"] = [
        {"id": str(category["id"]), "isthing": is_thing}
        for category, is_thing in zip(CATEGORIES, ("0", False, "true"), strict=True)
    ]
    case.gt["annotations"][0]["image_id"] = 12
    case.pred["annotations"][0]["image_id"] = "12"
    assert case.score() == expected


@pytest.mark.parametrize("absent", [True, False], ids=["absent", "null"])
def test_where_the_json_has_no_area_the_pixels_count(case, absent):
    expected = case.score()
    for segment in case.gt["annotations"][0]["segments_info"]:
        segment["area"] = None
        if absent:
            del segment["area"]
    assert case.score() == expected


def test_files_may_be_links_into_a_store(case):
    for folder in (case.files[1], case.files[3]):
        store = case.folder / f"store of {folder.name}"
        (folder / "a.png").rename(store)
        (folder / "a.png").symlink_to(store)
    assert case.score()["All"]["pq"] == 1


def test_an_unknown_class_of_a_predicted_segment_that_is_listed_again_does_not_matter(case):
    case.pred["annotations"][0]["segments_info"].insert(0, {"id": 7, "category_id": 99})
    assert case.score() == case.official()
    assert case.score()["All"]["pq"] == 1


def test_an_area_of_zero_cannot_be_divided_by(case):
    case.gt["annotations"][0]["segments_info"][0]["area"] = 0
    with pytest.raises(DataError, match=r"image a: annotated segment 7 has area 0 but covers"):
        case.score()


@pytest.mark.parametrize(
    "change",
    [
        lambda case: case.gt["annotations"][0]["segments_info"][1].update(iscrowd=1),
        lambda case: case.gt["annotations"][0]["segments_info"].append(
            {"id": 99, "category_id": CAR, "area": 0, "iscrowd": 0}  # without a pixel: missed
        ),
        lambda case: case.gt["annotations"][0]["segments_info"][1].update(category_id=99),
        lambda case: case.gt["annotations"][0]["segments_info"].pop(0),  # ids of no segment
        lambda case: case.gt["categories"].append({"id": CAR, "isthing": 0}),  # the last counts
        lambda case: case.pred["annotations"].append(case.entry([], image_id="extra")),
        lambda case: case.pred["annotations"][0]["segments_info"].append(PREDICTION[1]),
        lambda case: (
            Image.open(case.files[3] / "a.png").convert("RGBA").save(case.files[3] / "a.png")
        ),
    ],
    ids=[
        "crowd",
        "no pixel",
        "unlisted category",
        "unlisted ids",
        "category twice",
        "extra image",
        "segment twice",
        "RGBA",
    ],
)
def test_oddities_count_as_officially(case, change):
    case.gt["annotations"].append(case.entry(TRUTH, image_id="b"))  # so that no group is empty
    case.pred["annotations"].append(case.entry(PREDICTION, image_id="b"))
    change(case)
    results, expected = case.score(), None
    with contextlib.suppress(ZeroDivisionError):
        expected = case.official()
    assert expected is None or results == expected
    assert (expected is None) == (results["Things"]["n"] == 0)


@pytest.mark.parametrize("seed", range(4))
def test_random_files_agree_with_cityscapesscripts(case, seed):
    rng = np.random.default_rng(seed)
    case.gt["annotations"], case.pred["annotations"] = [], []
    for image in range(3):
        truth = np.kron(rng.integers(0, 8, (4, 5)), np.ones((5, 5), int)) * 9_999_99
        predicted = np.where(rng.random(truth.shape) < 0.2, np.roll(truth, 3, 1), truth)
        for ids, folder, content in (
            (truth, case.files[1], case.gt),
            (predicted, case.files[3], case.pred),
        ):
            segments = [
                {
                    "id": value,
                    "category_id": int(rng.choice([ROAD, SKY, CAR])),
                    "area": max(1, int((ids == value).sum()) + int(rng.integers(-5, 5))),
                    "iscrowd": int(rng.random() < 0.25),
                }
                for value in np.unique(ids[ids > 0]).tolist()
            ]
            rng.shuffle(segments)
            write_ids(folder / f"{image}.png", ids)
            content["annotations"].append(
                case.entry(segments, image_id=image, file_name=f"{image}.png")
            )
        for ours, theirs in zip(
            case.pred["annotations"][-1]["segments_info"],
            case.gt["annotations"][-1]["segments_info"],
            strict=False,
        ):
            ours["category_id"] = theirs["category_id"]
    results, expected = case.score(), case.official()
    for group in ("All", "Things", "Stuff"):
        assert results[group] == pytest.approx(expected[group], abs=1e-12)
    assert results["per_class"] == {k: pytest.approx(v) for k, v in expected["per_class"].items()}


def test_threads_change_nothing(case, capfd):
    case.gt["annotations"] = [case.entry(TRUTH, image_id=number) for number in range(20)]
    case.pred["annotations"] = [case.entry(PREDICTION, image_id=number) for number in range(20)]
    results = case.score()
    assert evaluate_panoptic_files(*case.files, num_workers=3) == results
    assert capfd.readouterr().err == ""
    evaluate_panoptic_files(*case.files, show_progress=True)
    assert "20/20" in capfd.readouterr().err


def test_the_first_wrong_image_is_told_whatever_the_threads(case):
    case.gt["annotations"] = [case.entry(TRUTH, image_id=number) for number in range(40)]
    case.pred["annotations"] = [case.entry(PREDICTION, image_id=number) for number in range(40)]
    for number in (13, 30):
        case.pred["annotations"][number]["file_name"] = f"nope{number}.png"
    case.files[0].write_text(json.dumps(case.gt))
    case.files[2].write_text(json.dumps(case.pred))
    for workers in (0, 3):
        with pytest.raises(DataError, match=r"nope13\.png: no such file"):
            evaluate_panoptic_files(*case.files, num_workers=workers)


def save(side, image):
    return lambda case: image.save(case.files[3 if side == "pred" else 1] / "a.png")


GRAY = Image.fromarray(TRUTH_IDS.astype(np.uint8))
ROW = Image.fromarray(np.repeat(TRUTH_IDS[:1, :, None] & 255, 3, 2).astype(np.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda case: case.gt.pop("annotations"), "gt.json: expected a list under 'annotations'"),
        (lambda case: case.gt.pop("categories"), "gt.json: expected a list under 'categories'"),
        (lambda case: case.gt.update(annotations=[]), "gt.json: 'annotations' lists no image"),
        (lambda case: case.gt.update(categories=[{"id": 1}]), "gt.json: expected 'categories'"),
        (lambda case: case.gt.update(categories=[]), "gt.json: the data set"),
        (lambda case: case.pred.update(annotations=3), "pred.json: expected a list under"),
        (lambda case: case.pred.update(annotations=[3]), "pred.json: expected an annotation"),
        (change_entry("pred", image_id=[]), "pred.json: expected an annotation"),
        (change_entry("pred", image_id="b"), "pred.json: no prediction for image 'a'"),
        (change_entry("pred", file_name=None), "image a: expected a file_name, got None"),
        (change_entry("pred", file_name="../gt/a.png"), "image a: file name '../gt/a.png' points"),
        (change_entry("gt", file_name="/etc/passwd"), "image a: file name '/etc/passwd' points"),
        (change_entry("pred", file_name="a\0.png"), "image a: file name"),
        (change_entry("pred", file_name=""), "expected a file, got a folder"),
        (change_entry("pred", file_name="x" * 9999), "x"),
        (
            change_entry("pred", segments_info=None),
            "image a: expected a list under 'segments_info'",
        ),
        (change_entry("gt", segments_info=[3]), "image a: expected an entry with a whole number"),
        (change_segment("gt", area=float("nan")), "a number 'area'"),
        (lambda case: case.gt["categories"].append({"id": "x", "isthing": 0}), "number 'id'"),
        (lambda case: case.gt["categories"].append({"id": True, "isthing": 0}), "number 'id'"),
        (lambda case: case.gt["categories"].append({"id": 3, "isthing": "no"}), "as 'isthing'"),
        (change_segment("gt", iscrowd=2), "0 or 1 as 'iscrowd'"),
        (change_segment("gt", id=0), "segment id 0 means void and cannot be annotated"),
        (change_segment("pred", id=1.5), "whole number 'id'"),
        (change_segment("pred", id=float("inf")), "whole number 'id'"),
        (change_segment("pred", id=10**30), "whole number 'id'"),
        (change_segment("pred", category_id=99), "segment 7 has unknown category_id 99"),
        (save("pred", GRAY), "a.png: expected an RGB panoptic PNG"),
        (save("pred", GRAY.convert("P")), "a.png: expected an RGB panoptic PNG"),
        (save("gt", GRAY.convert("LA")), "a.png: expected an RGB panoptic PNG"),
        (save("pred", Image.fromarray(TRUTH_IDS.astype(np.uint16))), "expected an RGB panoptic"),
        (save("pred", ROW), "the prediction is 1x8 but the annotation is 4x8"),
        (save("gt", ROW), "the prediction is 4x8 but the annotation is 1x8"),
    ],
)
def test_what_cannot_be_scored_is_refused(case, change, message):
    change(case)
    with pytest.raises(DataError) as error:
        case.score()
    assert message in str(error.value)
    assert str(case.folder) in str(error.value)


def test_the_tool_prints_the_official_numbers(case, capsys):
    case.score()
    gt, _, pred, _ = map(str, case.files)
    output = str(case.folder / "scores.json")
    assert evaluate_files.main(["panoptic", gt, pred, "--json", output]) == 0
    assert ["All / pq", "1.0000"] in [
        line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()
    ]
    assert json.loads(Path(output).read_text())["All"]["n"] == 2
    assert evaluate_files.main(["panoptic", gt, f"{pred}.none"]) == 1
    assert "no such file" in capsys.readouterr().err
    assert evaluate_files.main(["pixel", gt, pred, "--gt_folder", gt]) == 2
