"""A frame of a video, and how a decoded one becomes pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.video.library import why

if TYPE_CHECKING:
    import av

_RIGHT_ANGLE = 90
_UNSPECIFIED = 2  # as FFmpeg numbers color spaces
_HD_HEIGHT = 720


@dataclass(frozen=True)
class VideoFrame:
    """A frame, or what is known of one that is broken.

    Attributes:
        index: its place in the video, from 0; broken frames count.
        time: seconds since the video's first frame; for a camera since it was opened.
        pixels: [H, W, 3] uint8 RGB, upright; or why there are none.
    """

    index: int
    time: float
    pixels: np.ndarray | DataError


def pixels_of(frame: av.VideoFrame, name: str) -> np.ndarray | DataError:
    """[H, W, 3] uint8 RGB of a decoded frame, turned as its display matrix says.

    Args:
        frame: of FFmpeg.
        name: of the frame, for the error.
    """
    if frame.is_corrupt:
        return DataError(f"{name}: parts of it are damaged")
    try:
        pixels = frame.to_ndarray(format="rgb24", src_colorspace=_color_space(frame))
    except Exception as error:  # FFmpeg's own, and ValueError for odd layouts
        return DataError(f"{name}: cannot be read ({why(error)})")
    quarters, rest = divmod(frame.rotation, _RIGHT_ANGLE)
    return pixels if rest or not quarters else np.ascontiguousarray(np.rot90(pixels, quarters))


def _color_space(frame: av.VideoFrame) -> int | None:
    """Return the matrix from YUV; where the file names none, that of HD video by its height."""
    if frame.colorspace != _UNSPECIFIED or frame.height < _HD_HEIGHT:
        return None
    return _BT709


_BT709 = 1
