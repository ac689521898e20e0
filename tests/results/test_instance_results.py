"""COCO instance results: pycocotools finds in them what was predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.masks import encode_rle
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.folder import make_forms, prepared
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.structures import Category, DatasetInfo, Instance, Prediction, Segment

CAR, ROAD, PERSON = range(3)
INFO = DatasetInfo(
    "streets",
    (
        Category("car", True, (0, 0, 142), 70),
        Category("road", False, (128, 64, 128), 41),
        Category("person", True, (220, 20, 60), 12),
    ),
)
SIZE = (40, 60)
IMAGE = np.zeros((*SIZE, 3), np.uint8)
CAR_MASK, PERSON_MASK = np.zeros((2, *SIZE), bool)
CAR_MASK[10:30, 5:40], PERSON_MASK[5:35, 30:38] = True, True


def with_instances() -> Prediction:
    """A person in front of a car, each with its whole mask."""
    instances = [
        Instance(PERSON, 0.75, (5, 30), np.ones((30, 8), bool)),
        Instance(CAR, 0.5, (10, 5), np.ones((20, 35), bool)),
    ]
    return Prediction(np.zeros(SIZE, np.int32), [], instances=instances)


def of_a_map() -> Prediction:
    """The same in a map, where a pixel is of one alone, on road."""
    ids = np.where(PERSON_MASK, 1, np.where(CAR_MASK, 2, 3)).astype(np.int32)
    scores = {1: (PERSON, 0.75), 2: (CAR, None), 3: (ROAD, 0.9)}
    segments = [Segment(i, c, score=s, is_thing=c != ROAD) for i, (c, s) in scores.items()]
    return Prediction(ids, segments)


def written(folder: Path, predictions: dict[str, Prediction]) -> Path:
    forms = make_forms(folder, INFO, ["coco_instances"])
    folder.mkdir(exist_ok=True)
    with prepared(folder, forms, list(predictions)):
        writer = ResultWriter(folder, forms)
        for name, prediction in predictions.items():
            writer.write(name, Result(IMAGE, prediction, INFO, f"{name}.jpg"))
    return folder / "coco" / "instances.json"


def truth() -> COCO:
    annotations = [
        {"id": number, "image_id": 139, "category_id": category, "iscrowd": 0}
        | {"segmentation": encode_rle(mask), "area": int(mask.sum()), "bbox": [0, 0, 1, 1]}
        for number, (category, mask) in enumerate(((70, CAR_MASK), (12, PERSON_MASK)), start=1)
    ]
    found = COCO()
    found.dataset = {
        "images": [{"id": i, "height": SIZE[0], "width": SIZE[1]} for i in (139, 140)],
        "categories": [{"id": 70, "name": "car"}, {"id": 12, "name": "person"}],
        "annotations": annotations,
    }
    found.createIndex()
    return found


def test_pycocotools_reads_whole_masks_that_overlap(tmp_path: Path) -> None:
    empty = Prediction(np.zeros(SIZE, np.int32), [], instances=[])
    annotated = truth()
    path = written(tmp_path, {"val/000139": with_instances(), "val/000140": empty})
    results = annotated.loadRes(str(path))
    found = {a["category_id"]: (a["score"], results.annToMask(a)) for a in results.anns.values()}
    assert {category: score for category, (score, _) in found.items()} == {12: 0.75, 70: 0.5}
    np.testing.assert_array_equal(found[70][1], CAR_MASK)
    scoring = COCOeval(annotated, results, "segm")
    scoring.evaluate()
    scoring.accumulate()
    precision = scoring.eval["precision"]
    np.testing.assert_allclose(precision[precision > -1], 1)


def test_a_method_without_instances_of_its_own_gives_the_things_of_its_map(tmp_path: Path) -> None:
    results = truth().loadRes(str(written(tmp_path, {"000139": of_a_map()})))
    found = {a["category_id"]: (a["score"], results.annToMask(a)) for a in results.anns.values()}
    assert {category: score for category, (score, _) in found.items()} == {12: 0.75, 70: 1.0}
    np.testing.assert_array_equal(found[70][1], CAR_MASK & ~PERSON_MASK)


def test_a_later_prediction_adds_and_annotations_are_not_replaced(tmp_path: Path) -> None:
    written(tmp_path, {"000139": with_instances()})
    results = truth().loadRes(str(written(tmp_path, {"000140": with_instances()})))
    assert sorted(a["image_id"] for a in results.anns.values()) == [139, 139, 140, 140]
    annotations = tmp_path / "data" / "coco" / "instances.json"
    annotations.parent.mkdir(parents=True)
    annotations.write_text("[]")
    with pytest.raises(DataError, match="was not written by a prediction"):
        written(tmp_path / "data", {"000139": with_instances()})
    assert annotations.read_text() == "[]"
