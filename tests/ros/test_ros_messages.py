"""Images in ROS messages: every encoding by hand, and broken messages in one line."""

from __future__ import annotations

import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.ros.messages import image_content, read_compressed_image, read_image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def message(rows: list[list[int]], encoding: str, width: int, padding: int = 0, **fields):
    """A sensor_msgs/Image whose rows have these bytes and some that pad them."""
    step = len(rows[0]) + padding
    data = b"".join(bytes(row) + b"\x77" * padding for row in rows)
    made = {"height": len(rows), "width": width, "encoding": encoding, "is_bigendian": 0}
    return SimpleNamespace(**made | {"step": step, "data": data} | fields)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(
    ("encoding", "row", "expected"),
    [
        ("rgb8", [*RED, *BLUE], [RED, BLUE]),
        ("bgr8", [*BLUE, *RED], [RED, BLUE]),
        ("rgba8", [*RED, 0, *BLUE, 9], [RED, BLUE]),
        ("bgra8", [*BLUE, 0, *RED, 9], [RED, BLUE]),
        ("mono8", [7, 200], [(7, 7, 7), (200, 200, 200)]),
        ("8UC1", [7, 200], [(7, 7, 7), (200, 200, 200)]),
        ("8UC3", [*BLUE, *RED], [RED, BLUE]),
        ("8UC4", [*BLUE, 0, *RED, 9], [RED, BLUE]),
        ("mono16", [0, 255, 0, 128], [(255, 255, 255), (128, 128, 128)]),  # low byte first
        ("rgb16", [0, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255], [RED, BLUE]),
        ("bgr16", [0, 0, 0, 0, 0, 255, 0, 255, 0, 0, 0, 0], [RED, BLUE]),
        # luma 16 is black, 235 white, without a color at 128
        ("yuv422", [128, 16, 128, 235], [(0, 0, 0), (255, 255, 255)]),
        ("yuv422_yuy2", [16, 128, 235, 128], [(0, 0, 0), (255, 255, 255)]),
    ],
)
def test_encodings(encoding: str, row: list[int], expected: list, padding: int) -> None:
    pixels = read_image(message([row, row], encoding, 2, padding))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, [expected, expected])


def test_the_upper_byte_comes_first_where_the_message_says_so() -> None:
    pixels = read_image(message([[255, 0, 128, 0]], "mono16", 2, is_bigendian=1))
    assert pixels[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_mosaics(pattern: str) -> None:
    """Only one color is bright: the whole image has it."""
    for channel, color in enumerate("rgb"):
        first, second = ([255 * (value == color) for value in pattern[k : k + 2]] for k in (0, 2))
        rows = [first * 4, second * 4] * 4
        pixels = read_image(message(rows, f"bayer_{pattern}8", 8))
        assert (pixels[2:-2, 2:-2].argmax(axis=-1) == channel).all()


def test_data_in_any_container() -> None:
    made = message([[*RED, *BLUE]], "rgb8", 2)
    for data in (array.array("B", made.data), np.frombuffer(made.data, np.uint8)):
        made.data = data
        assert read_image(made).tolist() == [[[*RED], [*BLUE]]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"encoding": "rgb9"}, "got encoding 'rgb9' (did you mean \"rgb8\"?)"),
        ({"encoding": "32FC1"}, "got encoding '32FC1'"),
        ({"data": b"\0" * 11}, "expected 2 rows of 6 bytes for 2 x 2 pixels in rgb8, got 11 bytes"),
        ({"data": b""}, "got 0 bytes in steps of 6"),
        ({"step": 5}, "in steps of 5"),
        ({"height": 0}, "expected 0 rows"),
        ({"width": 0}, "expected 2 rows of 0 bytes"),
        ({"height": 1 << 31, "width": 1 << 31}, "got 12 bytes"),
        ({"encoding": "yuv422", "width": 3}, "3 x 2 pixels cannot be in yuv422"),
    ],
)
def test_broken_messages(change: dict, told: str) -> None:
    with pytest.raises(DataError) as error:
        read_image(SimpleNamespace(**vars(message([[0] * 6, [0] * 6], "rgb8", 2)) | change))
    assert told in str(error.value)


def compressed(image: np.ndarray, suffix: str, kind: str) -> SimpleNamespace:
    return SimpleNamespace(format=kind, data=cv2.imencode(suffix, image[..., ::-1])[1].tobytes())


def test_compressed_images() -> None:
    image = np.full((16, 24, 3), RED, np.uint8)
    png = read_compressed_image(compressed(image, ".png", "png"))
    np.testing.assert_array_equal(png, image)
    jpeg = read_compressed_image(compressed(image, ".jpg", "bgr8; jpeg compressed bgr8"))
    assert np.abs(jpeg.astype(int) - image).max() < 8


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("jpeg", b"\xff\xd8 broken", "compressed image (jpeg): not a readable image"),
        ("png", b"", "not a readable image"),
        ("16UC1; compressedDepth png", b"\0" * 12, "expected a compressed image in colors"),
    ],
)
def test_broken_compressed_images(kind: str, data: bytes, told: str) -> None:
    with pytest.raises(DataError) as error:
        read_compressed_image(SimpleNamespace(format=kind, data=data))
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("highest", "encoding", "step"),
    [
        (0, "mono8", 3),
        (255, "mono8", 3),
        (256, "16UC1", 6),
        (65535, "16UC1", 6),
        (65536, "32SC1", 12),
    ],
)
def test_ids_have_the_narrowest_numbers_that_hold_them(
    highest: int, encoding: str, step: int
) -> None:
    ids = np.array([[0, 1, highest], [2, 0, 0]], np.int32)
    content = image_content(ids)
    assert content[:5] == (2, 3, encoding, 0, step)
    kind = {1: "<u1", 2: "<u2", 4: "<i4"}[step // 3]
    np.testing.assert_array_equal(np.frombuffer(content.data, kind).reshape(2, 3), ids)


def test_overlays_are_rgb8() -> None:
    content = image_content(np.array([[RED, GREEN]], np.uint8)[:, ::-1])
    assert content == (1, 2, "rgb8", 0, 6, bytes([*GREEN, *RED]))
    assert read_image(SimpleNamespace(**content._asdict())).tolist() == [[[*GREEN], [*RED]]]
