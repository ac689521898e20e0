"""PyAV, which brings FFmpeg's libraries: imported when it is needed."""

from __future__ import annotations

from types import ModuleType

from panoptic_deeplab.errors import UsageError, one_line, reason_of


def load_pyav() -> ModuleType:
    """Import PyAV.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise UsageError(
            "videos and cameras need PyAV; pip install 'panoptic-deeplab[video]'"
        ) from error
    return av


def why(error: Exception) -> str:
    """The reason of one of FFmpeg's errors, without its number and the name of a function."""
    reason = getattr(error, "strerror", None)
    return one_line(reason) if reason else reason_of(error)
