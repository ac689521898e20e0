"""Videos, cameras and streams as a source: frames that come one after the other."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice, takewhile
from pathlib import Path
from typing import Any

from panoptic_deeplab.addresses import is_address, parts_of, without_secrets
from panoptic_deeplab.file_names import readable
from panoptic_deeplab.inference.sources.base import ReadImage
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.result import frame_name
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.video.frames import VideoFrame
from panoptic_deeplab.video.live import LIVE_SCHEMES, LiveFrames
from panoptic_deeplab.video.reading import VIDEO_SUFFIXES, Video
from panoptic_deeplab.weights import read_url


@dataclass(frozen=True)
class FrameSource:
    """The frames of a video or a live stream; see `base.Source`.

    Attributes:
        path: the video's file; a name for what has none, without what is secret in an address.
        files: the video's file alone; none of an address or a camera.
        frames: reads them; takes a function that says whether to stop.
        indices: of the frames to come, as far as they are known.
        count: number of frames to come, None where the end is not known.
        frame_rate: frames per second, None where it is not known.
        is_live: whether the next frame is the newest one, so that none is read ahead.
    """

    path: Path
    frames: Callable[[Callable[[], bool]], Iterator[VideoFrame]]
    files: Sequence[Path] = ()
    indices: Sequence[int] = ()
    count: int | None = None
    frame_rate: float | None = None
    is_live: bool = False

    unit = "frames"
    is_in_order = True

    @property
    def names(self) -> list[str]:
        return [self._name(index) for index in self.indices]

    def read(
        self, num_workers: int, watch: Stopwatch, is_stopped: Callable[[], bool]
    ) -> Iterator[ReadImage]:
        frames = self.frames(is_stopped)

        def read_next(_: int) -> ReadImage | None:
            with watch.timing("reading"):
                frame = next(frames, None)
            return None if frame is None else self._read_image(frame)

        # One thread, for frames come in their order.
        threads = 0 if self.is_live else min(num_workers, 1)
        return takewhile(lambda read: read is not None, read_ahead(read_next, count(), threads))

    def _read_image(self, frame: VideoFrame) -> ReadImage:
        name, origin = self._name(frame.index), f"{self.path}: frame {frame.index}"
        return ReadImage(name, origin, frame.pixels, self.path, frame.index, frame.time)

    def _name(self, index: int) -> str:
        return readable(frame_name(self.path, index))


def frame_source(source: Any, every: int = 1, max_frames: int | None = None) -> FrameSource | None:
    """Return the frames of a source; None where it is no video, camera or stream.

    Args:
        source: the path or https URL of a video, the address of a live stream, or the number of a
            camera (also as a text, unless a file is called so).
        every: take every N-th frame; of a live stream the newest one, N or more after the last.
        max_frames: end after so many.

    Raises:
        UsageError: PyAV is not installed.
        DataError: a video cannot be read.
    """
    if not isinstance(source, (str, Path, int)):
        return None
    text = str(source)
    if isinstance(source, int) or (text.isdecimal() and not Path(text).exists()):
        return _live(LiveFrames(int(text)), f"camera{text}", every, max_frames)
    if is_address(text):
        return _of_address(text, every, max_frames)
    path = Path(source)
    if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
        return _of_video(Video(path, str(path)), path, [path], every, max_frames)
    return None


def _of_address(address: str, every: int, max_frames: int | None) -> FrameSource | None:
    shown, parts = without_secrets(address), parts_of(address)
    if parts.scheme in LIVE_SCHEMES:
        return _live(LiveFrames(address), shown.partition("://")[2], every, max_frames)
    file_name = Path(parts.path).name
    if Path(file_name).suffix.lower() not in VIDEO_SUFFIXES:
        return None
    content = io.BytesIO(read_url(address, "check the address, or give a file"))
    return _of_video(Video(content, shown), Path(file_name), [], every, max_frames)


def _of_video(
    video: Video, path: Path, files: Sequence[Path], every: int, max_frames: int | None
) -> FrameSource:
    indices = range(0, video.frame_count, every)[:max_frames]
    return FrameSource(
        path,
        lambda is_stopped: islice(video.frames(every), max_frames),
        files,
        indices,
        len(indices),
        video.frame_rate,
    )


def _live(live: LiveFrames, name: str, every: int, max_frames: int | None) -> FrameSource:
    """The frames of a camera under a name of their own: what it saw before is not replaced."""
    plain = re.sub(r"[^\w-]+", "-", name.partition("?")[0]).strip("-")
    started = time.strftime("%Y%m%d-%H%M%S")
    return FrameSource(
        Path(f"{plain}-{started}"),
        lambda is_stopped: islice(live.frames(every, is_stopped), max_frames),
        count=max_frames,
        is_live=True,
    )
