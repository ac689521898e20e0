"""A prediction that goes on: what is left out, what is made again, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.inference.model import Model
from panoptic_deeplab.inference.run import predict_source
from panoptic_deeplab.inference.sources import ImageList, find_images, open_source
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment

INFO = DatasetInfo("gray", (Category("wall", False, (90, 90, 90), 1),))
SIZE = (12, 16)


class Counting:
    """Says that all is wall, and counts; at the image number `at` the process is as good as killed.

    Attributes:
        brightness: mean of each image that it was asked for, by which the tests know them.
    """

    def __init__(self, at: int | None = None) -> None:
        self.info, self.watch, self.at = INFO, Stopwatch(), at
        self.brightness: list[int] = []

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        if self.at is not None and len(self.brightness) >= self.at:
            raise KeyboardInterrupt
        self.brightness += [round(image.mean()) for image in images]
        walls = [Segment(1, 0, area=image.shape[0] * image.shape[1]) for image in images]
        return [
            Prediction(np.ones(image.shape[:2], np.int32), [wall])
            for image, wall in zip(images, walls, strict=True)
        ]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six images, 0.png to 5.png; number i has the brightness i."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(6):
        Image.new("RGB", SIZE[::-1], (i, i, i)).save(folder / f"{i}.png")
    return folder


def predict(
    images: Path,
    kinds: Sequence[str] = ("images",),
    model: str = "A",
    at: int | None = None,
    skip_done: bool = True,
) -> list[int]:
    """Predict into `results` beside the images; return the numbers of those that were predicted."""
    predictor = Counting(at)
    results = images.parent / "results"
    results.mkdir(exist_ok=True)
    try:
        predict_source(
            predictor, ImageList(find_images(images)), results, kinds, 0,
            model=model, skip_done=skip_done,
        )  # fmt: skip
    except KeyboardInterrupt:
        assert at is not None
    return predictor.brightness


def listed(images: Path) -> list[str]:
    content = json.loads((images.parent / "results" / "panoptic.json").read_text())
    return [annotation["image_id"] for annotation in content["annotations"]]


@pytest.mark.parametrize("kind", ["images", "coco", "csv", "html", "crops"])
def test_it_goes_on_where_it_stopped(kind: str, images: Path) -> None:
    assert predict(images, [kind], at=2) == [0, 1]
    assert predict(images, [kind], at=3) == [2, 3, 4]
    assert predict(images, [kind]) == [5]
    assert predict(images, [kind]) == []
    assert predict(images, [kind], skip_done=False) == list(range(6))


def test_lists_name_what_was_done_before(images: Path) -> None:
    predict(images, at=4)
    predict(images)
    assert listed(images) == list("012345")
    predict(images)
    assert listed(images) == list("012345")


def replaced(images: Path) -> None:
    Image.new("RGB", SIZE[::-1], (3, 3, 3)).resize((20, 20)).save(images / "3.png")


def touched(images: Path) -> None:
    os.utime(images / "3.png", (1, 1))


def overlay_removed(images: Path) -> None:
    (images.parent / "results" / "panoptic" / "3_overlay.png").unlink()


def overlay_cut(images: Path) -> None:
    (images.parent / "results" / "panoptic" / "3_overlay.png").write_bytes(b"")


@pytest.mark.parametrize("change", [replaced, touched, overlay_removed, overlay_cut])
def test_what_has_changed_is_predicted_again(change: Callable[[Path], None], images: Path) -> None:
    predict(images)
    change(images)
    assert predict(images) == [3]
    assert predict(images) == []
    assert listed(images) == list("012345")


def test_a_form_that_is_new_is_made_of_all(images: Path) -> None:
    predict(images, at=3)
    assert predict(images, ["images", "csv"], at=2) == [0, 1]
    assert predict(images, ["images", "csv"]) == [2, 3, 4, 5]
    assert predict(images, ["csv"]) == []


def test_another_model_is_refused_unless_it_made_what_is_there(images: Path) -> None:
    predict(images)
    before = (images.parent / "results" / "results.jsonl").read_bytes()
    with pytest.raises(UsageError, match=r"--skip_done: another model.* predicted 0 into"):
        predict(images, model="B")
    assert (images.parent / "results" / "results.jsonl").read_bytes() == before
    assert predict(images, model="B", at=2, skip_done=False) == [0, 1]
    assert predict(images, model="B") == [2, 3, 4, 5]


def test_results_of_unknown_origin_are_made_again(images: Path) -> None:
    """The journals of earlier versions do not tell what made the results."""
    predict(images)
    journal = images.parent / "results" / "results.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        line.pop("made", None)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert predict(images) == list(range(6))


def test_a_copy_of_images_and_results_goes_on(images: Path, tmp_path: Path) -> None:
    predict(images, at=4)
    shutil.copytree(images, tmp_path / "copy" / "images")
    shutil.copytree(tmp_path / "results", tmp_path / "copy" / "results")
    assert predict(tmp_path / "copy" / "images") == [4, 5]


def test_images_of_other_folders_with_equal_names_are_predicted(
    images: Path, tmp_path: Path
) -> None:
    predict(images)
    others = tmp_path / "others"
    shutil.copytree(images, others)
    os.utime(others / "1.png", (1, 1))
    assert predict(others) == [1]


@pytest.mark.parametrize("flags", [{"track": True}, {"video": Path("a.mp4")}])
def test_what_has_an_order_cannot_begin_in_its_middle(
    flags: dict[str, object], images: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="--skip_done is for images"):
        predict_source(Counting(), open_source(str(images)), tmp_path, skip_done=True, **flags)


# --- a loop in Python ---


def looped(
    images: Path, last: int | None = None, model: str = "A", batch_size: int = 2
) -> list[int]:
    """Loop until image number `last` is at hand, as if killed there; return what came."""
    seen = []
    results = Model(Counting(), lambda: model).predict(
        images, batch_size, skip_done=images.parent / "loop"
    )
    for result in results:
        seen.append(int(result.name))
        if seen[-1] == last:
            break
    return seen


def test_a_loop_goes_on_with_the_image_that_was_at_hand(images: Path) -> None:
    assert looped(images, last=2) == [0, 1, 2]
    touched(images)
    assert looped(images, last=4) == [2, 3, 4]
    assert looped(images, batch_size=4) == [4, 5]
    assert looped(images) == []
    touched(images)
    os.utime(images / "0.png", (2, 2))
    assert looped(images) == [0]


def test_a_loop_and_a_prediction_into_one_folder_do_not_disturb_each_other(images: Path) -> None:
    predict(images, at=3)
    (images.parent / "results").rename(images.parent / "loop")
    assert looped(images, last=1) == [0, 1]
    (images.parent / "loop").rename(images.parent / "results")
    assert predict(images) == [3, 4, 5]
    (images.parent / "results").rename(images.parent / "loop")
    assert looped(images) == [1, 2, 3, 4, 5]


def test_a_loop_with_another_model_is_refused(images: Path) -> None:
    looped(images, last=3)
    with pytest.raises(UsageError, match="another model"):
        looped(images, model="B")


def test_a_broken_image_ends_the_loop_until_it_is_mended(images: Path) -> None:
    (images / "3.png").write_text("no image")
    with pytest.raises(DataError, match=r"3\.png: not a readable image"):
        looped(images)
    replaced(images)
    assert looped(images) == [3, 4, 5]


@pytest.mark.parametrize("source", [[np.zeros((2, 2, 3), np.uint8)], 0])
def test_a_loop_over_other_than_files_cannot_go_on(source: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="skip_done is for"):
        Model(Counting()).predict(source, skip_done=tmp_path)


def test_a_loop_that_tracks_cannot_go_on(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="skip_done is for"):
        Model(Counting()).predict(images, track=True, skip_done=tmp_path)
