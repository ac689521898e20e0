"""The frames of a video file, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.video.frames import VideoFrame, pixels_of
from panoptic_deeplab.video.library import load_pyav, why

if TYPE_CHECKING:
    import av

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".wmv"}
    | {".flv", ".ogv", ".3gp", ".gif", ".mjpeg", ".h264", ".hevc"}
)
"""Of files that are taken for videos."""


class Video:
    """A video file.

    Args:
        file: its path, or its content.
        name: its name, for errors.

    Attributes:
        frame_count: as the file says; where it does not, its packets, each of which holds a frame.
        frame_rate: frames per second on average, None where the file does not tell.

    Raises:
        UsageError: PyAV is not installed.
        DataError: it is not a readable video, or has no frames.
    """

    def __init__(self, file: Path | BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        with self._opened() as (container, stream):
            self.frame_count = stream.frames or sum(p.size > 0 for p in container.demux(stream))
            self.frame_rate = float(stream.average_rate or stream.guessed_rate or 0) or None
        if not self.frame_count:
            raise DataError(f"{name}: this video has no frames")

    def frames(self, every: int = 1) -> Iterator[VideoFrame]:
        """Read the frames in the order in which they are shown.

        A broken frame comes with its error in place of pixels, and so does the first frame that is
        missing where the file ends early.

        Args:
            every: take each frame whose index it divides.
        """
        with self._opened() as (container, stream):
            start, time = None, 0.0
            for index, decoded in enumerate(self._decoded(container, stream)):
                name = f"{self._name}: frame {index}"
                if isinstance(decoded, DataError):
                    yield VideoFrame(index, time, DataError(f"{name}: {decoded}"))
                else:
                    shown = self._time_of(decoded, index)
                    start = shown if start is None else start
                    time = max(time, shown - start)
                    if index % every == 0:
                        yield VideoFrame(index, time, pixels_of(decoded, name))

    def _decoded(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[av.VideoFrame | DataError]:
        """Yield the decoded frames, and the error of each packet that is broken."""
        av = load_pyav()
        packets, read, has_ended = container.demux(stream), 0, False
        while not has_ended:
            try:
                packet = next(packets)
            except av.error.FFmpegError as error:
                yield DataError(f"the rest of the file cannot be read ({why(error)})")
                return
            has_ended = packet.size == 0  # the last one, which asks for the frames in between
            read += not has_ended
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                yield DataError(f"cannot be decoded ({why(error)})")
        if read < stream.frames:
            yield DataError(
                f"missing; the file holds {read} of the {stream.frames} frames that it promises, "
                "so it is cut off"
            )

    def _time_of(self, frame: av.VideoFrame, index: int) -> float:
        if frame.time is not None:
            return frame.time
        return index / self.frame_rate if self.frame_rate else 0.0

    @contextmanager
    def _opened(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        av = load_pyav()
        if not isinstance(self._file, Path):
            self._file.seek(0)
        try:
            container = av.open(
                str(self._file) if isinstance(self._file, Path) else self._file,
                metadata_errors="replace",
                options=_LOCAL_ONLY,
            )
        except av.error.FFmpegError as error:
            raise DataError(
                f"{self._name}: not a readable video ({why(error)}); it is cut off, or of "
                "another kind"
            ) from error
        with container:
            if not container.streams.video:
                raise DataError(f"{self._name}: this file has no video in it, only other streams")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise DataError(f"{self._name}: there is no decoder for its kind of video")
            yield container, stream


_LOCAL_ONLY = {"protocol_whitelist": "file,pipe"}
"""A file of some kinds can name others, or addresses, which are not opened for it."""
