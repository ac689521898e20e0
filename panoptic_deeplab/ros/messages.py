"""Images as ROS messages carry them: sensor_msgs/Image and sensor_msgs/CompressedImage.

Following http://docs.ros.org/en/api/sensor_msgs/html/msg/Image.html and image_encodings.h. Messages
are taken by the names of their fields, whoever made them: rclpy, rosbags, a test.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

from panoptic_deeplab.errors import DataError, nearest
from panoptic_deeplab.formats.brightness import to_eight_bits
from panoptic_deeplab.formats.images import decode_image


class _Encoding(NamedTuple):
    """How an encoding stores a pixel: bytes of a value, values, OpenCV's conversion to RGB."""

    value_bytes: int
    values: int
    to_rgb: int | None


_ENCODINGS = {
    "rgb8": _Encoding(1, 3, None),
    "bgr8": _Encoding(1, 3, cv2.COLOR_BGR2RGB),
    "rgba8": _Encoding(1, 4, cv2.COLOR_RGBA2RGB),
    "bgra8": _Encoding(1, 4, cv2.COLOR_BGRA2RGB),
    "mono8": _Encoding(1, 1, cv2.COLOR_GRAY2RGB),
    "rgb16": _Encoding(2, 3, None),
    "bgr16": _Encoding(2, 3, cv2.COLOR_BGR2RGB),
    "mono16": _Encoding(2, 1, cv2.COLOR_GRAY2RGB),
    # OpenCV's types; blue comes first in them
    "8UC1": _Encoding(1, 1, cv2.COLOR_GRAY2RGB),
    "8UC3": _Encoding(1, 3, cv2.COLOR_BGR2RGB),
    "8UC4": _Encoding(1, 4, cv2.COLOR_BGRA2RGB),
    # two pixels share their colors
    "yuv422": _Encoding(1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": _Encoding(1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": _Encoding(1, 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": _Encoding(1, 2, cv2.COLOR_YUV2RGB_YUY2),
    # OpenCV names a mosaic by the second pixel of the second row and the one beside it
    "bayer_rggb8": _Encoding(1, 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _Encoding(1, 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _Encoding(1, 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _Encoding(1, 1, cv2.COLOR_BayerGB2RGB),
}


class ImageContent(NamedTuple):
    """The fields of a sensor_msgs/Image but its header; values are little-endian."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: bytes


def read_image(message: Any) -> np.ndarray:
    """Read the image of a sensor_msgs/Image.

    Returns:
        [H, W, 3] uint8 RGB; gray images have three equal channels, alpha is dropped, 16 bits are
        scaled as those of image files are.

    Raises:
        DataError: the encoding is unknown or has no colors, such as depth, or the message does not
            hold what its fields say.
    """
    encoding = _ENCODINGS.get(message.encoding)
    if encoding is None:
        raise DataError(
            f"expected an image in one of {', '.join(_ENCODINGS)}, got encoding "
            f"{message.encoding!r:.50}{nearest(message.encoding, _ENCODINGS)}"
        )
    pixels = _stored_values(message, encoding)
    if encoding.value_bytes > 1:
        pixels = to_eight_bits(pixels, "message")
    if encoding.to_rgb is None:
        return pixels
    try:
        return cv2.cvtColor(pixels, encoding.to_rgb)
    except cv2.error as error:  # an odd width of shared colors, a mosaic of one row
        raise DataError(
            f"{message.width} x {message.height} pixels cannot be in {message.encoding}"
        ) from error


def _stored_values(message: Any, encoding: _Encoding) -> np.ndarray:
    """[H, W] or [H, W, values] as they lie in the message, without what pads its rows."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    row = width * encoding.values * encoding.value_bytes
    data = np.frombuffer(message.data, np.uint8)
    if not height or not width or step < row or data.size < step * (height - 1) + row:
        raise DataError(
            f"expected {height} rows of {row} bytes for {width} x {height} pixels in "
            f"{message.encoding}, got {data.size} bytes in steps of {step}"
        )
    rows = np.ndarray((height, row), np.uint8, data, strides=(step, 1))
    order = ">" if message.is_bigendian else "<"
    values = np.ascontiguousarray(rows).view(f"{order}u{encoding.value_bytes}")
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return values if encoding.values == 1 else values.reshape(height, width, encoding.values)


def read_compressed_image(message: Any) -> np.ndarray:
    """Read the image of a sensor_msgs/CompressedImage, a JPEG or PNG: [H, W, 3] uint8 RGB.

    Raises:
        DataError: it cannot be decoded, or holds depth.
    """
    if "compressedDepth" in message.format:
        raise DataError(f"expected a compressed image in colors, got {message.format!r:.80}")
    return decode_image(bytes(message.data), f"compressed image ({message.format:.80})")


def image_content(image: np.ndarray) -> ImageContent:
    """Make the fields of a sensor_msgs/Image.

    Args:
        image: [H, W, 3] uint8 RGB, for `rgb8`; or [H, W] numbers that are not negative, for the
            narrowest of `mono8`, `16UC1` and `32SC1` that holds all of them.
    """
    if image.ndim == 3:
        encoding, values = "rgb8", np.ascontiguousarray(image, np.uint8)
    else:
        highest = int(image.max(initial=0))
        encoding, kind = next((name, kind) for name, kind, top in _NUMBERS if highest <= top)
        values = np.ascontiguousarray(image, kind)
    height, width = image.shape[:2]
    return ImageContent(height, width, encoding, 0, values.nbytes // height, values.tobytes())


_NUMBERS = (("mono8", "<u1", 0xFF), ("16UC1", "<u2", 0xFFFF), ("32SC1", "<i4", 0x7FFFFFFF))
