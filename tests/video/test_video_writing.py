"""Videos of overlays: what players need, times, odd sizes, and what a kill leaves."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from drawn_videos import frame, index_of, played_to_the_end
from playwright.sync_api import Page

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.video.reading import Video
from panoptic_deeplab.video.writing import VideoWriter


def write(path: Path, count: int = 12, size: tuple[int, int] = (48, 64)) -> Path:
    with VideoWriter(path, 10) as video:
        for i in range(count):
            video.add(frame(i, size), i / 10)
    return path


def test_a_video_is_h264_as_browsers_take_it(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "a.mp4")
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.codec_context.max_b_frames >= 0
    frames = list(Video(path, "a.mp4").frames())
    assert [index_of(f.pixels) for f in frames] == list(range(12))
    np.testing.assert_allclose([f.time for f in frames], np.arange(12) / 10, atol=1e-3)


def test_colors_come_back(tmp_path: Path) -> None:
    red = np.full((64, 64, 3), [200, 30, 40], np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 10) as video:
        video.add(red, 0)
    (read,) = Video(tmp_path / "a.mp4", "a.mp4").frames()
    np.testing.assert_allclose(read.pixels[32, 32], [200, 30, 40], atol=4)


def test_odd_and_changing_sizes_become_the_first_made_even(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as video:
        for size in [(47, 63), (80, 40), (47, 63)]:
            video.add(frame(3, size))
    frames = list(Video(tmp_path / "a.mp4", "a.mp4").frames())
    assert [f.pixels.shape for f in frames] == [(48, 64, 3)] * 3
    assert [f.time for f in frames] == pytest.approx([0, 0.1, 0.2], abs=1e-3)


def test_times_that_do_not_rise_are_put_right(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 10) as video:
        for time in (0.0, 0.2, 0.2, 0.1):
            video.add(frame(0), time)
    assert len(list(Video(tmp_path / "a.mp4", "a.mp4").frames())) == 4


def test_without_a_frame_no_file_is_left(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", 0)
    assert not list(tmp_path.iterdir())


def test_without_a_frame_a_file_from_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    path.write_bytes(b"an earlier video")
    with VideoWriter(path):
        pass
    assert path.read_bytes() == b"an earlier video"


KILLED = """
import os, sys
from pathlib import Path
from drawn_videos import frame
from panoptic_deeplab.video.writing import VideoWriter
video = VideoWriter(Path(sys.argv[1]), 10)
for i in range(60):
    video.add(frame(i), i / 10)
os.kill(os.getpid(), 9)
"""


def test_a_killed_writer_leaves_a_video_that_plays(tmp_path: Path, page: Page) -> None:
    """All but the fragments that were not whole, here 60 frames at 10 a second."""
    path = tmp_path / "a.mp4"
    places = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], env={**os.environ, "PYTHONPATH": places}
    )
    assert ended.returncode == -signal.SIGKILL
    frames = list(Video(path, "a.mp4").frames())
    assert 20 <= len(frames) < 60
    assert [index_of(f.pixels) for f in frames] == [i % 12 for i in range(len(frames))]
    assert played_to_the_end(page, path) == pytest.approx(len(frames) / 10, abs=0.11)


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write(path, 30)


def test_a_full_disk_leaves_whole_fragments_that_play(tmp_path: Path, page: Page) -> None:
    """Without the cut a browser ends with an error where the last fragment breaks off."""
    path = write(tmp_path / "whole.mp4", 60)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cut\.mp4"):
            write(tmp_path / "cut.mp4", 60)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    count = len(list(Video(tmp_path / "cut.mp4", "cut.mp4").frames()))
    assert 0 < count < 60
    assert played_to_the_end(page, tmp_path / "cut.mp4") == pytest.approx(count / 10, abs=0.11)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        VideoWriter(tmp_path / "file" / "a.mp4")
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        VideoWriter(tmp_path / "a.mp4")
