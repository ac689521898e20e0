"""From videos and lists to files of results: names, broken frames, signals, tracks, one process."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from drawn_videos import cut_off, damage, index_of, write_video
from PIL import Image

from panoptic_deeplab.cli import predict as cli
from panoptic_deeplab.engine import distributed
from panoptic_deeplab.errors import DataError, UsageError, UserError
from panoptic_deeplab.formats.images import encode_image, read_ids
from panoptic_deeplab.inference.model import Model
from panoptic_deeplab.inference.run import predict_source
from panoptic_deeplab.inference.sources import frames as frame_sources
from panoptic_deeplab.inference.sources import images as image_sources
from panoptic_deeplab.inference.sources import iterate_source, open_source
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment
from panoptic_deeplab.video.live import LiveFrames
from panoptic_deeplab.video.reading import Video

INFO = DatasetInfo(
    "toys", (Category("floor", False, (90, 90, 90), 7), Category("ball", True, (200, 0, 0), 9))
)
NUM_CLASSES = 2


class FakePredictor:
    """Sees a floor with a ball, whose id changes with each frame, and a second one from frame 3.

    Attributes:
        seen: index of each frame, as its red tells it.
    """

    def __init__(self, at: int = -1, event: Callable[[], None] = lambda: None) -> None:
        self.info = INFO
        self.watch = Stopwatch()
        self.seen: list[int] = []
        self.at, self.event = at, event

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        return [self._predict(image) for image in images]

    def _predict(self, image: np.ndarray) -> Prediction:
        index = index_of(image)
        self.seen.append(index)
        if len(self.seen) == self.at + 1:
            self.event()
        ids = np.full(image.shape[:2], 5, np.int32)
        ball, other = (1, 2) if index % 2 else (2, 1)
        ids[4:20, 4 + index : 20 + index] = ball
        segments = [Segment(5, 0, area=1), Segment(ball, 1, is_thing=True, score=0.9, area=1)]
        if index >= 3:
            ids[30:40, 10:30] = other
            segments.append(Segment(other, 1, is_thing=True, score=0.8, area=1))
        return Prediction(ids, segments)


def listed(folder: Path) -> dict[str, list[dict]]:
    """What the list of `coco` says: file name -> segments."""
    content = json.loads((folder / "coco" / "panoptic.json").read_text())
    return {a["file_name"]: a["segments_info"] for a in content["annotations"]}


def names(*indices: int) -> list[str]:
    return [f"drive_{index:06d}.png" for index in indices]


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """Twelve frames of 48 x 64 pixels."""
    return write_video(tmp_path / "drive.mp4")


@pytest.fixture
def save_dir(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(("num_workers", "batch_size"), [(0, 1), (2, 3)])
def test_each_frame_gets_its_results_and_a_place_in_the_video(
    num_workers: int, batch_size: int, drive: Path, save_dir: Path, tmp_path: Path
) -> None:
    predictor, video = FakePredictor(), tmp_path / "new" / "drive.mp4"
    source = open_source(str(drive))
    predict_source(predictor, source, save_dir, ["coco"], num_workers, batch_size, video=video)
    assert predictor.seen == list(range(12))
    assert list(listed(save_dir)) == names(*range(12))
    frames = list(Video(video, "v").frames())
    assert [f.time for f in frames] == pytest.approx(np.arange(12) / 10, abs=1e-3)


def test_every_and_max_frames_choose_frames_and_images(drive: Path, save_dir: Path) -> None:
    source = open_source(str(drive), every=3, max_frames=3)
    predict_source(FakePredictor(), source, save_dir, ["coco"])
    assert list(listed(save_dir)) == names(0, 3, 6)
    for i in range(5):
        Image.new("RGB", (8, 8)).save(drive.parent / f"{i}.png")
    assert open_source(str(drive.parent / "?.png"), every=2).names == ["0", "2", "4"]


def test_tracked_things_keep_their_written_ids(drive: Path, save_dir: Path) -> None:
    """Floor is its class + 1; the balls are tracks 1 and 2 behind the classes."""
    predict_source(FakePredictor(), open_source(str(drive)), save_dir, ["coco"], track=True)
    for index, (name, segments) in enumerate(listed(save_dir).items()):
        found = {segment["id"]: segment.get("track_id") for segment in segments}
        second = {NUM_CLASSES + 2: 2} if index >= 3 else {}
        assert found == {1: None, NUM_CLASSES + 1: 1} | second
        ids = read_ids(save_dir / "coco" / "panoptic" / name)
        assert ids[10, 10 + index] == NUM_CLASSES + 1
        assert set(np.unique(ids)) == set(found)


def test_broken_frames_are_told_and_passed_over(
    drive: Path, save_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = tmp_path / "v.mp4"
    with pytest.raises(DataError, match=r"1 of 12 frames failed; the first: .*drive.mp4: frame 5"):
        predict_source(
            FakePredictor(), open_source(str(damage(drive))), save_dir, ["coco"], video=video
        )
    assert "drive.mp4: frame 5: " in capsys.readouterr().err
    assert list(listed(save_dir)) == names(*(i for i in range(12) if i != 5))
    times = [frame.time for frame in Video(video, "v").frames()]
    assert times[4:6] == pytest.approx([0.4, 0.6], abs=1e-3)


def test_a_video_that_is_cut_off_is_predicted_up_to_there(drive: Path, save_dir: Path) -> None:
    with pytest.raises(DataError, match="of 12 frames failed"):
        predict_source(FakePredictor(), open_source(str(cut_off(drive))), save_dir, ["coco"])
    done = listed(save_dir)
    assert list(done) == names(*range(len(done)))


def test_another_folder_is_another_video(save_dir: Path, tmp_path: Path) -> None:
    """As the sequences of KITTI-STEP: ids begin at 1 in each."""
    for place in ("a/0", "a/1", "b/0"):
        (tmp_path / "in" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (80, 0, 0)).save(tmp_path / "in" / f"{place}.png")
    predict_source(
        FakePredictor(), open_source(str(tmp_path / "in")), save_dir, ["coco"], track=True
    )
    tracks = {
        name: {segment.get("track_id") for segment in segments}
        for name, segments in listed(save_dir).items()
    }
    assert tracks == {f"{place}.png": {None, 1, 2} for place in ("a/0", "a/1", "b/0")}


def test_images_of_other_sizes_keep_their_place_in_a_video(save_dir: Path, tmp_path: Path) -> None:
    for i in range(6):
        Image.new("RGB", (64, 48 + 2 * (i % 2)), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    predictor, source = FakePredictor(), open_source(str(tmp_path / "*.png"))
    predict_source(predictor, source, save_dir, ["coco"], 0, 3, video=tmp_path / "v.mp4")
    assert predictor.seen == list(range(6))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_list_and_a_video_that_plays(
    number: int, drive: Path, save_dir: Path, tmp_path: Path
) -> None:
    video = tmp_path / "v.mp4"
    predictor = FakePredictor(4, lambda: os.kill(os.getpid(), number))
    with pytest.raises(UserError, match="5 of 12 frames are done and listed") as error:
        predict_source(predictor, open_source(str(drive)), save_dir, ["coco"], video=video)
    assert error.value.exit_code == 128 + number
    assert list(listed(save_dir)) == names(*range(5))
    assert len(list(Video(video, "v").frames())) == 5


def test_an_error_in_the_middle_leaves_them_too(
    drive: Path, save_dir: Path, tmp_path: Path
) -> None:
    def fail() -> None:
        raise RuntimeError("the network broke")

    with pytest.raises(RuntimeError, match="the network broke"):
        predict_source(
            FakePredictor(4, fail),
            open_source(str(drive)),
            save_dir,
            ["coco"],
            num_workers=0,
            video=tmp_path / "v.mp4",
        )
    assert list(listed(save_dir)) == names(*range(4))
    assert len(list(Video(tmp_path / "v.mp4", "v").frames())) == 4


def test_the_video_that_is_read_is_not_replaced(drive: Path, save_dir: Path) -> None:
    content = drive.read_bytes()
    with pytest.raises(UsageError, match="is the video that is read"):
        predict_source(FakePredictor(), open_source(str(drive)), save_dir, video=drive)
    assert drive.read_bytes() == content


def test_images_make_a_video_too(save_dir: Path, tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (64, 48), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    video = tmp_path / "v.mp4"
    source = open_source(str(tmp_path / "*.png"))
    predict_source(FakePredictor(), source, save_dir, ["coco"], track=True, video=video)
    assert len(list(Video(video, "v").frames())) == 3


def test_several_processes_are_refused(
    drive: Path, save_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(UsageError, match="predict with one process in place of 2"):
        predict_source(FakePredictor(), open_source(str(drive)), save_dir)


def test_a_model_iterates_over_a_video(drive: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Model(FakePredictor())
    results = list(model.predict(damage(drive), track=True))
    assert [r.frame_index for r in results] == [i for i in range(12) if i != 5]
    assert [r.time for r in results[:3]] == pytest.approx([0, 0.1, 0.2])
    assert results[2].path == drive
    assert results[2].name == "drive_000002"
    assert {s.track_id for s in results[-1]} == {None, 1, 2}
    assert "drive.mp4: frame 5: " in caplog.text


def test_a_video_is_no_single_image(drive: Path) -> None:
    with pytest.raises(DataError, match=r"drive.mp4: is a video.*model\.predict gives its frames"):
        Model(FakePredictor())(str(drive))


@pytest.mark.parametrize("name", ["a.avi", "a", "folder/below.txt"])
def test_another_kind_of_video_is_refused_at_once(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--model_path", "m", "--source", "a.mp4", "--save_video", name])
    assert "must be a file named .mp4 or .m4v or .mov" in capsys.readouterr().err


def test_a_list_names_images_beside_it_and_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PaddleSeg's lists: relative to the list, with a label in a second column."""
    for place in ("data/a.png", "data/b c.png", "here/d.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / place)
    lines = ["# images", "b c.png", "", "a.png a_label.png", "d.png", str(tmp_path / "data/a.png")]
    (tmp_path / "data" / "list.txt").write_text("\n".join([*lines, "none.png"]))
    monkeypatch.chdir(tmp_path / "here")
    source = open_source("../data/list.txt")
    assert source.names == ["data/b c", "data/a", "here/d", "data/none"]
    read = list(source.read(0, Stopwatch(), lambda: False))
    assert "none.png: no such file" in str(read[3].pixels)
    assert all(image.pixels.shape == (8, 8, 3) for image in read[:3])


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "holds no image"), (b"# none\n", "holds no image"), (b"\xff\xfe", "paths in UTF-8")],
)
def test_a_list_without_images_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_source(str(tmp_path / "list.txt"))


def test_an_image_and_a_video_of_the_web(drive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(url: str, hint: str) -> bytes:
        asked.append(url)
        is_video = ".mp4" in url
        return drive.read_bytes() if is_video else encode_image(np.zeros((8, 8, 3), np.uint8))

    for module in (image_sources, frame_sources):
        monkeypatch.setattr(module, "read_url", fetch)
    source = open_source("https://me:word@host/b/cat.png?key=abc")
    (image,) = source.read(0, Stopwatch(), lambda: False)
    assert (image.name, image.origin) == ("cat", "https://***@host/b/cat.png?***")
    assert image.pixels.shape == (8, 8, 3)
    video = open_source("https://me:word@host/drive.mp4?key=abc", every=6)
    assert video.names == ["drive_000000", "drive_000006"]
    assert [f.frame_index for f in video.read(1, Stopwatch(), lambda: False)] == [0, 6]
    assert video.files == []  # a file of the same name here is another
    assert "word" not in repr(source) + repr(video)
    assert len(asked) == 2


def test_a_stream_is_named_without_its_secrets(
    drive: Path, save_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recordings of a camera never share a name, and nothing that is written tells the login."""

    def frames(live: LiveFrames, every: int, is_stopped: Callable[[], bool]) -> object:
        return Video(drive, "drive").frames(every)

    monkeypatch.setattr(LiveFrames, "frames", frames)
    source = open_source("rtsp://me:word@10.0.0.7:554/live.sdp?key=abc", max_frames=4)
    assert (source.count, source.names) == (4, [])
    predict_source(FakePredictor(), source, save_dir, ["coco"], video=tmp_path / "v.mp4")
    assert len(listed(save_dir)) == 4
    assert all(name.startswith("10-0-0-7-554-live-sdp-2") for name in listed(save_dir))
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert not any(secret in path.read_bytes() for secret in (b"word", b"abc"))


@pytest.mark.parametrize("address", ["rtsp://me:word@[::1/live", "https://me:word@]/a.png"])
def test_what_is_no_address_is_told_without_its_secrets(address: str) -> None:
    for use in (open_source, iterate_source):
        with pytest.raises(DataError, match=r"://\*\*\*@.*: is no address"):
            use(address)


@pytest.mark.parametrize("source", [0, "0"])
def test_a_number_is_a_camera(source: str | int, tmp_path: Path) -> None:
    if Path("/dev/video0").exists():
        pytest.skip("there is a camera")
    with pytest.raises(DataError, match="camera 0: cannot be read"):
        next(iterate_source(source))


def test_a_file_whose_name_is_a_number_is_no_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("0", "PNG")
    assert open_source("0").names == ["0"]
