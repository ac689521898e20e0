"""Cameras and streams: the newest frame, a clean end, silence, and secrets in addresses."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from drawn_videos import index_of, write_sound, write_video

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.video.live import LiveFrames

ADDRESS = "rtsp://me:pass%20word@camera.test/live?token=abc"


class Camera:
    """Gives the packets of a file, some after an event, and then ends or is silent.

    Attributes:
        opened: the sources that were opened, with their options.
        is_closed: whether the reader has let go of it.
    """

    def __init__(self, path: Path, pauses: dict[int, threading.Event] | None = None) -> None:
        self._path = path
        self._pauses = pauses or {}
        self.opened: list[tuple[str, dict[str, Any]]] = []
        self.is_closed = False

    def __call__(self, source: str, **options: Any) -> Camera:
        self.opened.append((source, options))
        self._container = av.open(str(self._path))
        self.streams = self._container.streams
        return self

    def demux(self, video: int) -> Iterator[av.Packet]:
        for i, packet in enumerate(self._container.demux(video=video)):
            if i in self._pauses:
                self._pauses[i].wait(20)
            yield packet

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()
        self.is_closed = True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a.avi", codec="mpeg4")


def wait_for_threads() -> None:
    deadline = time.monotonic() + 5
    while any(t.name.startswith("reader of") for t in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_slow_reader_gets_the_newest_frame(path: Path) -> None:
    """Eight frames come while the first one is predicted; the next one taken is the last."""
    pauses = {1: threading.Event(), 9: threading.Event()}
    camera = Camera(path, pauses)
    frames = LiveFrames(0, 5, camera).frames()
    first = next(frames)
    pauses[1].set()
    time.sleep(0.3)
    second = next(frames)
    pauses[9].set()
    assert (first.index, second.index, index_of(second.pixels)) == (0, 8, 8)
    assert second.time > first.time
    assert list(frames)[-1].index == 11
    assert camera.opened == [("/dev/video0", {"format": "v4l2", "timeout": (5, 5)})]


def test_frames_are_at_least_so_many_apart(path: Path) -> None:
    indices = [frame.index for frame in LiveFrames(0, 5, Camera(path)).frames(every=4)]
    assert all(b - a >= 4 for a, b in pairwise(indices))


def test_silence_ends_it_in_one_line(path: Path) -> None:
    never = threading.Event()
    frames = LiveFrames(ADDRESS, 0.3, Camera(path, {2: never})).frames()
    started = time.monotonic()
    with pytest.raises(DataError, match=r"no frame came for 0\.3 s; check the camera"):
        list(frames)
    assert time.monotonic() - started < 4
    never.set()
    wait_for_threads()


@pytest.mark.parametrize(
    "error", [av.error.ExitError(0, "Immediate exit requested"), TimeoutError("timed out")]
)
def test_silence_that_ffmpeg_notices_is_told_in_the_same_words(error: Exception) -> None:
    def silent(address: str, **options: Any) -> Any:
        raise error

    with pytest.raises(DataError, match="no frame came for 5 s"):
        list(LiveFrames(ADDRESS, 5, silent).frames())


def test_it_stops_when_told_and_lets_the_camera_go(path: Path) -> None:
    event, camera = threading.Event(), Camera(path)
    camera._pauses = {3: event}
    frames = LiveFrames(0, 30, camera).frames(is_stopped=event.is_set)
    next(frames)
    event.set()
    assert list(frames) == []
    wait_for_threads()
    assert camera.is_closed


def test_who_ends_early_leaves_no_thread(path: Path) -> None:
    event = threading.Event()
    camera = Camera(path, {3: event})
    frames = LiveFrames(0, 30, camera).frames()
    next(frames)
    event.set()
    frames.close()
    wait_for_threads()
    assert camera.is_closed


@pytest.mark.parametrize("source", [ADDRESS, "rtsp://me:pass%20word@127.0.0.1:9/live?token=abc"])
def test_secrets_of_an_address_are_in_no_message(source: str, path: Path) -> None:
    """The second one is opened by FFmpeg itself, which finds nobody there."""

    def failing(address: str, **options: Any) -> Any:
        raise OSError(f"401 for {address} of me:pass word")

    live = LiveFrames(source, 5, failing if source == ADDRESS else None)
    with pytest.raises(DataError, match="cannot be read") as error:
        list(live.frames())
    told = "".join(traceback.format_exception(error.value)) + live.name
    for secret in ("pass", "word", "abc"):
        assert secret not in told
    assert "***@" in str(error.value)


def test_a_stream_without_video_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no video in this stream"):
        list(LiveFrames(0, 5, Camera(write_sound(tmp_path / "a.mp4"))).frames())
