"""Results as files: the official tools and our own readers find in them what was predicted."""

from __future__ import annotations

import copy
import csv
import json
import multiprocessing
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cityscapesscripts.evaluation import (
    evalInstanceLevelSemanticLabeling,
    evalPanopticSemanticLabeling,
    evalPixelLevelSemanticLabeling,
)
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from PIL import Image

from panoptic_deeplab.errors import DataError, UserError
from panoptic_deeplab.evaluation import (
    evaluate_bdd100k_files,
    evaluate_panoptic_files,
    evaluate_pixel_files,
)
from panoptic_deeplab.formats.bdd100k import BDD100K, read_bitmask, write_bitmask
from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.formats.kitti import KITTI, read_annotation
from panoptic_deeplab.formats.scalabel import decode_mask, read_frames
from panoptic_deeplab.result import Result
from panoptic_deeplab.results import FORMATS
from panoptic_deeplab.results.coco import image_ids
from panoptic_deeplab.results.folder import FORMS, make_forms, prepared
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.structures import Category, DatasetInfo, PanopticMap, Prediction, Segment

CAR, SKY, PERSON, ROAD = range(4)  # in another order than Cityscapes and BDD100K have them
INFO = DatasetInfo(
    "streets",
    (
        Category("car", True, (0, 0, 142), 70),
        Category("sky", False, (70, 130, 180), 3),
        Category("person", True, (220, 20, 60), 12),
        Category("road", False, (128, 64, 128), 41),
    ),
)
SIZE = (48, 64)
NAMES = ("ulm/ulm_000000_000019", "ulm/ulm_000001_000019")
SCORES = {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6, 5: 0.5}


def street(shift: int) -> Prediction:
    """Sky above road, two cars that touch and a person on it, void on the right."""
    ids = np.zeros(SIZE, np.int32)
    ids[:20], ids[20:] = 2, 1
    ids[22:34, 2 + shift : 14 + shift] = 3  # 12x12, above the 100 pixels that AP asks for
    ids[22:34, 14 + shift : 26 + shift] = 4
    ids[10:40, 40:45] = 5  # in front of the sky too
    ids[:, 58:] = 0
    classes = {1: ROAD, 2: SKY, 3: CAR, 4: CAR, 5: PERSON}
    segments = [
        Segment(i, c, area=int((ids == i).sum()), score=SCORES[i]) for i, c in classes.items()
    ]
    return Prediction(ids, segments)


STREETS = {name: street(4 * i) for i, name in enumerate(NAMES)}
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def write_all(folder: Path, form: str, streets: dict[str, Prediction] = STREETS) -> Path:
    forms = make_forms(folder, INFO, [form])
    folder.mkdir(exist_ok=True)
    with prepared(folder, forms, list(streets)):
        writer = ResultWriter(folder, forms)
        for name, prediction in streets.items():
            writer.write(name, Result(IMAGE, prediction, INFO, f"{name}_leftImg8bit.jpg"))
    return folder


def open_for(folder: Path, info: DatasetInfo, form: str, names: Sequence[str] = ()) -> None:
    with prepared(folder, make_forms(folder, info, [form]), names):
        pass


def test_every_form_is_known_by_name() -> None:
    assert list(FORMS) == list(FORMATS)


# --- COCO ---


def test_coco_is_a_json_beside_the_folder_of_its_pngs(tmp_path: Path) -> None:
    streets = {"val/000000000139": street(0), "val/other": street(4)}
    write_all(tmp_path, "coco", streets)
    content = json.loads((tmp_path / "coco" / "panoptic.json").read_text())
    assert content["categories"] == INFO.to_dict()["categories"]
    assert [image["id"] for image in content["images"]] == [139, "val/other"]
    assert [a["image_id"] for a in content["annotations"]] == [139, "val/other"]
    for annotation, name in zip(content["annotations"], streets, strict=True):
        ids = read_ids(tmp_path / "coco" / "panoptic" / annotation["file_name"])
        np.testing.assert_array_equal(ids, streets[name].ids)
    person = content["annotations"][0]["segments_info"][-1]
    assert person["category_id"] == 12  # the model's own id, not its index
    assert (person["bbox"], person["area"]) == ([40, 10, 5, 30], 150)
    assert (person["isthing"], person["iscrowd"], person["score"]) == (1, 0, 0.5)


@pytest.mark.parametrize("form", ["coco", "cityscapes"])
def test_scores_that_are_nearly_equal_stay_different(tmp_path: Path, form: str) -> None:
    # A sure network's scores differ in the seventh digit, and AP goes by their order.
    scores = {3: np.float32(0.99999994), 4: np.float32(0.9999999)}
    prediction = street(0)
    segments = [replace(s, score=scores.get(s.id, s.score)) for s in prediction.segments]
    write_all(tmp_path, form, {NAMES[0]: Prediction(prediction.ids, segments)})
    content = json.loads((tmp_path / form / "panoptic.json").read_text())
    read = [s["score"] for s in content["annotations"][0]["segments_info"] if s["id"] in scores]
    assert read == [float(score) for score in scores.values()]
    if form == "cityscapes":
        (lines,) = (path.read_text() for path in (tmp_path / form / "instance").glob("*.txt"))
        assert {float(line.split()[2]) for line in lines.splitlines()} >= set(read)


def test_coco_results_score_one_against_themselves(tmp_path: Path) -> None:
    folder = write_all(tmp_path, "coco") / "coco"
    files = (folder / "panoptic.json", folder / "panoptic")
    assert evaluate_panoptic_files(*files, *files)["All"]["pq"] == 1


IDS = [
    (["000139", "a/7"], [139, 7]),
    (["a/7", "b/007", "8"], ["a/7", "b/007", 8]),  # 7 is had twice
    (["7_jpg", "\u0667"], ["7_jpg", "\u0667"]),  # an Arabic digit is no COCO name
]


@pytest.mark.parametrize(("names", "ids"), IDS)
def test_image_ids_are_numbers_where_the_names_are(names: list[str], ids: list[Any]) -> None:
    assert list(image_ids(names).values()) == ids


# --- Cityscapes ---


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The streets as Cityscapes' own annotations, prepared by cityscapesscripts."""
    monkeypatch.chdir(tmp_path)  # the official tools leave files where they run
    root = tmp_path / "official"
    things = {3: 26_000, 4: 26_001, 5: 24_000}  # ids of instances; road is 7, sky 23
    for name, prediction in STREETS.items():
        instances = np.select(
            [prediction.ids == i for i in (1, 2, *things)], [7, 23, *things.values()]
        ).astype(np.uint16)
        labels = np.where(instances >= 1000, instances // 1000, instances).astype(np.uint8)
        stem = root / "val" / f"{name}_gtFine"
        stem.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(instances).save(f"{stem}_instanceIds.png")
        Image.fromarray(labels).save(f"{stem}_labelIds.png")
    convert2panoptic(str(root), setNames=["val"])
    return root


def unzipped(folder: Path, task: str) -> Path:
    """What the server sees."""
    target = folder / "server" / task
    with zipfile.ZipFile(folder / "cityscapes" / f"{task}.zip") as archive:
        archive.extractall(target)
    return target


def truth_files(root: Path, kind: str) -> list[str]:
    return sorted(str(path) for path in root.rglob(f"*_{kind}.png"))


def test_cityscapes_panoptic_is_read_officially(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tool forks its workers, which may not come to an end in a process that runs Paddle.
    monkeypatch.setattr(multiprocessing, "Pool", ThreadPool)
    seen = unzipped(write_all(tmp_path, "cityscapes"), "panoptic")
    results = evalPanopticSemanticLabeling.evaluatePanoptic(
        str(official / "cityscapes_panoptic_val.json"),
        str(official / "cityscapes_panoptic_val"),
        str(seen / "panoptic.json"),
        str(seen / "panoptic"),
        str(tmp_path / "results.json"),
    )
    assert results["All"] == {"pq": 1, "sq": 1, "rq": 1, "n": 4}


def test_cityscapes_pixels_are_read_officially(official: Path, tmp_path: Path) -> None:
    args = copy.copy(evalPixelLevelSemanticLabeling.args)
    args.predictionPath = str(unzipped(write_all(tmp_path, "cityscapes"), "pixel"))
    args.predictionWalk, args.quiet, args.JSONOutput, args.evalPixelAccuracy = (
        None,
        True,
        False,
        True,
    )
    truth = truth_files(official, "labelIds")
    predicted = [evalPixelLevelSemanticLabeling.getPrediction(args, path) for path in truth]
    results = evalPixelLevelSemanticLabeling.evaluateImgLists(predicted, truth, args)
    assert results["averageScoreClasses"] == 1
    assert evaluate_pixel_files(official, args.predictionPath)["miou"] == 1


def test_cityscapes_instances_are_read_officially(official: Path, tmp_path: Path) -> None:
    args = copy.copy(evalInstanceLevelSemanticLabeling.args)
    args.predictionPath = str(unzipped(write_all(tmp_path, "cityscapes"), "instance"))
    args.predictionWalk, args.quiet, args.JSONOutput = None, True, False
    args.gtInstancesFile = str(tmp_path / "instances.json")
    truth = truth_files(official, "instanceIds")
    predicted = [evalInstanceLevelSemanticLabeling.getPrediction(path, args) for path in truth]
    results = evalInstanceLevelSemanticLabeling.evaluateImgLists(predicted, truth, args)["averages"]
    assert {results["classes"][name]["ap"] for name in ("car", "person")} == {1}
    lines = Path(predicted[0]).read_text().splitlines()
    assert lines[0] == "masks/ulm_000000_000019/3.png 26 0.7"
    assert len(lines) == 3


def test_cityscapes_pixels_come_from_the_semantic_branch(tmp_path: Path) -> None:
    """The branch sees road where nothing was fused, and void is unlabeled (0)."""
    labels = np.full(SIZE, ROAD)
    labels[0] = INFO.ignore_index
    prediction = Prediction(STREETS[NAMES[0]].ids, STREETS[NAMES[0]].segments, labels)
    write_all(tmp_path, "cityscapes", {"x_leftImg8bit": prediction})
    pixels = np.asarray(Image.open(tmp_path / "cityscapes" / "pixel" / "x.png"))
    assert np.unique(pixels[0]).tolist() == [0]
    assert np.unique(pixels[1:]).tolist() == [7]


def test_masks_of_an_earlier_prediction_go(tmp_path: Path) -> None:
    write_all(tmp_path, "cityscapes")
    empty = Prediction(np.zeros(SIZE, np.int32), [])
    write_all(tmp_path, "cityscapes", {NAMES[0]: empty})
    with zipfile.ZipFile(tmp_path / "cityscapes" / "instance.zip") as archive:
        names = archive.namelist()
    assert names[:2] == ["ulm_000000_000019.txt", "ulm_000001_000019.txt"]
    assert {Path(name).parent.name for name in names[2:]} == {"ulm_000001_000019"}


# --- BDD100K and KITTI ---


def as_bdd100k(prediction: Prediction) -> PanopticMap:
    names = [category.name for category in BDD100K.categories]
    return PanopticMap(
        prediction.ids,
        [Segment(s.id, names.index(INFO.categories[s.category].name)) for s in prediction.segments],
    )


def test_bdd100k_in_both_forms_scores_100(tmp_path: Path) -> None:
    for name, prediction in STREETS.items():
        write_bitmask(tmp_path / "annotations" / f"{Path(name).name}.png", as_bdd100k(prediction))
    folder = write_all(tmp_path, "bdd100k") / "bdd100k"
    results = evaluate_bdd100k_files(tmp_path / "annotations", folder / "bitmasks")
    assert results["PQ"]["per_class"]["car"] == results["PQ"]["per_class"]["road"] == 100
    again = evaluate_bdd100k_files(folder / "pan_seg.json", folder / "pan_seg.json")
    assert (again["PQ"], again["N"]) == (results["PQ"], results["N"])


def test_bdd100k_frames_are_the_model_zoos(tmp_path: Path) -> None:
    folder = write_all(tmp_path, "bdd100k") / "bdd100k"
    first = read_frames(folder / "pan_seg.json")[0]
    assert first.name == "ulm_000000_000019.jpg"  # as the annotations call it
    assert [label.category for label in first.labels] == ["road", "sky", "car", "car", "person"]
    assert all(int(label.id) for label in first.labels)
    masks = [decode_mask(label, SIZE) for label in first.labels]
    for number, mask in enumerate(masks, 1):
        np.testing.assert_array_equal(mask, STREETS[NAMES[0]].ids == number)
    read = read_bitmask(folder / "bitmasks" / "ulm_000000_000019.png")
    np.testing.assert_array_equal(read.ids > 0, STREETS[NAMES[0]].ids > 0)


def test_kitti_ids_are_label_ids_and_numbers(tmp_path: Path) -> None:
    path = write_all(tmp_path, "kitti") / "kitti" / f"{NAMES[0]}.png"
    read = read_annotation(path)
    ids, segments = read.ids, read.segments
    assert [KITTI.categories[s.category].name for s in segments] == [
        "road",
        "sky",
        "person",
        "car",
        "car",
    ]
    expected = np.array([0, 7, 23, 26_000, 26_001, 24_000])[STREETS[NAMES[0]].ids]
    np.testing.assert_array_equal(ids, expected)


# --- CSV and crops ---


def test_csv_has_a_line_per_segment(tmp_path: Path) -> None:
    path = write_all(tmp_path, "csv") / "segments.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [(row["image"], row["segment_id"]) for row in rows] == [
        (name, str(i)) for name in NAMES for i in range(1, 6)
    ]
    assert rows[2] == {
        "image": NAMES[0],
        "segment_id": "3",
        "class": "car",
        "category_id": "70",
        "is_thing": "1",
        "score": "0.700000",
        "area": "144",
        "left": "2",
        "top": "22",
        "width": "12",
        "height": "12",
        "center_x": "7.50",  # columns 2..13
        "center_y": "27.50",
    }


def test_crops_are_things_on_nothing(tmp_path: Path) -> None:
    folder = write_all(tmp_path, "crops") / "crops" / NAMES[0]
    assert sorted(path.name for path in folder.iterdir()) == [
        "car_3.png",
        "car_4.png",
        "person_5.png",
    ]
    crop = np.asarray(Image.open(folder / "person_5.png"))
    np.testing.assert_array_equal(crop[..., :3], IMAGE[10:40, 40:45])
    assert (crop[..., 3] == 255).all()
    ids = STREETS[NAMES[0]].ids.copy()
    ids[10, 40] = 2
    write_all(tmp_path, "crops", {NAMES[0]: Prediction(ids, STREETS[NAMES[0]].segments[-1:])})
    assert [path.name for path in folder.iterdir()] == ["person_5.png"]  # the earlier cars went
    alpha = np.asarray(Image.open(folder / "person_5.png"))[..., 3]
    assert (alpha[0, 0], alpha.sum()) == (0, 255 * 149)


def test_a_class_name_cannot_leave_the_folder_of_crops(tmp_path: Path) -> None:
    info = DatasetInfo("odd", (Category("../../x y", True, (0, 0, 0), 1),))
    prediction = Prediction(np.ones(SIZE, np.int32), [Segment(1, 0)])
    ResultWriter(tmp_path, make_forms(tmp_path, info, ["crops"])).write(
        "a", Result(IMAGE, prediction, info, "a.png")
    )
    assert [path.name for path in tmp_path.rglob("*.png")] == ["_.._x_y_1.png"]


# --- several runs into one folder ---


@pytest.mark.parametrize("form", ["images", "coco", "cityscapes", "bdd100k", "csv"])
def test_a_second_run_adds_to_the_lists(form: str, tmp_path: Path) -> None:
    """One image per run, the second of them twice, leaves what one run leaves."""
    first, second = ({name: STREETS[name]} for name in NAMES)
    for part in (first, {NAMES[1]: street(0)}, second):
        write_all(tmp_path / "parts", form, part)
    write_all(tmp_path / "whole", form)
    lists = {
        path.relative_to(tmp_path / "whole"): path.read_bytes()
        for kind in ("*.json", "*.csv")
        for path in (tmp_path / "whole").rglob(kind)
    }
    assert lists
    for path, content in lists.items():
        assert (tmp_path / "parts" / path).read_bytes() == content


def test_images_that_were_removed_leave_the_list(tmp_path: Path) -> None:
    write_all(tmp_path, "coco", {NAMES[0]: STREETS[NAMES[0]]})
    (tmp_path / "coco" / "panoptic" / f"{NAMES[0]}.png").unlink()
    write_all(tmp_path, "coco", {NAMES[1]: STREETS[NAMES[1]]})
    content = json.loads((tmp_path / "coco" / "panoptic.json").read_text())
    assert [a["image_id"] for a in content["annotations"]] == [NAMES[1]]


SPOILT = {
    "coco": ("coco/panoptic.json", "[]", "not a list that a prediction wrote"),
    "images": ("panoptic.json", "{", "cannot be read as JSON"),
    "bdd100k": ("bdd100k/pan_seg.json", '{"frames": 1}', "expected a list of frames"),
    "csv": ("segments.csv", "a,b\n1,2\n", "has the columns 'a,b'"),
    "cityscapes": (
        "cityscapes/panoptic.json",
        '{"annotations": []}',
        "not a list that a prediction",
    ),
}


@pytest.mark.parametrize("form", SPOILT)
def test_lists_of_others_are_refused_and_kept(form: str, tmp_path: Path) -> None:
    file_name, text, message = SPOILT[form]
    path = tmp_path / file_name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        open_for(tmp_path, INFO, form)
    assert path.read_text() == text


# --- what they refuse ---


def classes(*categories: tuple[str, bool]) -> DatasetInfo:
    return DatasetInfo(
        "mine", tuple(Category(n, thing, (0, 0, i), i) for i, (n, thing) in enumerate(categories))
    )


REFUSED = {
    "a class unknown to Cityscapes": (
        "cityscapes",
        classes(("road", False), ("lane divider", False), ("cow", True)),
        ["a"],
        "--format cityscapes: Cityscapes has no class 'lane divider', 'cow', which this model",
    ),
    "a class that Cityscapes does not evaluate": (
        "cityscapes",
        classes(("caravan", True)),
        ["a"],
        "has no class 'caravan'",
    ),
    "many unknown classes": (
        "bdd100k",
        classes(*((f"c{i}", True) for i in range(9))),
        ["a"],
        "'c3', 'c4' and 4 more, which",
    ),
    "a thing that is stuff": ("kitti", classes(("car", False)), ["a"], "'car': a thing in one"),
    "images of one name": (
        "bdd100k",
        BDD100K,
        ["a/same", "b/same"],
        "the images a/same and b/same would both be called same",
    ),
    "white space that makes names equal": (
        "cityscapes",
        classes(("road", False)),
        ["a b", "a_b_leftImg8bit"],
        "would both be called a_b",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_fit_is_refused_before_the_first_image(kind: str, tmp_path: Path) -> None:
    form, info, names, message = REFUSED[kind]
    with pytest.raises(UserError) as error:
        open_for(tmp_path, info, form, names)
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_results_of_other_classes_are_refused(tmp_path: Path) -> None:
    write_all(tmp_path, "images")
    with pytest.raises(UserError, match="lists results of a model with other classes"):
        open_for(tmp_path, BDD100K, "images")
