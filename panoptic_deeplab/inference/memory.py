"""Too little memory for one image, told as an error of that image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2

from panoptic_deeplab.errors import DataError, reason_of


@contextmanager
def error_for_lack_of_memory(what: str) -> Iterator[None]:
    """Turn NumPy's, Pillow's, Paddle's and OpenCV's errors of a full memory into a DataError.

    Args:
        what: needs the memory, for the message.
    """
    try:
        yield
    except MemoryError as error:
        raise _too_large(what, error) from error
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        raise _too_large(what, error) from error


def _too_large(what: str, error: Exception) -> DataError:
    return DataError(
        f"{what} needs more memory than there is ({reason_of(error, 120)}); give fewer "
        "--num_workers, or a smaller image"
    )
