"""Frames of video files: their order, times and sizes, and what is told of broken ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_videos import (
    SIZE,
    cut_off,
    damage,
    index_of,
    join,
    rename_codec,
    turn,
    write_sound,
    write_video,
)

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.video.frames import VideoFrame
from panoptic_deeplab.video.reading import Video


def read(path: Path, every: int = 1) -> list[VideoFrame]:
    return list(Video(path, path.name).frames(every))


def errors_of(frames: list[VideoFrame]) -> dict[int, str]:
    return {f.index: str(f.pixels) for f in frames if isinstance(f.pixels, DataError)}


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.ts", "libx264")],
)
def test_all_frames_come_in_order_with_their_times(name: str, codec: str, tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / name, codec=codec), name)
    assert (video.frame_count, video.frame_rate) == (12, pytest.approx(10))
    frames = list(video.frames())
    assert [index_of(frame.pixels) for frame in frames] == list(range(12))
    assert [frame.index for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 10, atol=1e-3)
    assert frames[0].pixels.shape == (*SIZE, 3)


def test_every_nth_frame_keeps_its_index_and_time(tmp_path: Path) -> None:
    frames = read(write_video(tmp_path / "a.mp4"), every=5)
    assert [(f.index, index_of(f.pixels)) for f in frames] == [(0, 0), (5, 5), (10, 10)]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.5, 1])


def test_a_variable_frame_rate_is_in_the_times(tmp_path: Path) -> None:
    ticks = [0, 1, 5, 6, 20]
    frames = read(write_video(tmp_path / "a.mp4", 5, ticks=ticks))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.5, 0.6, 2])


def test_a_video_that_is_to_be_turned_comes_upright(tmp_path: Path) -> None:
    """The white corner moves from the upper left to the upper right."""
    pixels = read(turn(write_video(tmp_path / "a.mp4")))[0].pixels
    assert pixels.shape == (*SIZE[::-1], 3)
    corners = [pixels[y, x, 1] > 200 for y in (2, -3) for x in (2, -3)]
    assert corners == [False, True, False, False]


def test_frames_may_change_their_size(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / f"{i}.ts", 3, size=size) for i, size in enumerate([SIZE, (32, 32)])
    ]
    frames = read(join(tmp_path / "a.ts", *parts))
    assert [f.pixels.shape[:2] for f in frames] == [SIZE] * 3 + [(32, 32)] * 3


def test_a_broken_frame_leaves_the_others(tmp_path: Path) -> None:
    frames = read(damage(write_video(tmp_path / "a.mp4"), broken=5))
    errors = errors_of(frames)
    assert list(errors) == [5]
    assert errors[5].startswith("a.mp4: frame 5: ")
    good = [f for f in frames if f.index != 5]
    assert [index_of(f.pixels) for f in good] == [i for i in range(12) if i != 5]


def test_a_video_that_is_cut_off_tells_it_behind_its_frames(tmp_path: Path) -> None:
    frames = read(cut_off(write_video(tmp_path / "a.mp4")))
    *_, last = errors_of(frames).values()
    assert "of the 12 frames that it promises, so it is cut off" in last
    good = [index_of(f.pixels) for f in frames if f.index not in errors_of(frames)]
    assert good
    assert good == list(range(len(good)))


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def text(path: Path) -> Path:
    path.write_text("no video at all\n" * 20)
    return path


def playlist(path: Path) -> Path:
    """Kinds of files that name others must not make this machine open those."""
    path.write_text(f"ffconcat version 1.0\nfile {write_video(path.with_name('other.mp4'))}\n")
    return path


def without_index(path: Path) -> Path:
    """A recording that was killed before its index was written."""
    content = write_video(path).read_bytes()
    path.write_bytes(content.replace(b"moov", b"junk"))
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "an empty file": (empty, "not a readable video"),
    "a text": (text, "not a readable video"),
    "a playlist": (playlist, "not a readable video"),
    "no index": (without_index, "not a readable video"),
    "sound alone": (write_sound, "has no video in it"),
    "no frames": (lambda path: write_video(path, 0), "a.mp4: "),
    "another codec": (lambda path: rename_codec(write_video(path)), "there is no decoder"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_usable_video_is_told_in_one_line(kind: str, tmp_path: Path) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(DataError, match=message) as error:
        read(make(tmp_path / "a.mp4"))
    assert "\n" not in str(error.value)
    assert "Errno" not in str(error.value)


def test_without_pyav_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r"pip install 'panoptic-deeplab\[video\]'"):
        Video(path, path.name)
