"""What --save_video writes plays in a real browser: finished, interrupted, and killed."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawn_checkpoint import drawn_image, write_checkpoint

from panoptic_deeplab.cli import predict

if TYPE_CHECKING:
    from playwright.sync_api import Page

for package in ("av", "playwright"):
    pytest.importorskip(package)

from web_export import static_server  # noqa: E402

from panoptic_deeplab.video.writing import VideoWriter  # noqa: E402

SECONDS, RATE = 10, 5
STOPPED_AFTER = 30
"""Frames."""
PLAY = """async (name) => {
  const video = document.createElement("video");
  video.muted = true;
  video.src = name;
  document.body.append(video);
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new Error(video.error.message));
  });
  video.playbackRate = 16;
  await video.play();
  await new Promise((resolve) => { video.onended = resolve; });
  return video.currentTime;
}"""


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


def played(page: Page, path: Path) -> float:
    """Play a video to its end; return the time that it then shows, in seconds."""
    with static_server(path.parent) as address:
        page.goto(address)
        return page.evaluate(PLAY, path.name)


def test_ten_seconds_through_the_network_play(page: Page, folder: Path, tmp_path: Path) -> None:
    assert predict_video(folder, tmp_path / "out.mp4") == 0
    assert played(page, tmp_path / "out.mp4") == pytest.approx(SECONDS, abs=0.2)


def test_an_interrupted_and_a_killed_video_play(
    page: Page, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C keeps every frame that is done; what was on the disk before has whole seconds."""
    add, count = VideoWriter.add, 0

    def interrupted(self: VideoWriter, image: np.ndarray, time: float | None = None) -> None:
        nonlocal count
        add(self, image, time)
        count += 1
        if count == STOPPED_AFTER:
            shutil.copyfile(self.path, tmp_path / "killed.mp4")
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(VideoWriter, "add", interrupted)
    assert predict_video(folder, tmp_path / "out.mp4") == 130
    assert STOPPED_AFTER / RATE <= played(page, tmp_path / "out.mp4") < SECONDS - 1
    assert 2 <= played(page, tmp_path / "killed.mp4") <= STOPPED_AFTER / RATE
