"""Preparing Cityscapes gives what cityscapesscripts gives, or an error, and nothing in between."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from scenes.files import Job, write_scene

from panoptic_deeplab.cli import convert
from panoptic_deeplab.convert import prepare_cityscapes


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one downloads: three training scenes in three towns and one validation scene."""
    root = tmp_path_factory.mktemp("cityscapes")
    for split, count in (("train", 3), ("val", 1)):
        for index in range(count):
            write_scene(Job(0, split, index, 64, 128), root)
    for path in root.glob("gtFine/*/*/*_labelTrainIds.png"):
        path.rename(root / path.name)
    return root


@pytest.fixture
def root(download: Path, tmp_path: Path) -> Path:
    """A copy to work in."""
    shutil.copytree(download / "gtFine", tmp_path / "cityscapes" / "gtFine")
    return tmp_path / "cityscapes"


def prepare(root: Path, *options: str | int) -> int:
    flags = ["--dataset_root", str(root), "--num_workers", "1", *map(str, options)]
    return convert.main(["prepare-cityscapes", *flags])


def panoptic_files(folder: Path) -> dict[str, object]:
    """Name -> the bytes of a JSON, the pixels of a PNG."""
    return {
        str(path.relative_to(folder)): content_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "cityscapes_panoptic" in str(path.relative_to(folder))
    }


def content_of(path: Path) -> object:
    if path.suffix != ".png":
        return path.read_bytes()
    with Image.open(path) as image:
        return image.mode, image.size, image.tobytes()


def hidden(root: Path) -> list[Path]:
    """Temporary files that were left behind."""
    return list(root.rglob(".*"))


@pytest.mark.parametrize("workers", [1, 2])
def test_equals_the_librarys_own_run(
    root: Path, tmp_path: Path, workers: int, capsys: pytest.CaptureFixture
) -> None:
    assert prepare(root, "--num_workers", workers) == 0
    capsys.readouterr()
    own = tmp_path / "own"
    own.mkdir()
    convert2panoptic(str(root / "gtFine"), str(own), useTrainId=True, setNames=["train", "val"])
    expected = panoptic_files(own)
    assert len(expected) == 2 + 4
    assert panoptic_files(root / "gtFine") == expected
    assert hidden(root) == []


def test_missing_train_ids_are_made_from_the_polygons(root: Path, download: Path) -> None:
    kept = next(iter(root.glob("gtFine/val/*/*_polygons.json")))
    kept = kept.with_name(kept.name.replace("polygons.json", "labelTrainIds.png"))
    kept.write_bytes(b"not ours to touch")
    assert prepare(root) == 0
    assert kept.read_bytes() == b"not ours to touch"
    made = sorted(root.glob("gtFine/train/*/*_labelTrainIds.png"))
    assert len(made) == 3
    for path in made:
        expected = np.asarray(Image.open(download / path.name))
        np.testing.assert_array_equal(np.asarray(Image.open(path)), expected)


def test_polygons_are_not_needed(root: Path) -> None:
    for path in root.glob("gtFine/*/*/*_polygons.json"):
        path.unlink()
    assert prepare(root) == 0
    assert len(panoptic_files(root / "gtFine")) == 2 + 4
    assert not list(root.rglob("*_labelTrainIds.png"))


def test_a_finished_split_is_left_alone(root: Path, capsys: pytest.CaptureFixture) -> None:
    target = root / "gtFine" / "cityscapes_panoptic_val_trainId.json"
    assert prepare(root, "--splits", "val") == 0
    first = target.stat().st_ino
    assert prepare(root, "--splits", "val") == 0
    assert target.stat().st_ino == first
    assert "already there" in capsys.readouterr().out
    assert prepare(root, "--splits", "val", "--overwrite") == 0
    assert target.stat().st_ino != first


def test_a_folder_with_other_files_is_not_replaced(
    root: Path, capsys: pytest.CaptureFixture
) -> None:
    notes = root / "gtFine" / "cityscapes_panoptic_val_trainId" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    assert prepare(root, "--splits", "val") == 2
    assert "holds notes.txt, which is no panoptic PNG of this split" in capsys.readouterr().err
    assert notes.read_text() == "mine"


@pytest.mark.parametrize("what", ["a PNG is gone", "the JSON is cut", "an annotation is newer"])
def test_an_unfinished_split_is_made_again(root: Path, what: str) -> None:
    assert prepare(root, "--splits", "train") == 0
    complete = panoptic_files(root / "gtFine")
    target = root / "gtFine" / "cityscapes_panoptic_train_trainId.json"
    if what == "a PNG is gone":
        next(target.with_suffix("").iterdir()).unlink()
    elif what == "the JSON is cut":
        target.write_text(target.read_text()[:100])
    else:
        source = next(root.glob("gtFine/train/*/*_instanceIds.png"))
        Image.fromarray(np.full((64, 128), 7, np.uint16)).save(source)
    assert prepare(root, "--splits", "train") == 0
    again = panoptic_files(root / "gtFine")
    assert again.keys() == complete.keys()
    assert (again == complete) == (what != "an annotation is newer")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--splits", "trian"), 1, "splits that do: train, val"),
        (("--dataset_root", "nowhere"), 1, "nowhere/gtFine: no such folder"),
    ],
)
def test_mistakes_are_told_in_one_line(
    root: Path, options: tuple, code: int, message: str, capsys: pytest.CaptureFixture
) -> None:
    assert prepare(root, *options) == code
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert panoptic_files(root / "gtFine") == {}


@pytest.mark.parametrize(
    ("pattern", "content", "message"),
    [
        ("*_instanceIds.png", b"no image", "not a readable image"),
        ("*_polygons.json", b"{", "JSONDecodeError"),
        (
            "*_polygons.json",
            json.dumps(
                {"imgHeight": 4, "imgWidth": 4, "objects": [{"label": "cow", "polygon": []}]}
            ).encode(),
            "Label 'cow' not known",
        ),
    ],
)
def test_a_broken_annotation_is_named_and_nothing_is_written(
    root: Path, pattern: str, content: bytes, message: str, capfd: pytest.CaptureFixture
) -> None:
    broken = sorted(root.glob(f"gtFine/train/*/{pattern}"))[1]
    broken.write_bytes(content)
    assert prepare(root, "--splits", "train") == 1
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert broken.name in told[0]
    assert message in told[0]
    assert panoptic_files(root / "gtFine") == {}
    assert hidden(root) == []


def test_a_data_set_that_cannot_be_written_to_is_prepared_elsewhere(
    root: Path, tmp_path: Path
) -> None:
    """The other folder then trains in the place of the data set."""
    (root / "leftImg8bit").mkdir()
    before = sorted(root.rglob("*"))
    other = tmp_path / "elsewhere"
    assert prepare(root, "--save_dir", other) == 0
    assert sorted(root.rglob("*")) == before
    assert (other / "leftImg8bit").samefile(root / "leftImg8bit")
    assert len(panoptic_files(other / "gtFine")) == 2 + 4
    assert len(list(other.glob("gtFine/train/*/*_labelTrainIds.png"))) == 3
    done = (other / "gtFine" / "cityscapes_panoptic_val_trainId.json").stat().st_ino
    assert prepare(root, "--save_dir", other) == 0
    assert (other / "gtFine" / "cityscapes_panoptic_val_trainId.json").stat().st_ino == done
    assert prepare(root) == 0
    assert panoptic_files(root / "gtFine") == panoptic_files(other / "gtFine")


def test_where_nothing_can_be_written_the_way_out_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).startswith(str(root)))
    assert prepare(root) == 1
    told = capsys.readouterr().err
    assert "gtFine: cannot be written to; --save_dir DIR makes in DIR what a training needs" in told
    assert hidden(root) == []


def test_the_function_tells_which_jsons_it_wrote(root: Path) -> None:
    json_of = {
        s: root / "gtFine" / f"cityscapes_panoptic_{s}_trainId.json" for s in ("train", "val")
    }
    assert prepare_cityscapes.prepare_cityscapes(root, ["val"]) == {json_of["val"]: True}
    written = prepare_cityscapes.prepare_cityscapes(root, ["train", "val"])
    assert written == {json_of["train"]: True, json_of["val"]: False}


def test_an_interrupted_run_leaves_nothing_that_looks_finished(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert, done = prepare_cityscapes.convert_one, []

    def stop_at_second(instances: Path, folder: Path) -> tuple:
        if done:
            raise KeyboardInterrupt
        done.append(instances)
        return convert(instances, folder)

    monkeypatch.setattr(prepare_cityscapes, "convert_one", stop_at_second)
    assert prepare(root, "--splits", "train") == 130
    assert panoptic_files(root / "gtFine") == {}
    assert hidden(root) == []
