"""Predictions in files are found by an image's id or name, and their classes by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.formats.bdd100k import BDD100K
from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.formats.images import write_ids
from panoptic_deeplab.formats.prediction_files import FORMATS, Bdd100kPredictions, CocoPredictions
from panoptic_deeplab.structures import Category, DatasetInfo

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
    (tmp_path / "deep").mkdir()
    rgba = [[(35, 0, 1, 44), (77, 0, 0, 5), (0, 0, 0, 0)]]  # 35 is a car, 300 = (1 << 8) + 44
    Image.fromarray(np.array(rgba, np.uint8)).save(tmp_path / "deep" / "a.png")
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
