"""From image files to files of results: what is left by signals, full disks and broken images."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.cli import predict
from panoptic_deeplab.cli.parser import Parser
from panoptic_deeplab.errors import DataError, UsageError, UserError
from panoptic_deeplab.formats.ground_truth_files import GroundTruthFiles
from panoptic_deeplab.formats.images import write_ids
from panoptic_deeplab.inference import run
from panoptic_deeplab.inference.run import predict_images
from panoptic_deeplab.inference.sources import ImageFile, files, find_images
from panoptic_deeplab.result import Result
from panoptic_deeplab.results import FORMATS
from panoptic_deeplab.results.coco import Coco
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment

INFO = DatasetInfo("gray", (Category("wall", False, (90, 90, 90), 1),))
SIZE = (12, 16)


class FakePredictor:
    """Says that all is wall; in the call number `at` something happens.

    Attributes:
        batch_sizes: images of each call.
    """

    def __init__(self, at: int = -1, event: Callable[[], None] = lambda: None) -> None:
        self.info = INFO
        self.watch = Stopwatch()
        self.batch_sizes: list[int] = []
        self.at, self.event = at, event

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        self.batch_sizes.append(len(images))
        if len(self.batch_sizes) == self.at + 1:
            self.event()
        assert len({image.shape for image in images}) == 1
        wall = Segment(1, 0, area=SIZE[0] * SIZE[1])
        with self.watch.timing("network"):
            return [Prediction(np.ones(SIZE, np.int32), [wall]) for _ in images]


@pytest.fixture
def images(tmp_path: Path) -> list[ImageFile]:
    """Nine images, 0.png to 8.png."""
    paths = [tmp_path / f"{i}.png" for i in range(9)]
    for path in paths:
        Image.new("RGB", SIZE[::-1]).save(path)
    return [ImageFile(path, path.stem) for path in paths]


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
    tmp_path: Path,
) -> None:
    """The batch at hand, the third, is finished; the others are not begun."""
    predictor = FakePredictor(2, lambda: os.kill(os.getpid(), number))
    done = 3 * batch_size
    message = f"stopped by signal {number}; {done} of 9 images are done and listed"
    with pytest.raises(UserError, match=message) as error:
        predict_images(predictor, images, tmp_path, ["coco"], num_workers, batch_size)
    assert error.value.exit_code == 128 + number
    assert listed(tmp_path) == list(range(done))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_full_disk_ends_it_and_one_broken_result_does_not(
    num_workers: int,
    images: list[ImageFile],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problems = {"3": OSError(errno.ENAMETOOLONG, "too long"), "5": DataError("odd")}
    write = ResultWriter.write

    def failing(writer: ResultWriter, name: str, result: Result, *version: object) -> None:
        if name in problems:
            raise problems[name]
        write(writer, name, result, *version)

    monkeypatch.setattr(ResultWriter, "write", failing)
    with pytest.raises(DataError, match=r"2 of 9 images failed; the first: .*3.png: its results"):
        predict_images(FakePredictor(), images, tmp_path, ["coco"], num_workers)
    assert listed(tmp_path) == [0, 1, 2, 4, 6, 7, 8]
    problems["6"] = OSError(errno.ENOSPC, "No space left on device", "x.png")
    with pytest.raises(OSError, match="No space left"):
        predict_images(FakePredictor(), images, tmp_path, ["coco"], num_workers)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_broken_images_leave_their_batch(
    num_workers: int,
    images: list[ImageFile],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Four of equal size make a batch: there are only these."""
    for i in (1, 4, 5, 6, 7):
        images[i].path.write_text("no image")
    predictor = FakePredictor()
    with pytest.raises(
        DataError, match=r"5 of 9 images failed; the first: .*1.png: not a readable"
    ):
        predict_images(predictor, images, tmp_path, ["coco"], num_workers, batch_size=4)
    assert predictor.batch_sizes == [4]
    assert listed(tmp_path) == [0, 2, 3, 8]
    assert capsys.readouterr().err.count("skipped: ") == 5


def test_images_of_alternating_sizes_make_full_batches(
    images: list[ImageFile], tmp_path: Path
) -> None:
    for image in images[::2]:
        Image.new("RGB", (SIZE[1], 2 * SIZE[0])).save(image.path)
    predictor = FakePredictor()
    predict_images(predictor, images, tmp_path, ["coco"], batch_size=2)
    assert predictor.batch_sizes == [2, 2, 2, 2, 1]
    assert listed(tmp_path) == list(range(9))


def raising(error: Exception) -> Callable[[], None]:
    def event() -> None:
        raise error

    return event


def opencv_without_memory() -> None:
    error = cv2.error("Failed to allocate 4800000000 bytes")
    error.code = cv2.Error.StsNoMem
    raise error


NO_ROOM = {
    "Python": raising(MemoryError()),
    "OpenCV": opencv_without_memory,
    "a runtime": raising(DataError("model.onnx: cannot be run (Failed to allocate)")),
}


@pytest.mark.parametrize("kind", NO_ROOM)
def test_a_batch_without_memory_is_predicted_one_by_one(
    kind: str, images: list[ImageFile], tmp_path: Path
) -> None:
    predictor = FakePredictor(1, NO_ROOM[kind])
    predict_images(predictor, images, tmp_path, ["coco"], batch_size=4)
    assert predictor.batch_sizes == [4, 4, 1, 1, 1, 1, 1]
    assert listed(tmp_path) == list(range(9))


@pytest.mark.parametrize("kind", ["Python", "OpenCV"])
@pytest.mark.parametrize("where", ["reading", "the network", "writing"])
def test_an_image_without_memory_is_skipped(
    kind: str,
    where: str,
    images: list[ImageFile],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The third of nine."""
    if where == "reading":
        read = files.read_image
        event = {images[2].path: NO_ROOM[kind]}
        monkeypatch.setattr(files, "read_image", lambda p: event.get(p, lambda: None)() or read(p))
    if where == "writing":
        calls = iter([lambda: None, lambda: None, NO_ROOM[kind], *[lambda: None] * 6])
        render = Coco.render
        monkeypatch.setattr(Coco, "render", lambda *given: next(calls)() or render(*given))
    predictor = FakePredictor(2 if where == "the network" else -1, NO_ROOM[kind])
    with pytest.raises(DataError, match=r"1 of 9 images failed; the first: .*2\.png: "):
        predict_images(predictor, images, tmp_path, ["coco"])
    assert listed(tmp_path) == [0, 1, 3, 4, 5, 6, 7, 8]
    assert capsys.readouterr().err.count("skipped: ") == 1


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("error", [ZeroDivisionError("odd"), KeyboardInterrupt()])
def test_an_end_by_surprise_leaves_a_list_of_what_is_done(
    num_workers: int, error: BaseException, images: list[ImageFile], tmp_path: Path
) -> None:
    predictor = FakePredictor(5, raising(error))
    with pytest.raises(type(error)):
        predict_images(predictor, images, tmp_path, ["coco"], num_workers)
    done = listed(tmp_path)
    assert done == list(range(len(done)))
    assert done or num_workers
    predict_images(FakePredictor(), images[7:], tmp_path, ["coco"], num_workers)
    assert listed(tmp_path) == [*done, 7, 8]


@pytest.mark.parametrize("rank", [0, 3])
def test_two_predictions_do_not_share_a_folder(
    rank: int, images: list[ImageFile], tmp_path: Path
) -> None:
    """Also where the first process of the other one was killed, and a further one goes on."""
    code = (
        "import sys; from panoptic_deeplab.results.lock import held\n"
        "with held(sys.argv[1], int(sys.argv[2])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(rank)]
    before = set(tmp_path.iterdir())
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=rf"another prediction writes .*process {other.pid}"):
            predict_images(FakePredictor(), images, tmp_path, ["coco"])
        other.stdin.close()
    assert set(tmp_path.iterdir()) == before
    predict_images(FakePredictor(), images, tmp_path, ["coco"])
    assert listed(tmp_path) == list(range(9))


def test_the_end_of_another_process_is_told(
    images: list[ImageFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = run._Share(3, [], None, "no space left")

    def gather(value: object, is_stopped: Callable[[], bool]) -> list[object]:
        return [value, other] if isinstance(value, run._Share) else [value]

    monkeypatch.setattr(run.distributed, "gather_patiently", gather)
    with pytest.raises(DataError, match="12 of 9 images are done; a process failed: no space"):
        predict_images(FakePredictor(), images, tmp_path, ["coco"])
    assert listed(tmp_path) == list(range(9))


def test_an_image_that_goes_is_told_and_one_that_comes_is_not_taken(
    images: list[ImageFile], tmp_path: Path
) -> None:
    def change() -> None:
        images[8].path.unlink()
        Image.new("RGB", SIZE[::-1]).save(tmp_path / "new.png")

    with pytest.raises(DataError, match=r"1 of 9 images failed; the first: .*8.png: no such file"):
        predict_images(FakePredictor(2, change), images, tmp_path, ["coco"], num_workers=0)
    assert listed(tmp_path) == list(range(8))


@pytest.mark.parametrize("profile", [False, True])
def test_the_times_are_told(
    profile: bool,
    images: list[ImageFile],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", "panoptic_deeplab"):
        predict_images(FakePredictor(), images, tmp_path, ["coco"], profile=profile)
    assert "9 images" in caplog.text
    assert "reading" in caplog.text
    assert "writing" in caplog.text
    assert "network: busy for " in caplog.text
    assert ("of total" in caplog.text) == profile


def test_predict_names_all_forms(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict.main(["--help"])
    helped = "".join(capsys.readouterr().out.split())  # lines break at hyphens too
    for name, what in FORMATS.items():
        assert "".join(f"{name}: {what}".split()) in helped


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
    predict_images(FakePredictor(), found, tmp_path, ["images", "coco", "csv"])
    rows = (tmp_path / "segments.csv").read_text("utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["image", "a", "b%FF"]
    for source in ("panoptic.json", "coco/panoptic.json"):
        content = json.loads((tmp_path / source).read_bytes().decode("utf-8"))
        assert [image["file_name"] for image in content["images"]] == ["a.png", "b%FF.png"]
        assert (tmp_path / source).with_suffix("").joinpath("b%FF.png").is_file()


def test_ground_truth_reaches_the_page_and_one_that_does_not_fit_costs_its_image_alone(
    images: list[ImageFile], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [
        {"image_id": i, "file_name": f"{i}.png", "segments_info": [{"id": 5, "category_id": 1}]}
        for i in (0, 1)
    ]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"annotations": entries}))
    write_ids(tmp_path / "truth" / "0.png", np.full(SIZE, 5))
    write_ids(tmp_path / "truth" / "1.png", np.full((3, 3), 5))
    with pytest.raises(DataError, match=r"1 of 3 images failed; the first: .*1\.png is"):
        predict_images(
            FakePredictor(),
            images[:3],
            tmp_path,
            ["html"],
            ground_truth=GroundTruthFiles(path, INFO),
        )
    page = (tmp_path / "html" / "index.html").read_text("utf-8")
    assert page.count('"groundTruth": {') == page.count('"groundTruth": null') == 1
