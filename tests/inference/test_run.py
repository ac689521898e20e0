"""From image files to files of results: what is left by signals, full disks and broken images."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.cli import predict
from panoptic_deeplab.cli.parser import Parser
from panoptic_deeplab.errors import DataError, UserError
from panoptic_deeplab.inference.run import predict_images
from panoptic_deeplab.inference.sources import ImageFile, find_images
from panoptic_deeplab.result import Result
from panoptic_deeplab.results import FORMATS
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment

INFO = DatasetInfo("gray", (Category("wall", False, (90, 90, 90), 1),))
SIZE = (12, 16)


class FakePredictor:
    """Says that all is wall; before the call number `at` something happens.

    Attributes:
        batch_sizes: images of each call.
    """

    def __init__(self, at: int = -1, event: Callable[[], None] = lambda: None) -> None:
        self.info = INFO
        self.watch = Stopwatch()
        self.batch_sizes: list[int] = []
        self.at, self.event = at, event

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        if len(self.batch_sizes) == self.at:
            self.event()
        self.batch_sizes.append(len(images))
        wall = Segment(1, 0, area=SIZE[0] * SIZE[1])
        return [Prediction(np.ones(SIZE, np.int32), [wall]) for _ in images]


@pytest.fixture
def images(tmp_path: Path) -> list[ImageFile]:
    """Nine images, 0.png to 8.png."""
    paths = [tmp_path / f"{i}.png" for i in range(9)]
    for path in paths:
        Image.new("RGB", SIZE[::-1]).save(path)
    return [ImageFile(path, path.stem) for path in paths]


@pytest.fixture
def writer(tmp_path: Path) -> ResultWriter:
    return ResultWriter(tmp_path, INFO, ["coco"])


def listed(folder: Path) -> list[int]:
    content = json.loads((folder / "coco" / "panoptic.json").read_text())
    return [annotation["image_id"] for annotation in content["annotations"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_signal_leaves_a_list_of_what_is_done(
    number: int,
    num_workers: int,
    batch_size: int,
    images: list[ImageFile],
    writer: ResultWriter,
    tmp_path: Path,
) -> None:
    """The batch at hand, the third, is finished; the others are not begun."""
    predictor = FakePredictor(2, lambda: os.kill(os.getpid(), number))
    done = 3 * batch_size
    message = f"stopped by signal {number}; {done} of 9 images are done and listed"
    with pytest.raises(UserError, match=message) as error:
        predict_images(predictor, images, writer, num_workers, batch_size)
    assert error.value.exit_code == 128 + number
    assert listed(tmp_path) == list(range(done))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_full_disk_ends_it_and_one_broken_result_does_not(
    num_workers: int,
    images: list[ImageFile],
    writer: ResultWriter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problems = {"3": OSError(errno.ENAMETOOLONG, "too long"), "5": DataError("odd")}
    write = writer.write

    def failing(name: str, result: Result) -> object:
        if name in problems:
            raise problems[name]
        return write(name, result)

    monkeypatch.setattr(writer, "write", failing)
    with pytest.raises(DataError, match=r"2 of 9 images failed; the first: .*3.png: its results"):
        predict_images(FakePredictor(), images, writer, num_workers)
    assert listed(tmp_path) == [0, 1, 2, 4, 6, 7, 8]
    problems["6"] = OSError(errno.ENOSPC, "No space left on device", "x.png")
    with pytest.raises(OSError, match="No space left"):
        predict_images(FakePredictor(), images, writer, num_workers)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_broken_images_leave_their_batch(
    num_workers: int,
    images: list[ImageFile],
    writer: ResultWriter,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of the batches 0-3, 4-7 and 8 the first lacks one image, the second all."""
    for i in (1, 4, 5, 6, 7):
        images[i].path.write_text("no image")
    predictor = FakePredictor()
    with pytest.raises(
        DataError, match=r"5 of 9 images failed; the first: .*1.png: not a readable"
    ):
        predict_images(predictor, images, writer, num_workers, batch_size=4)
    assert predictor.batch_sizes == [3, 1]
    assert listed(tmp_path) == [0, 2, 3, 8]
    assert capsys.readouterr().err.count("skipped: ") == 5


@pytest.mark.parametrize("profile", [False, True])
def test_the_times_are_told(
    profile: bool,
    images: list[ImageFile],
    writer: ResultWriter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package_log = logging.getLogger("panoptic_deeplab")
    monkeypatch.setattr(package_log, "propagate", True)  # a command line in this process ended it
    with caplog.at_level("INFO", "panoptic_deeplab.inference.run"):
        predict_images(FakePredictor(), images, writer, profile=profile)
    assert "9 images" in caplog.text
    assert "reading" in caplog.text
    assert "writing" in caplog.text
    assert ("of total" in caplog.text) == profile


def test_predict_names_all_forms(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict.main(["--help"])
    helped = " ".join(capsys.readouterr().out.split())
    for name, what in FORMATS.items():
        assert f"{name}: {what}" in helped


def test_the_former_name_of_a_form_is_taken() -> None:
    parser = Parser()
    predict.add_arguments(parser)
    words = ["--model_path", "m", "--image_path", "i", "--format", "pictures", "csv"]
    assert parser.parse_args(words).format == ["images", "csv"]


def test_a_name_that_is_not_utf8_is_in_every_list(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    for name in (b"a.png", b"b\xff.png"):
        with open(os.path.join(folder, name), "wb") as file:
            Image.new("RGB", SIZE[::-1]).save(file, "PNG")
    found = find_images(tmp_path / "in")
    writer = ResultWriter(
        tmp_path, INFO, ["images", "coco", "csv"], [image.name for image in found]
    )
    predict_images(FakePredictor(), found, writer)
    rows = (tmp_path / "segments.csv").read_text("utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["image", "a", "b%FF"]
    for source in ("panoptic.json", "coco/panoptic.json"):
        content = json.loads((tmp_path / source).read_bytes().decode("utf-8"))
        assert [image["file_name"] for image in content["images"]] == ["a.png", "b%FF.png"]
        assert (tmp_path / source).with_suffix("").joinpath("b%FF.png").is_file()
