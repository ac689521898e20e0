"""A warehouse made by a program: one's own data for the configuration, in which no fault is."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import make_scenes
from scenes.own_files import panoptic_of
from scenes.warehouse import INFO, make_warehouse

from panoptic_deeplab.check import check_dataset
from panoptic_deeplab.config import Config
from panoptic_deeplab.formats.images import read_ids, read_image

SIZE = ("--height", "96", "--width", "128", "--num_workers", "1")


def make(output: Path, *options: str) -> int:
    return make_scenes.main(["--world", "warehouse", "--output", str(output), *SIZE, *options])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("warehouse") / "own"
    assert make(root, "--train", "8", "--val", "3") == 0
    return root


def test_the_configuration_for_own_data_takes_it_and_the_check_finds_nothing(made: Path) -> None:
    config = Config("own_data", [f"{s}_dataset.dataset_root={made}" for s in ("train", "val")])
    assert config.info.categories == INFO.categories
    assert (len(config.train_dataset), len(config.val_dataset)) == (8, 3)
    report = check_dataset(config).to_dict()
    assert report["counts"] == {}, report["findings"]


def test_every_pixel_belongs_to_a_class_and_every_class_occurs(made: Path) -> None:
    content = json.loads((made / "annotations/panoptic_train.json").read_text())
    found: Counter[int] = Counter()
    for annotation in content["annotations"]:
        ids = read_ids(made / "annotations/panoptic_train" / annotation["file_name"])
        listed = {segment["id"] for segment in annotation["segments_info"]}
        assert set(np.unique(ids).tolist()) == listed, "no void, and no segment without a pixel"
        found.update(segment["category_id"] for segment in annotation["segments_info"])
    assert set(found) == {category.official_id for category in INFO.categories}
    assert found[4] > 30, "boxes"
    assert found[5] > 8, "robots"


def test_seed_split_and_number_make_the_scene() -> None:
    one, again = (make_warehouse(3, "val", 1, 64, 96) for _ in range(2))
    assert np.array_equal(one.image, again.image)
    assert one.annotation == again.annotation
    for other in ((4, "val", 1), (3, "train", 1), (3, "val", 2)):
        assert not np.array_equal(one.image, make_warehouse(*other, 64, 96).image)


def test_image_and_labels_show_the_same(made: Path) -> None:
    """Seen from the same place, twice as large, each class takes the same fraction."""
    image = read_image(made / "images/val/val_0000.jpg")
    assert image.shape == (96, 128, 3)
    fractions = []
    for scale in (1, 2):
        scene = make_warehouse(0, "val", 0, 96 * scale, 128 * scale)
        semantic = panoptic_of(scene.annotation, INFO).semantic(INFO.ignore_index)
        fractions.append(np.bincount(semantic.ravel(), minlength=5) / semantic.size)
    np.testing.assert_allclose(*fractions, atol=0.02)


def test_sequences_are_made_of_streets_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(tmp_path / "own", "--frames", "3") == 2
    assert "--world warehouse: sequences are made of streets only" in capsys.readouterr().err
    assert make(tmp_path / "own", "--train", "1", "--val", "0") == 0
    assert make(tmp_path / "own", "--train", "1", "--val", "0", "--overwrite") == 0
