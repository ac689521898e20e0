"""Label and instance files score as cityscapesscripts scores them, or are refused in one line."""

from __future__ import annotations

import contextlib
import copy
import os
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.evaluation import (
    evalInstanceLevelSemanticLabeling,
    evalPixelLevelSemanticLabeling,
)
from PIL import Image

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation import (
    evaluate_instance_files,
    evaluate_pixel_files,
)

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
        ("masks 26 0.9\n", "expected a file, got a folder"),
        ("masks/0.png 26 0.9\ud800\n", "line 1: expected"),
    ],
)
def test_lists_that_are_refused(city, text, message):
    city.add_mask(CAR_MASK)
    with pytest.raises(DataError) as error:
        city.score_instances(text.replace("\ud800", "\N{SNOWMAN}"))
    assert message in str(error.value)


def test_masks_may_be_links_into_a_store(city):
    city.add_mask(CAR_MASK)
    mask = city.pred / "masks" / "0.png"
    mask.rename(city.pred.parent / "4f2c")
    mask.symlink_to(city.pred.parent / "4f2c")
    assert city.score_instances()["classes"]["car"]["ap50"] == 1


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
