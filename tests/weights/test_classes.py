"""Weights are refused for classes that they were not trained for."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import write_json
from panoptic_deeplab.structures import Category, DatasetInfo
from panoptic_deeplab.weights import INFO_FILE, read_info_beside, refuse_other_classes


def classes(name: str, *names: str) -> DatasetInfo:
    return DatasetInfo(name, tuple(Category(n, True, (i, 0, 0), i) for i, n in enumerate(names)))


TRAINED = classes("streets", "road", "car")


@pytest.mark.parametrize("at", [".", "model.pdparams"])
def test_equal_names_are_the_same_classes(tmp_path: Path, at: str) -> None:
    write_json(tmp_path / INFO_FILE, TRAINED.to_dict())
    assert read_info_beside(tmp_path / at) == TRAINED
    refuse_other_classes(tmp_path / at, classes("other streets", "road", "car"), "")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["road"], r"2 classes \(streets\), the data set here has 1; look"),
        (["road", "bus"], "other classes: class 1 is 'car' there and 'bus' in here; look"),
        (["car", "road"], "other classes: class 0 is 'road' there and 'car' in here; look"),
    ],
)
def test_other_classes_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    write_json(tmp_path / INFO_FILE, TRAINED.to_dict())
    with pytest.raises(DataError, match=f"was trained for {message}"):
        refuse_other_classes(tmp_path, classes("here", *names), "look")


def test_nothing_is_refused_where_no_file_names_the_classes(tmp_path: Path) -> None:
    assert read_info_beside(tmp_path) is None
    refuse_other_classes(tmp_path, TRAINED, "")


def test_a_file_that_is_no_list_of_classes_by_its_size(tmp_path: Path) -> None:
    with open(tmp_path / "dataset_info.json", "wb") as file:
        file.truncate(1 << 40)  # a hole, which takes no space
    with pytest.raises(DataError, match=r"dataset_info\.json: expected a list of classes, of at m"):
        read_info_beside(tmp_path / "model.pdparams")
