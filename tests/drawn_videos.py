"""Tiny videos for tests: colored frames whose index can be read from their red value."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZE = (48, 64)
RED_STEP = 20
_FIXED_POINT = 1 << 16


def frame(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """[H, W, 3] uint8: red tells the index, the upper left corner is white."""
    image = np.full((*size, 3), [RED_STEP * (index % 12), 60, 60], np.uint8)
    image[: size[0] // 4, : size[1] // 4] = 255
    return image


def index_of(image: np.ndarray) -> int:
    """The index below 12 of a frame, as its middle tells it."""
    height, width = image.shape[:2]
    return round(float(image[height // 2, width // 2, 0]) / RED_STEP)


def write_video(
    path: Path,
    count: int = 12,
    *,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    ticks: list[int] | None = None,
) -> Path:
    """Write a video of 10 frames a second, or with the k-th frame after `ticks[k]` tenths."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        # Each frame is a key frame, so that a broken one breaks no other.
        stream = container.add_stream(codec, rate=10, options={"g": "1"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for i in range(count):
            drawn = av.VideoFrame.from_ndarray(frame(i, size), format="rgb24")
            drawn.pts = i if ticks is None else ticks[i]
            container.mux(stream.encode(drawn))
        container.mux(stream.encode(None))
    return path


def cut_off(path: Path) -> Path:
    """Leave the index of a video and half of its frames, as a full disk does."""
    content = path.read_bytes()
    start = content.find(b"mdat")
    path.write_bytes(content[: start + (len(content) - start) // 2])
    return path


def damage(path: Path, count: int = 12, broken: int = 5) -> Path:
    """Overwrite one of the frames with zeros."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert len(packets) == count
        at, size = packets[broken].pos, packets[broken].size
    content[at : at + size] = bytes(size)
    path.write_bytes(content)
    return path


def turn(path: Path) -> Path:
    """Say in the file that the frames are to be turned clockwise by 90 degrees, as phones do."""
    content = bytearray(path.read_bytes())
    matrix = content.find(b"tkhd") + 44  # ISO 14496-12, 8.3.2: behind times, ids and volume
    clockwise = [0, _FIXED_POINT, 0, -_FIXED_POINT, 0, 0, 0, 0, 1 << 30]
    content[matrix : matrix + 36] = np.array(clockwise, ">i4").tobytes()
    path.write_bytes(content)
    return path


def rename_codec(path: Path) -> Path:
    """Say that the frames are of a kind that no decoder knows."""
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    return path


def write_sound(path: Path) -> Path:
    """Write a file with sound alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    return path


def join(path: Path, *parts: Path) -> Path:
    """Put transport streams one behind the other."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def played_to_the_end(page: Page, path: Path) -> float:
    """Play a file in the browser and return its duration in seconds."""
    content = base64.b64encode(path.read_bytes()).decode()
    return page.evaluate(
        """(source) => new Promise((resolve, reject) => {
            const video = document.createElement("video")
            video.muted = true
            video.defaultPlaybackRate = 16
            video.onended = () => resolve(video.duration)
            video.onerror = () => reject(video.error.message)
            video.src = source
            video.play()
        })""",
        f"data:video/mp4;base64,{content}",
    )
