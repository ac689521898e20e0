"""Images as OpenDR has them: [3, H, W] RGB. Its own class is taken wherever this one is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.images import read_image, write_image

FORMATS = ("channels_first", "channels_last")
CHANNEL_ORDERS = ("rgb", "bgr")


class Image:
    """An image in memory, as `opendr.engine.data.Image`.

    Args:
        data: an array of three channels.
        dtype: of the array that is kept.
        guess_format: whether an array [H, W, 3] is taken as OpenCV has images, BGR, and kept as
            [3, H, W] RGB; without, it is kept as it is.
        filename: of the file that it was read from, as the images of OpenDR's data sets have.

    Attributes:
        data: [3, H, W] RGB.

    Raises:
        ValueError: the array has not three axes.
    """

    def __init__(
        self,
        data: Any,
        dtype: Any = np.uint8,
        guess_format: bool = True,
        filename: str | None = None,
    ) -> None:
        data = np.asarray(data, dtype)
        if data.ndim != 3:
            raise ValueError(f"expected an image of three axes, got an array {list(data.shape)}")
        is_opencv = guess_format and data.shape[0] != 3 and data.shape[2] == 3
        self.data = data[..., ::-1].transpose(2, 0, 1) if is_opencv else data
        self._filename = filename

    @property
    def filename(self) -> str:
        """The name of the file.

        Raises:
            ValueError: there is none.
        """
        if self._filename is None:
            raise ValueError("Filename is not set.")
        return self._filename

    @classmethod
    def open(cls, filename: str | Path) -> Image:
        """Read an image file.

        Raises:
            FileNotFoundError: there is none.
            DataError: it is no image.
        """
        path = Path(filename).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"The image file does not exist: {path}")
        pixels = read_image(path).transpose(2, 0, 1)
        return cls(pixels, guess_format=False, filename=path.name)

    def numpy(self) -> np.ndarray:
        """Return the array that is kept."""
        return self.data

    def opencv(self) -> np.ndarray:
        """Return the image as OpenCV has it, [H, W, 3] BGR."""
        return self.convert("channels_last", "bgr")

    def convert(self, format: str = "channels_first", channel_order: str = "rgb") -> np.ndarray:
        """Return a copy in another layout.

        Args:
            format: `channels_first` for [3, H, W], `channels_last` for [H, W, 3].
            channel_order: `rgb` or `bgr`.

        Raises:
            ValueError: there is no such format or order.
        """
        if format not in FORMATS or channel_order not in CHANNEL_ORDERS:
            raise ValueError(
                f"expected a format of {FORMATS} and an order of {CHANNEL_ORDERS}, got "
                f"{format!r:.50} and {channel_order!r:.50}"
            )
        data = self.data if channel_order == "rgb" else self.data[::-1]
        return np.ascontiguousarray(data if format == "channels_first" else data.transpose(1, 2, 0))

    def __repr__(self) -> str:
        return f"Image({'x'.join(map(str, self.data.shape))})"


def imread(path: str | Path) -> np.ndarray:
    """Read an image file as mmcv's and OpenCV's functions of that name: [H, W, 3] uint8 BGR."""
    return read_image(Path(path).expanduser())[..., ::-1]


def imwrite(image: np.ndarray, path: str | Path) -> None:
    """Write an image [H, W, 3] uint8 RGB; the suffix of the path chooses the format."""
    write_image(Path(path).expanduser(), image)


def rgb_pixels(image: Any) -> Any:
    """Return [H, W, 3] uint8 RGB of an OpenDR image, ours or theirs; anything else as it is.

    OpenDR's class is known by its `data`, an array. Before 2022 it held [H, W, 3] RGB.

    Raises:
        DataError: the array is no image.
    """
    data = getattr(image, "data", None)
    if not isinstance(data, np.ndarray):
        return image
    if data.ndim != 3 or 3 not in (data.shape[0], data.shape[2]) or data.dtype != np.uint8:
        raise DataError(f"expected an image [3, H, W] uint8, got {data.dtype} {list(data.shape)}")
    return np.ascontiguousarray(data.transpose(1, 2, 0) if data.shape[0] == 3 else data)
