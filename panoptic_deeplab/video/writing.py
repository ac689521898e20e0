"""Writes images as a video that browsers play, and that stays playable however the writing ends."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.video.library import load_pyav, why

FRAME_RATE = 10
"""Of images that have no times."""

_TICKS = 90_000  # a second, as in MPEG
_SECONDS_A_FRAGMENT = 1
_BT709 = 1  # as FFmpeg numbers the color spaces
_CONTAINER_OPTIONS = {
    # Each fragment can be played by itself, and is on the disk when the next one begins.
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "flush_packets": "1",
}
_ENCODER_OPTIONS = {"preset": "veryfast", "crf": "23"}


class VideoWriter:
    """A file of H.264 (yuv420p) in fragments of a second.

    A process that is killed leaves all but the last fragments. All frames get the size of the first
    one, made even by repeating its last row or column.

    Args:
        path: the file, which is replaced.
        frame_rate: of the frames, per second: of those without a time, and by which it is
            decided how often a fragment begins; None for `FRAME_RATE`.

    Raises:
        UsageError: PyAV or its encoder is not there, or the file cannot be written.
    """

    def __init__(self, path: Path, frame_rate: float | None = None) -> None:
        av = load_pyav()
        self.path = path
        self._size: tuple[int, int] | None = None
        self._frame_rate = frame_rate or FRAME_RATE
        self._count = 0
        self._is_broken = False
        self._last_tick = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._is_new = not path.exists()
            path.open("ab").close()  # PyAV opens it, and empties it, at the first frame only
            self._container = av.open(
                str(path), "w", format="mp4", container_options=_CONTAINER_OPTIONS
            )
            self._stream = self._container.add_stream("libx264", options=_ENCODER_OPTIONS)
        except (OSError, ValueError) as error:  # FFmpeg's own are of these
            raise UsageError(f"--save_video {path}: cannot be written ({why(error)})") from error
        context = self._stream.codec_context
        context.pix_fmt = "yuv420p"
        context.time_base = self._stream.time_base = Fraction(1, _TICKS)
        context.gop_size = max(1, round(self._frame_rate * _SECONDS_A_FRAGMENT))
        context.colorspace = context.color_primaries = context.color_trc = _BT709

    def add(self, image: np.ndarray, time: float | None = None) -> None:
        """Add a frame.

        Args:
            image: [H, W, 3] uint8 RGB.
            time: seconds from the first frame; None where frames have no times.

        Raises:
            OSError: it cannot be written, to a full disk say.
        """
        av = load_pyav()
        if self._size is None:
            self._size = image.shape[:2]
            context = self._stream.codec_context
            context.height, context.width = (side + side % 2 for side in self._size)
        if image.shape[:2] != self._size:
            image = cv2.resize(image, self._size[::-1], interpolation=cv2.INTER_AREA)
        height, width = self._size
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709)
        frame.time_base = self._stream.codec_context.time_base
        shown = self._count / self._frame_rate if time is None else time
        self._last_tick = frame.pts = max(round(shown * _TICKS), self._last_tick + 1)
        self._count += 1
        with self._named_errors():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file; without any frame, none is left, but one that was there before.

        Raises:
            OSError: it cannot be written.
        """
        try:
            with self._named_errors():
                if self._size is not None and not self._is_broken:  # FFmpeg would crash
                    self._container.mux(self._stream.encode(None))
                self._container.close()
        finally:
            if self._is_broken and self.path.is_file():
                _cut_to_whole_fragments(self.path)
        if self._size is None and self._is_new:
            self.path.unlink(missing_ok=True)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Raise FFmpeg's errors as the system's, with the file's name."""
        try:
            yield
        except load_pyav().error.FFmpegError as error:
            self._is_broken = True
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_BOX = struct.Struct(">I4s")
"""How each part of an MP4 begins: its length in bytes and its kind."""


def _cut_to_whole_fragments(path: Path) -> None:
    """Drop a fragment that is not written to its end, at which players stop with an error."""
    size, end, whole = path.stat().st_size, 0, 0
    with path.open("r+b") as file:
        while end + _BOX.size <= size:
            length, kind = _BOX.unpack(file.read(_BOX.size))
            end += length
            if length < _BOX.size or end > size:
                break
            if kind != b"moof":  # which tells of the data behind it
                whole = end
            file.seek(end)
        file.truncate(whole)
