"""Files of other programs: scored as the official tools score them, refused in one line."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.evaluation import (
    evalInstanceLevelSemanticLabeling,
    evalPanopticSemanticLabeling,
    evalPixelLevelSemanticLabeling,
)
from PIL import Image
from pycocotools import mask as coco_mask

from panoptic_deeplab.cli import evaluate as evaluate_files
from panoptic_deeplab.cli import val
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.evaluation import (
    evaluate_bdd100k_files,
    evaluate_instance_files,
    evaluate_panoptic_files,
    evaluate_pixel_files,
)
from panoptic_deeplab.formats.bdd100k import BDD100K
from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.formats.images import write_ids
from panoptic_deeplab.formats.prediction_files import FORMATS, Bdd100kPredictions, CocoPredictions
from panoptic_deeplab.structures import Category, DatasetInfo

# ---------------------------------------------------------------- COCO panoptic form

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


@pytest.mark.parametrize(("area", "iou"), [(4, 16 / 4), (20.5, 16 / 20.5)])
def test_the_annotated_area_is_the_jsons_even_if_it_is_wrong(case, area, iou):
    case.gt["annotations"][0]["segments_info"][0]["area"] = area  # the union: 16 + area - 16
    assert case.score() == case.official()
    assert case.score()["per_class"][ROAD]["sq"] == iou


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


def change_entry(side, **changes):
    return lambda case: getattr(case, side)["annotations"][0].update(changes)


def change_segment(side, **changes):
    return lambda case: getattr(case, side)["annotations"][0]["segments_info"][0].update(changes)


def save(side, image):
    return lambda case: image.save(case.files[3 if side == "pred" else 1] / "a.png")


def link_outside(case):
    write_ids(case.folder / "outside.png", TRUTH_IDS)
    (case.files[3] / "a.png").unlink()
    (case.files[3] / "a.png").symlink_to(case.folder / "outside.png")


GREY = Image.fromarray(TRUTH_IDS.astype(np.uint8))
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
        (link_outside, "image a: file name 'a.png' points outside"),
        (
            change_entry("pred", segments_info=None),
            "image a: expected a list under 'segments_info'",
        ),
        (change_entry("gt", segments_info=[3]), "image a: expected an entry with a whole number"),
        (change_segment("gt", area=None), "a number 'area'"),
        (change_segment("gt", area=float("nan")), "a number 'area'"),
        (lambda case: case.gt["categories"].append({"id": "7", "isthing": 0}), "number 'id'"),
        (change_segment("gt", id=0), "segment id 0 means void and cannot be annotated"),
        (change_segment("pred", id=1.5), "whole number 'id'"),
        (change_segment("pred", id=float("inf")), "whole number 'id'"),
        (change_segment("pred", id=10**30), "whole number 'id'"),
        (change_segment("pred", category_id=99), "segment 7 has unknown category_id 99"),
        (save("pred", GREY), "a.png: expected an RGB panoptic PNG"),
        (save("pred", GREY.convert("P")), "a.png: expected an RGB panoptic PNG"),
        (save("gt", GREY.convert("LA")), "a.png: expected an RGB panoptic PNG"),
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


# ---------------------------------------------------------------- Cityscapes' files

IMAGE = "aachen_000000_000019"


class CityscapesCase:
    """One image: a road, a car of 200 pixels, another in a group of cars, and void."""

    def __init__(self, folder: Path) -> None:
        self.gt, self.pred = folder / "gt" / "val" / "aachen", folder / "pred"
        (self.pred / "masks").mkdir(parents=True)
        self.gt.mkdir(parents=True)
        self.instances = np.full((20, 40), 7, np.uint16)
        self.instances[:, 20:30], self.instances[:, 30:35], self.instances[:, 35:] = 26001, 26, 3
        self.labels = np.where(self.instances > 1000, 26, self.instances).astype(np.uint8)
        self.lines = []
        self.write()

    def write(self):
        Image.fromarray(self.instances).save(self.gt / f"{IMAGE}_gtFine_instanceIds.png")
        Image.fromarray(self.labels).save(self.gt / f"{IMAGE}_gtFine_labelIds.png")

    def predict(self, image, folder=""):
        (self.pred / folder).mkdir(exist_ok=True)
        image.save(self.pred / folder / f"{IMAGE}_pred.png")

    def add_mask(self, mask, label=26, score=0.9):
        image = mask if isinstance(mask, Image.Image) else Image.fromarray(mask.astype(np.uint8))
        name = f"masks/{len(self.lines)}.png"
        image.save(self.pred / name)
        self.lines.append(f"{name} {label} {score}\n")

    def score_instances(self, text=None):
        (self.pred / f"{IMAGE}.txt").write_bytes((text or "".join(self.lines)).encode())
        return evaluate_instance_files(self.gt.parents[1], self.pred)

    def score_pixels(self):
        return evaluate_pixel_files(self.gt.parents[1], self.pred)


@pytest.fixture
def city(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # cityscapesscripts leaves matches.json where it runs
    return CityscapesCase(tmp_path)


def official_pixels(city):
    args = copy.copy(evalPixelLevelSemanticLabeling.args)
    args.quiet, args.JSONOutput = True, False
    predicted = [str(path) for path in city.pred.rglob(f"{IMAGE}*.png")]
    truth = [str(city.gt / f"{IMAGE}_gtFine_labelIds.png")]
    return evalPixelLevelSemanticLabeling.evaluateImgLists(predicted, truth, args)


def official_instances(city):
    args = copy.copy(evalInstanceLevelSemanticLabeling.args)
    args.quiet, args.JSONOutput, args.predictionPath = True, False, str(city.pred)
    args.gtInstancesFile = str(city.pred / "instances.json")
    truth = [str(city.gt / f"{IMAGE}_gtFine_instanceIds.png")]
    with contextlib.suppress(FileNotFoundError):
        os.remove(args.gtInstancesFile)
    results = evalInstanceLevelSemanticLabeling.evaluateImgLists(
        [str(city.pred / f"{IMAGE}.txt")], truth, args
    )
    return results["averages"]


def check_pixels(results, expected):
    for key in ("classScores", "classInstScores", "categoryScores", "categoryInstScores"):
        assert results[key] == pytest.approx(expected[key], nan_ok=True), key
    for key in ("Classes", "Categories", "InstClasses", "InstCategories"):
        name = f"averageScore{key}"
        assert results[name] == pytest.approx(expected[name], nan_ok=True), name


@pytest.mark.parametrize(
    "encode",
    [
        Image.fromarray,
        lambda labels: Image.fromarray(labels.astype(np.uint16)),
        lambda labels: Image.fromarray(labels.astype(np.int32)),
        lambda labels: _with_palette(labels),
        lambda labels: Image.fromarray(labels > 7),  # of 1 bit: unlabeled and ego vehicle
    ],
    ids=["gray", "16 bits", "32 bits", "palette", "1 bit"],
)
def test_pixel_files_of_any_kind_with_one_channel(city, encode):
    predicted = np.roll(city.labels, 3, axis=1)
    predicted[:2] = 24
    city.predict(encode(predicted), folder="nested")
    results = city.score_pixels()
    check_pixels(results, official_pixels(city))
    assert len(results["classScores"]) == 34


def _with_palette(labels):
    image = Image.fromarray(labels, "P")
    image.putpalette([255 - value // 3 for value in range(768)])
    return image


@pytest.mark.parametrize("seed", range(3))
def test_random_pixel_files_agree_with_cityscapesscripts(city, seed):
    rng = np.random.default_rng(seed)
    ids = np.array([0, 3, 7, 23, 24, 26, 29, 33, 24001, 25003, 26000, 29001, 33002])
    city.instances = np.kron(rng.choice(ids, (4, 8)), np.ones((5, 5))).astype(np.uint16)
    city.labels = np.where(city.instances > 999, city.instances // 1000, city.instances)
    city.labels = city.labels.astype(np.uint8)
    city.write()
    noise = rng.integers(0, 34, city.labels.shape)
    city.predict(
        Image.fromarray(
            np.where(rng.random(noise.shape) < 0.3, noise, city.labels).astype(np.uint8)
        )
    )
    check_pixels(city.score_pixels(), official_pixels(city))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.labels.__setitem__((1, 2), 34), "34 at pixel (y 1, x 2) is no label id"),
        (lambda c: c.instances.__setitem__((1, 2), 50000), "instanceIds.png: id 50000 is no insta"),
        (lambda c: c.instances.__setitem__((1, 2), 7001), "label 7 (road) has none"),
        (lambda c: setattr(c, "instances", c.instances[1:]), "the annotation is 19x40"),
        (lambda c: setattr(c, "labels", c.labels[:1]), "the annotation is 1x40"),
    ],
)
def test_annotations_that_make_no_sense_are_refused(city, change, message):
    city.predict(Image.fromarray(city.labels))
    change(city)
    city.write()
    with pytest.raises(DataError) as error:
        city.score_pixels()
    assert message in str(error.value)


CAR_MASK = np.zeros((20, 40), bool)
CAR_MASK[:, 20:30] = True
GROUP_MASK = np.roll(CAR_MASK, 10, axis=1)  # half on the group of cars, half on void


@pytest.mark.parametrize(
    "mask",
    [
        CAR_MASK,
        CAR_MASK.astype(np.uint8) * 200,
        Image.fromarray(CAR_MASK),
        Image.fromarray(CAR_MASK.astype(np.uint16) * 65535),
        Image.fromarray(CAR_MASK.astype(np.int32) * 300),
        Image.fromarray(CAR_MASK.astype(np.uint8) * 9).convert("RGBA"),
        Image.fromarray(CAR_MASK.astype(np.uint8) * 9).convert("LA"),
        _with_palette(CAR_MASK.astype(np.uint8)),  # both colors bright: all pixels belong to it
    ],
    ids=["1", "200", "1 bit", "16 bits", "32 bits", "RGBA", "LA", "palette"],
)
def test_masks_of_any_kind(city, mask):
    city.add_mask(mask)
    city.add_mask(GROUP_MASK, score=0.95)  # ignored
    results, official = city.score_instances(), official_instances(city)
    assert results["allAp"] == pytest.approx(official["allAp"])
    assert results["classes"]["car"]["ap50%"] == pytest.approx(official["classes"]["car"]["ap50%"])


def test_the_keys_of_the_instance_results(city):
    city.add_mask(CAR_MASK)
    results = city.score_instances()
    assert results["allAp"] == results["allAp50"] == results["allAp50%"] == results["ap50"] == 1
    assert results["classes"]["car"] == {"ap": 1, "ap50": 1, "ap50%": 1}
    assert list(results["classes"]) == list(results["per_class"])


@pytest.mark.parametrize(
    ("text", "ap50"),
    [
        ("masks/0.png 26 0.9\n", 1),
        ("masks/0.png 26 0.9", 1),
        ("masks/0.png 26.0 0.9\r\nmasks/0.png 26 0.8\r\n", 1),  # the same mask: the last counts
        ("masks/0.png 26 0.9\nmasks/../masks/0.png 24 0.8\n", 0),  # the same mask, as a person
        ("masks/0.png 26 -3e2\n", 1),
        ("masks/0.png 26 0.9\nmasks/none.png 7 0.9\nmasks/none.png -1 0.9\n", 1),  # not opened
    ],
)
def test_lists_as_the_official_tool_reads_them(city, text, ap50):
    city.add_mask(CAR_MASK)
    assert city.score_instances(text)["classes"]["car"]["ap50"] == ap50
    assert official_instances(city)["classes"]["car"]["ap50%"] == ap50


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("masks/0.png 26 0.9\n\n", "line 2: expected 'mask labelId score', got ''"),
        ("masks/0.png\t26\t0.9\n", "line 1: expected 'mask labelId score'"),
        ("masks/0.png  26 0.9\n", "line 1: expected"),
        ("masks/0.png 26\n", "line 1: expected"),
        ("masks/0.png car 0.9\n", "line 1: expected"),
        ("masks/0.png 26 nan\n", "the score nan is not a number"),
        ("masks/0.png 99 0.9\n", "label id 99 does not exist"),
        ("masks/0.png 1e999 0.9\n", "line 1: expected"),
        ("/etc/passwd 26 0.9\n", "line 1: file name '/etc/passwd' points outside"),
        ("../gt/val/aachen/x.png 26 0.9\n", "line 1: file name"),
        ("../pred2/0.png 7 0.9\n", "line 1: file name"),  # beginning as the folder does
        ("masks/link.png 26 0.9\n", "line 1: file name 'masks/link.png' points outside"),
        ("masks 26 0.9\n", "expected a file, got a folder"),
        ("masks/0.png 26 0.9\ud800\n", "line 1: expected"),
    ],
)
def test_lists_that_are_refused(city, text, message):
    city.add_mask(CAR_MASK)
    (city.pred / "masks" / "link.png").symlink_to(city.gt / f"{IMAGE}_gtFine_labelIds.png")
    with pytest.raises(DataError) as error:
        city.score_instances(text.replace("\ud800", "\N{SNOWMAN}"))
    assert message in str(error.value)


def test_a_mask_that_would_broadcast_is_refused(city):
    city.add_mask(CAR_MASK[:1])
    with pytest.raises(DataError, match=r"0\.png: the prediction is 1x40 but .* is 20x40"):
        city.score_instances()


@pytest.mark.parametrize("seed", range(3))
def test_random_instance_files_agree_with_cityscapesscripts(city, seed):
    rng = np.random.default_rng(seed)
    ids = np.array([0, 3, 7, 24, 26, 29, 24001, 26000, 26001, 26002, 29001, 1000])
    city.instances = np.kron(rng.choice(ids, (4, 6)), np.ones((12, 12))).astype(np.uint16)
    city.write()
    for _ in range(25):
        value = rng.choice(city.instances.ravel())
        mask = np.roll(city.instances == value, rng.integers(-4, 5, 2), (0, 1))
        mask &= rng.random(mask.shape) < rng.choice([0.3, 0.8, 1])
        city.add_mask(mask, rng.choice([24, 26, 26, 29]), rng.integers(0, 6) / 5)
    results, official = city.score_instances(), official_instances(city)
    assert results["allAp"] == pytest.approx(official["allAp"], abs=1e-12)
    for name, entry in official["classes"].items():
        assert results["classes"][name]["ap"] == pytest.approx(entry["ap"], abs=1e-12, nan_ok=True)


# ---------------------------------------------------------------- BDD100K

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
            # One hit of IoU 3/4, one false alarm: 75 / 1.5
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
    write_bitmask(tmp_path / "pred" / "b.png", [[(BUILDING, 0, 10)]])  # outside: no false alarm
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


# ---------------------------------------------------------------- the command lines


@pytest.fixture
def truth_as_predictions(scenes, tmp_path):
    """A folder as predict.py writes one, holding the annotations of the validation scenes."""
    gt = scenes / "gtFine" / "cityscapes_panoptic_val_trainId.json"
    content = json.loads(gt.read_text())
    for annotation in content["annotations"]:
        ids = np.asarray(Image.open(gt.with_suffix("") / annotation["file_name"]))
        (tmp_path / "panoptic").mkdir(exist_ok=True)
        Image.fromarray(ids).save(tmp_path / "panoptic" / f"{annotation['image_id']}.png")
        city = annotation["image_id"].split("_")[0]
        annotation["file_name"] = f"{annotation['image_id']}.png"
        annotation["image_id"] = f"{city}/{annotation['image_id']}_leftImg8bit"
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    return tmp_path


def run_val(config, predictions, *more):
    flags = ["--config", str(config), "--device", "cpu", "--predictions", str(predictions)]
    return val.main([*flags, *more])


def test_val_scores_predictions_in_files(tiny_config, truth_as_predictions, capsys):
    folder = truth_as_predictions
    flags = ["--json", str(folder / "results.json"), "--num_workers", "2"]
    assert run_val(tiny_config, folder, *flags) == 0
    results = json.loads((folder / "results.json").read_text())
    assert results["All"]["pq"] == results["miou"] == results["ap"] == 1
    assert results["evaluated"]["predictions"] == str(folder)
    assert results["evaluated"]["model_path"] is None
    assert "road" in capsys.readouterr().out


def renumbered(content):
    """Category ids of another program, told by its categories' names."""
    for entry in content["categories"]:
        entry["id"] += 100
    for annotation in content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["category_id"] += 100


def without_categories(content):
    del content["categories"]


@pytest.mark.parametrize("change", [renumbered, without_categories])
def test_category_ids_go_by_name_or_are_the_data_sets(tiny_config, truth_as_predictions, change):
    path = truth_as_predictions / "panoptic.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    flags = ["--json", str(truth_as_predictions / "results.json")]
    assert run_val(tiny_config, path, *flags) == 0
    assert json.loads((truth_as_predictions / "results.json").read_text())["All"]["pq"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"].pop(), "there is no prediction for"),
        (lambda c: c.update(annotations=[{}]), "panoptic.json: expected an annotation"),
        (lambda c: c["annotations"][0].update(file_name="../x.png"), "points outside"),
        (lambda c: c["annotations"][0]["segments_info"].pop(), "none of its"),
        (
            lambda c: c["annotations"][0]["segments_info"][0].update(category_id=77),
            "has category_id 77, which is no class of Cityscapes",
        ),
        (lambda c: c.update(categories=[{"id": 1, "name": "raod"}]), 'did you mean "road"?'),
        (lambda c: c.update(categories=[3]), "expected a category {id, name}"),
    ],
)
def test_val_refuses_predictions_in_one_line(
    tiny_config, truth_as_predictions, change, message, capsys
):
    path = truth_as_predictions / "panoptic.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    assert run_val(tiny_config, truth_as_predictions) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


def test_predictions_of_another_size_are_told_with_their_image(
    tiny_config, truth_as_predictions, capsys
):
    png = min((truth_as_predictions / "panoptic").iterdir())
    Image.open(png).crop((0, 0, 127, 64)).save(png)
    assert run_val(tiny_config, truth_as_predictions) == 1
    assert f"image {png.stem}: the prediction is 64x127 but" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--oracle", "semantic"], "leave out --oracle"),
        (["--threshold", "0"], "leave out"),
        (["--model_path", "x"], "not allowed with argument"),
        (["--json", "/nowhere/x.json"], "expected a file in a folder that exists"),
    ],
)
def test_flags_of_a_model_do_not_go_with_predictions(tiny_config, tmp_path, flags, message, capsys):
    try:
        code = run_val(tiny_config, tmp_path, *flags)
    except SystemExit as end:  # argparse's own
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err


INFO = DatasetInfo("tiny", (Category("road", False, (1, 2, 3), 7),))


@pytest.mark.parametrize(
    ("image_id", "file_name", "found"),
    [
        (139, "x.png", True),  # the id as a number
        ("val/000139", "x.png", False),  # another name
        ("val/139", "x.png", True),  # the id behind folders
        ("x", "image.png", True),  # the image's name
        ("x", "y.png", False),
    ],
)
def test_an_image_is_found_by_its_id_or_by_a_name(tmp_path, image_id, file_name, found):
    entry = {"image_id": image_id, "file_name": file_name, "segments_info": []}
    (tmp_path / "a.json").write_text(json.dumps({"annotations": [entry]}))
    predictions = CocoPredictions(tmp_path, INFO)
    missing = predictions.missing([("139", Path("image.jpg"))])
    assert missing == ([] if found else ["139"])


def test_a_name_that_two_images_share_finds_none(tmp_path):
    entries = [
        {"image_id": f"{folder}/a", "file_name": f"{folder}/a.png", "segments_info": []}
        for folder in ("x", "y")
    ]
    (tmp_path / "a.json").write_text(json.dumps({"annotations": entries}))
    assert CocoPredictions(tmp_path, INFO).missing([("a", Path("a.jpg"))]) == ["a"]


def test_bitmasks_as_predictions(tmp_path):
    write_bitmask(tmp_path / "deep" / "a.png", [[(BDD_CAR, 0, 300), (77, 0, 5), (0, 0, 0)]])
    predictions = Bdd100kPredictions(tmp_path, BDD100K)
    assert predictions.missing([("x", Path("a.jpg")), ("y", Path("b.jpg"))]) == ["y"]
    prediction = predictions.read("x", Path("a.jpg"))
    assert prediction.ids.tolist() == [[300, 0, 0]]  # what is of no class is void
    assert [BDD100K.categories[s.category].name for s in prediction.segments] == ["car"]
    with pytest.raises(UsageError, match="tiny has no class 'dynamic'"):
        Bdd100kPredictions(tmp_path, INFO)
    with pytest.raises(DataError, match="no bitmask"):
        Bdd100kPredictions(tmp_path / "none", BDD100K)


@pytest.mark.parametrize("format_name", ["coco", "cityscapes"])
def test_label_ids_are_cityscapes_where_no_name_tells(tmp_path, format_name):
    # 7 is the road's label id, and the train id of a traffic sign.
    segment = {"id": 1, "category_id": 7, "score": 0.25}
    entry = {"image_id": "a", "file_name": "a.png", "segments_info": [segment]}
    (tmp_path / "panoptic.json").write_text(json.dumps({"annotations": [entry]}))
    write_ids(tmp_path / "panoptic" / "a.png", np.ones((2, 2), np.int32))
    (found,) = FORMATS[format_name](tmp_path, CITYSCAPES).read("a", Path("a.png")).segments
    name = {"coco": "traffic sign", "cityscapes": "road"}[format_name]
    assert (CITYSCAPES.categories[found.category].name, found.score) == (name, 0.25)


@pytest.mark.parametrize("names", [[], ["a.json", "b.json"]])
def test_a_folder_needs_one_json(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match=rf"expected panoptic\.json .* got {len(names)}"):
        CocoPredictions(tmp_path, INFO)
    with pytest.raises(DataError, match="no such file or folder"):
        CocoPredictions(tmp_path / "none", INFO)


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
