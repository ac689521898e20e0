"""The newest frame of a camera or a stream: what the network is too slow for is passed over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.addresses import hide_secrets, without_secrets
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.video.frames import VideoFrame, pixels_of
from panoptic_deeplab.video.library import load_pyav, why

if TYPE_CHECKING:
    import av

TIMEOUT_SECONDS = 10.0
"""Longest silence of a camera."""
LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "udp", "tcp", "srt", "rtp")
"""Of addresses that are taken for live streams."""

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_TO_END = 2.0
_ATTEMPTS = 100  # frames in a row that cannot be decoded, as before the first key frame

Opener = Callable[..., Any]


class LiveFrames:
    """A camera or stream, read in a thread that keeps the newest frame alone.

    Args:
        source: an address, or the number of a camera (`/dev/videoN`).
        timeout: seconds without a frame after which it counts as broken.
        opener: opens it, as `av.open` does, which it is by default.

    Attributes:
        name: of the source, without what is secret in it.

    Raises:
        UsageError: PyAV is not installed.
    """

    def __init__(
        self, source: str | int, timeout: float = TIMEOUT_SECONDS, opener: Opener | None = None
    ) -> None:
        self._source = source
        self._timeout = timeout
        self._open = opener or load_pyav().open
        self.name = f"camera {source}" if isinstance(source, int) else without_secrets(source)

    def frames(
        self, every: int = 1, is_stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[VideoFrame]:
        """Yield the newest frame each time, until the stream ends.

        Args:
            every: frames from one to the next at least.
            is_stopped: asked while it waits; the frames end where it says so.

        Raises:
            DataError: it cannot be opened, breaks off, or is silent for too long.
        """
        newest = _Newest()
        reader = threading.Thread(
            target=self._read, args=(newest,), name=f"reader of {self.name}", daemon=True
        )
        reader.start()
        wanted = 0
        try:
            while (taken := self._next(newest, is_stopped)) is not None:
                index, at, frame = taken
                if index >= wanted:
                    wanted = index + every
                    yield VideoFrame(index, at, pixels_of(frame, f"{self.name}: frame {index}"))
        finally:
            newest.stop()
            reader.join(_SECONDS_TO_END)  # a driver that hangs must not hold the program

    def _next(
        self, newest: _Newest, is_stopped: Callable[[], bool]
    ) -> tuple[int, float, av.VideoFrame] | None:
        deadline = time.monotonic() + self._timeout
        while not is_stopped():
            taken = newest.take(_SECONDS_BETWEEN_LOOKS)
            if taken is not None:
                return taken
            if newest.error is not None:
                raise newest.error from None  # its cause would tell the address
            if newest.has_ended:
                return None
            if time.monotonic() > deadline:
                raise self._silence()
        return None

    def _silence(self) -> DataError:
        return DataError(
            f"{self.name}: no frame came for {self._timeout:g} s; check the camera, its address "
            "and the network"
        )

    def _read(self, newest: _Newest) -> None:
        """Read frames as fast as they come until told to stop; in a thread of its own."""
        try:
            with self._opened() as container:
                if not container.streams.video:
                    raise DataError(f"{self.name}: there is no video in this stream")
                started = time.monotonic()
                for frame in _decodable(container):
                    newest.put(frame, time.monotonic() - started)
                    if newest.is_stopped:
                        break
        except DataError as error:
            newest.end(error)
        except (load_pyav().error.ExitError, TimeoutError):  # how FFmpeg ends after the limits
            newest.end(self._silence())
        except Exception as error:  # FFmpeg's own, and what a driver leads to
            newest.end(DataError(f"{self.name}: cannot be read ({self._shown(why(error))})"))
        else:
            newest.end()

    def _opened(self) -> Any:
        limits = {"timeout": (self._timeout, self._timeout)}
        if isinstance(self._source, int):
            return self._open(f"/dev/video{self._source}", format="v4l2", **limits)
        options = {"rtsp_transport": "tcp", "protocol_whitelist": _NETWORK}
        return self._open(self._source, options=options, **limits)

    def _shown(self, text: str) -> str:
        return text if isinstance(self._source, int) else hide_secrets(text, self._source)


_NETWORK = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,rtmp,srt,crypto"
"""A stream cannot make this machine open its own files."""


class _Newest:
    """The newest frame, handed from the reading thread to the one that predicts.

    Attributes:
        error: what ended the reading, None where nothing did.
        has_ended: whether nothing more comes.
        is_stopped: whether the reading is asked to end.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._frame: tuple[int, float, Any] | None = None
        self._count = 0
        self.error: DataError | None = None
        self.has_ended = False
        self.is_stopped = False

    def put(self, frame: Any, at: float) -> None:
        with self._condition:
            self._frame = (self._count, at, frame)
            self._count += 1
            self._condition.notify()

    def take(self, seconds: float) -> tuple[int, float, Any] | None:
        """Return the newest frame once, its index and time; None where none comes."""
        with self._condition:
            if self._frame is None and not self.has_ended:
                self._condition.wait(seconds)
            frame, self._frame = self._frame, None
            return frame

    def end(self, error: DataError | None = None) -> None:
        with self._condition:
            self.error, self.has_ended = error, True
            self._condition.notify()

    def stop(self) -> None:
        self.is_stopped = True


def _decodable(container: Any) -> Iterator[Any]:
    """Yield the frames of a stream; packets that cannot be decoded are passed over, within limits.

    A stream is entered between two key frames, so the first ones often lack what they refer to.
    """
    av = load_pyav()
    failures = 0
    for packet in container.demux(video=0):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            failures += 1
            if failures > _ATTEMPTS:
                raise
            continue
        failures = 0
        yield from frames
