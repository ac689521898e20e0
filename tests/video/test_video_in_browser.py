"""What --save_video writes plays in a real browser: finished and interrupted."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawn_checkpoint import drawn_image, write_checkpoint
from drawn_videos import played_to_the_end

from panoptic_deeplab.cli import predict

if TYPE_CHECKING:
    from playwright.sync_api import Page

for package in ("av", "playwright"):
    pytest.importorskip(package)

from panoptic_deeplab.video.writing import VideoWriter  # noqa: E402

SECONDS, RATE = 10, 3
STOPPED_AFTER = 15
"""Frames."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, and ten seconds of a drawn scene that moves to the left."""
    folder = tmp_path_factory.mktemp("video")
    write_checkpoint(folder)
    scene = drawn_image((49, 80 + SECONDS * RATE))
    with VideoWriter(folder / "drive.mp4", RATE) as writer:
        for i in range(SECONDS * RATE):
            writer.add(scene[:, i : i + 80])
    return folder


def predict_video(folder: Path, target: Path) -> int:
    words = ["--model_path", str(folder), "--device", "cpu", "--track", "--format", "csv"]
    words += ["--image_path", str(folder / "drive.mp4"), "--save_dir", str(target.with_suffix(""))]
    return predict.main([*words, "--save_video", str(target)])


def test_ten_seconds_through_the_network_play(page: Page, folder: Path, tmp_path: Path) -> None:
    assert predict_video(folder, tmp_path / "out.mp4") == 0
    assert played_to_the_end(page, tmp_path / "out.mp4") == pytest.approx(SECONDS, abs=0.4)


def test_an_interrupted_video_plays(
    page: Page, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C keeps every frame that is done."""
    add, count = VideoWriter.add, 0

    def interrupted(self: VideoWriter, image: np.ndarray, time: float | None = None) -> None:
        nonlocal count
        add(self, image, time)
        count += 1
        if count == STOPPED_AFTER:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(VideoWriter, "add", interrupted)
    assert predict_video(folder, tmp_path / "out.mp4") == 130
    assert STOPPED_AFTER / RATE <= played_to_the_end(page, tmp_path / "out.mp4") < SECONDS - 1
