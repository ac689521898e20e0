"""What predictions into one folder may replace, and what its lists say however they end."""

from __future__ import annotations

import errno
import json
import os
import re
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panoptic_deeplab.errors import DataError, UsageError, UserError
from panoptic_deeplab.result import Result
from panoptic_deeplab.results import FORMATS, lists
from panoptic_deeplab.results import folder as folder_module
from panoptic_deeplab.results.folder import make_forms, prepared
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment

INFO = DatasetInfo(
    "streets", (Category("road", False, (9, 9, 9), 7), Category("car", True, (0, 0, 142), 26))
)
SIZE = (24, 32)
IMAGE = np.zeros((*SIZE, 3), np.uint8)
WITHOUT_JOURNAL = ("images", "coco", "cityscapes", "bdd100k", "csv")
"""Forms that versions without a journal wrote."""
LISTED = (*WITHOUT_JOURNAL, "html")


def road_with(cars: int) -> Prediction:
    ids = np.ones(SIZE, np.int32)
    for i in range(cars):
        ids[4:8, 8 * i : 8 * i + 6] = i + 2
    cars_found = [Segment(i + 2, 1, area=24, score=0.5) for i in range(cars)]
    return Prediction(ids, [Segment(1, 0, area=int((ids == 1).sum()), score=0.9), *cars_found])


def predict(
    folder: Path,
    images: Mapping[str, int],
    kinds: Sequence[str] = ("images",),
    ends: Exception | None = None,
    to_come: Sequence[str] = (),
) -> None:
    """Predict images with so many cars; then the prediction ends, perhaps by an error."""
    forms = make_forms(folder, INFO, kinds)
    with prepared(folder, forms, [*images, *to_come]):
        writer = ResultWriter(folder, forms)
        for name, cars in images.items():
            writer.write(name, Result(IMAGE, road_with(cars), INFO, f"{name}.jpg"))
        if ends is not None:
            raise ends


def all_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def page_data(text: str) -> dict[str, Any]:
    """Return what a page lists of its images."""
    found = re.search(r'<script type="application/json" id="page">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


def listed(folder: Path, kind: str) -> list[str]:
    """Read the images that a form's list names."""
    if kind == "csv":
        rows = (folder / "segments.csv").read_text().splitlines()[1:]
        return list(dict.fromkeys(row.split(",")[0] for row in rows))
    if kind == "html":
        page = page_data((folder / "html" / "index.html").read_text())
        return [Path(image["title"]).stem for image in page["images"]]
    paths = {"images": "panoptic.json", "bdd100k": "bdd100k/pan_seg.json"}
    content = json.loads((folder / paths.get(kind, f"{kind}/panoptic.json")).read_text())
    if kind == "bdd100k":
        return [Path(frame["name"]).stem for frame in content]
    return [annotation["file_name"].removesuffix(".png") for annotation in content["annotations"]]


# --- what is not ours ---

FOREIGN = {
    "ids": ("images", "panoptic/a.png"),
    "an overlay": ("images", "panoptic/a_overlay.png"),
    "class colors": ("images", "semantic/a.png"),
    "instance colors": ("images", "instance/a.png"),
    "ids in a subfolder": ("images", "panoptic/b/c.png"),
    "a COCO PNG": ("coco", "coco/panoptic/a.png"),
    "label ids": ("cityscapes", "cityscapes/pixel/a.png"),
    "instances": ("cityscapes", "cityscapes/instance/a.txt"),
    "a mask": ("cityscapes", "cityscapes/instance/masks/a/3.png"),
    "a zip": ("cityscapes", "cityscapes/pixel.zip"),
    "a bitmask": ("bdd100k", "bdd100k/bitmasks/a.png"),
    "an image of a page": ("html", "html/images/a.js"),
    "a page": ("html", "html/index.html"),
    "a KITTI PNG": ("kitti", "kitti/a.png"),
    "a crop": ("crops", "crops/a/car_9.png"),
    "a crop in capitals": ("crops", "crops/b/c/X.PNG"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("has_journal", [False, True])
def test_files_of_others_are_refused_before_the_work(
    kind: str, has_journal: bool, tmp_path: Path
) -> None:
    form, file = FOREIGN[kind]
    if has_journal and not file.endswith((".zip", ".html")):
        predict(tmp_path, {"other": 1}, [form])
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("mine")
    before = all_files(tmp_path)
    with pytest.raises(UsageError, match="no prediction wrote that for the same image") as error:
        predict(tmp_path, {"a": 1, "b/c": 2}, [form])
    assert repr(file) in str(error.value)
    assert all_files(tmp_path) == before


def test_what_is_in_nobodys_way_stays(tmp_path: Path) -> None:
    mine = {
        "notes.txt",
        "panoptic/mine.png",
        "crops/a/notes.txt",
        "cityscapes/instance/masks/x/1.png",
    }
    for file in mine:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("mine")
    for cars in (3, 1):
        predict(tmp_path, {"a": cars}, ["images", "crops", "cityscapes"])
    files = all_files(tmp_path)
    assert {file for file, content in files.items() if content == b"mine"} == mine
    crops = [file for file in files if file.startswith("crops/a/car")]
    assert crops == ["crops/a/car_2.png"]  # the other cars of the first prediction went
    with zipfile.ZipFile(tmp_path / "cityscapes" / "instance.zip") as archive:
        assert archive.namelist() == ["a.txt", "masks/a/2.png"]


def test_a_result_of_another_image_is_not_replaced(tmp_path: Path) -> None:
    predict(tmp_path, {"a": 1})
    with pytest.raises(UsageError, match=r"'panoptic/a_overlay\.png' would be replaced"):
        predict(tmp_path, {"a_overlay": 1})


UNUSABLE = {"a file": Path.touch, "a link to nowhere": lambda path: path.symlink_to("gone")}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_folder_of_results_that_is_none_is_refused(kind: str, tmp_path: Path) -> None:
    UNUSABLE[kind](tmp_path / "semantic")
    with pytest.raises(DataError, match="semantic: expected a folder to write to"):
        predict(tmp_path, {"a": 1})
    assert os.listdir(tmp_path) == ["semantic"]


@pytest.mark.parametrize("is_link", [False, True])
def test_an_image_to_be_predicted_is_never_replaced(is_link: bool, tmp_path: Path) -> None:
    predict(tmp_path, {"a": 1})
    image = tmp_path / "panoptic" / "a.png"
    if is_link:
        image = tmp_path / "linked.png"
        image.symlink_to("panoptic/a.png")
    before = all_files(tmp_path)
    forms = make_forms(tmp_path, INFO, ["images"])
    with (
        pytest.raises(UsageError, match=r"\.png: the results would replace this image itself"),
        prepared(tmp_path, forms, ["a"], [image]),
    ):
        pass
    assert all_files(tmp_path) == before


# --- lists ---


@pytest.mark.parametrize("kind", LISTED)
def test_no_list_names_what_is_about_to_be_replaced(kind: str, tmp_path: Path) -> None:
    predict(tmp_path, {"a": 1, "b": 2, "c": 0}, [kind])
    with prepared(tmp_path, make_forms(tmp_path, INFO, [kind]), ["b", "new"]):
        assert listed(tmp_path, kind) == ["a", "c"]
    assert listed(tmp_path, kind) == ["a", "b", "c"]  # nothing came, and b is as it was


@pytest.mark.parametrize("kind", LISTED)
def test_lists_have_frames_by_their_numbers(kind: str, tmp_path: Path) -> None:
    predict(tmp_path, {"f10": 1, "f9": 0}, [kind])
    assert listed(tmp_path, kind) == ["f9", "f10"]


@pytest.mark.parametrize("kind", LISTED)
@pytest.mark.parametrize("ends", [RuntimeError("odd"), MemoryError(), KeyboardInterrupt()])
def test_lists_are_finished_however_it_ends(kind: str, ends: BaseException, tmp_path: Path) -> None:
    predict(tmp_path, {"a": 1, "b": 2}, [kind])
    with pytest.raises(type(ends)):
        predict(tmp_path, {"b": 0, "c": 1}, [kind], ends, to_come=["a", "d"])
    assert listed(tmp_path, kind) == ["a", "b", "c"]


@pytest.mark.parametrize("kind", LISTED)
def test_the_next_prediction_lists_what_a_killed_one_did(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(tmp_path, {"a": 1}, [kind])
    with monkeypatch.context() as killed:
        killed.setattr(folder_module, "_finish", lambda *_: None)
        predict(tmp_path, {"b": 2}, [kind], to_come=["a"])
    assert listed(tmp_path, kind) == []
    (form,) = make_forms(tmp_path, INFO, [kind]).values()
    for path in [tmp_path / "results.jsonl", *(tmp_path / file for file in form.lists)]:
        # as `replacing` names it
        path.with_name(f".part.{path.stem}.ab12_x9z{path.suffix}").touch()
    for folder in [path for path in tmp_path.rglob("*") if path.is_dir()]:
        (folder / ".part.a.ab12_x9z.png").touch()
    (tmp_path / "panoptic.png.part").touch()  # somebody else's
    predict(tmp_path, {"c": 0}, [kind])
    assert listed(tmp_path, kind) == ["a", "b", "c"]
    assert [path.name for path in tmp_path.rglob("*part*")] == ["panoptic.png.part"]


@pytest.mark.parametrize("kind", LISTED)
def test_a_prediction_in_another_form_makes_up_for_a_killed_one(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(folder_module, "_finish", lambda *_: None)
        predict(tmp_path, {"a": 1}, [kind])
    predict(tmp_path, {"b": 1}, ["kitti"])
    assert listed(tmp_path, kind) == ["a"]


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "motchallenge_step"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_disk_that_fills_up_costs_no_earlier_result(
    kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first to fourth file the disk is full; all is as before, and ready for more."""
    kinds = ["images", kind] if kind != "images" else [kind]
    predict(tmp_path, {"a": 1}, kinds)
    before = all_files(tmp_path)
    left = [number]

    def write(path: Path, content: bytes) -> None:
        left[0] -= 1
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        with path.open("wb") as file:
            file.write(content)

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", write)
        with pytest.raises(OSError, match="No space left"):
            predict(tmp_path, {"a": 3}, kinds)
    # zips have the times of files, and the journal tells that the image is to be made again
    apart = {file for file in before if file.endswith((".zip", ".jsonl"))}
    after = all_files(tmp_path)
    assert {f: c for f, c in after.items() if f not in apart} == {
        f: c for f, c in before.items() if f not in apart
    }
    predict(tmp_path, {"a": 3}, kinds)
    assert listed(tmp_path, "images") == ["a"]


def test_lists_that_cannot_be_finished_are_told_and_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "panoptic.json"))

    predict(tmp_path, {"a": 1})
    with monkeypatch.context() as disk:
        disk.setattr(folder_module, "_finish", full)
        with pytest.raises(DataError, match=r"panoptic.json: the lists cannot be finished \(No"):
            predict(tmp_path, {"a": 2, "b": 0})
    assert listed(tmp_path, "images") == []
    predict(tmp_path, {"c": 1})
    assert listed(tmp_path, "images") == ["a", "b", "c"]


# --- lists while a prediction goes on ---


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are written again at once."""
    monkeypatch.setattr(lists, "_SECONDS_BETWEEN", 0.01)
    monkeypatch.setattr(lists, "_TIMES_AS_LONG", 0)


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("kind", LISTED)
@pytest.mark.usefixtures("hasty")
def test_lists_grow_while_a_prediction_goes_on(kind: str, tmp_path: Path) -> None:
    """Image a, of which there is an earlier result, is listed from its new one on."""
    predict(tmp_path, {"a": 1, "b": 2}, [kind])
    forms = make_forms(tmp_path, INFO, [kind])
    with prepared(tmp_path, forms, ["a", "c", "d"]):
        first, second = (ResultWriter(tmp_path, forms, rank) for rank in (0, 1))
        for writer, name, expected in [
            (first, "c", ["b", "c"]),
            (second, "d", ["b", "c", "d"]),
            (first, "a", ["a", "b", "c", "d"]),
        ]:
            writer.write(name, Result(IMAGE, road_with(0), INFO, f"{name}.jpg"))
            wait_until(lambda expected=expected: listed(tmp_path, kind) == expected)


@pytest.mark.usefixtures("hasty")
def test_lists_that_cannot_be_written_now_are_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def full(*_: Any) -> None:
        tried.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    forms = make_forms(tmp_path, INFO, ["images"])
    with prepared(tmp_path, forms, ["a"]):
        with monkeypatch.context() as disk:
            disk.setattr(lists, "write_list", full)
            wait_until(lambda: len(tried) > 1)
        ResultWriter(tmp_path, forms).write("a", Result(IMAGE, road_with(0), INFO, "a.jpg"))
        wait_until((tmp_path / "panoptic.json").exists)
        wait_until(lambda: listed(tmp_path, "images") == ["a"])


# --- results of versions without a journal ---


@pytest.mark.parametrize("kind", WITHOUT_JOURNAL)
def test_lists_without_a_journal_are_added_to(kind: str, tmp_path: Path) -> None:
    predict(tmp_path, {"a": 1, "b": 2}, [kind])
    (tmp_path / "results.jsonl").unlink()
    predict(tmp_path, {"a": 0, "c": 1}, [kind])
    assert listed(tmp_path, kind) == ["a", "b", "c"]


ANNOTATIONS = {
    "images": "panoptic.json",
    "coco": "coco/panoptic.json",
    "cityscapes": "cityscapes/panoptic.json",
    "bdd100k": "bdd100k/pan_seg.json",
}


@pytest.mark.parametrize("kind", ANNOTATIONS)
def test_annotations_of_the_same_classes_are_not_taken_for_results(
    kind: str, tmp_path: Path
) -> None:
    predict(tmp_path, {"a": 1}, [kind])
    (tmp_path / "results.jsonl").unlink()
    path = tmp_path / ANNOTATIONS[kind]
    path.write_text(path.read_text().replace('"score"', '"area_in_meters"'))
    before = all_files(tmp_path)
    with pytest.raises(UserError, match="segments without a score, so it is no list of predic"):
        predict(tmp_path, {"b": 1}, [kind])
    assert all_files(tmp_path) == before


def test_a_list_of_files_elsewhere_is_refused(tmp_path: Path) -> None:
    predict(tmp_path, {"a": 1})
    (tmp_path / "results.jsonl").unlink()
    path = tmp_path / "panoptic.json"
    path.write_text(path.read_text().replace('"a.png"', '"../a.png"'))
    with pytest.raises(DataError, match=r"panoptic\.json: names '\.\./a', which no"):
        predict(tmp_path, {"b": 1})


@pytest.mark.parametrize("kind", ["images", "coco", "cityscapes", "html"])
@pytest.mark.parametrize("entry", [1, "a", [2], {"image": {}}])
def test_an_entry_that_no_prediction_wrote_is_told(
    kind: str, entry: object, tmp_path: Path
) -> None:
    predict(tmp_path, {"a": 1, "b": 1}, [kind])
    text = json.dumps({"form": kind, "key": "a", "files": [], "entry": entry})
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write(text + "\n")
    with pytest.raises(DataError, match=r"results\.jsonl: has an entry that no prediction wrote"):
        predict(tmp_path, {"b": 1}, [kind])
