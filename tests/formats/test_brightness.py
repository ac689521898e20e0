"""Values of more than 8 bits: scaled by the depth that they make use of."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from panoptic_deeplab import notices
from panoptic_deeplab.formats.brightness import to_eight_bits
from panoptic_deeplab.formats.images import decode_image, read_image

GRAY = np.array([[0, 17, 34, 51], [68, 85, 102, 119], [136, 170, 204, 255]], np.uint8)
COLORS = np.stack([GRAY, GRAY[::-1], GRAY[:, ::-1]], axis=-1)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 255], np.uint16, [0, 255]),
        ([0, 256, 1023], np.uint16, [0, 64, 255]),
        ([0, 2048, 4095], np.uint16, [0, 128, 255]),
        ([0, 8192, 16383], np.uint16, [0, 128, 255]),
        ([0, 32768, 65535], np.uint16, [0, 128, 255]),
        ([-5, 0, 65535], np.int32, [0, 0, 255]),
        ([0, (1 << 24) - 1], np.int32, [0, 255]),
        ([0, (1 << 31) - 1], np.int32, [0, 127]),
        ([-7, 0], np.int32, [0, 0]),
    ],
)
def test_the_highest_value_tells_the_depth(
    values: list[int], dtype: type, expected: list[int]
) -> None:
    assert to_eight_bits(np.array(values, dtype), "a.png").tolist() == expected


def write_gray_alpha(path: Path, values: np.ndarray) -> None:
    """Write a PNG of gray and alpha, 16 bits each, which neither Pillow nor OpenCV writes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    pairs = np.stack([values, np.full_like(values, 65535)], axis=-1).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pairs)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 4, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "tif", "ppm", "rgb.png", "rgb.tif", "rgb.ppm", "rgba.png"])
def test_an_image_of_any_depth_in_16_bits_has_its_brightness(
    tmp_path: Path, kind: str, bits: int
) -> None:
    path = tmp_path / f"a.{kind}"
    gray = kind.count(".") == 0
    values = (GRAY if gray else COLORS).astype(np.uint16) << (bits - 8)
    stored = values if gray else values[..., ::-1]  # OpenCV's order
    if kind == "rgba.png":
        stored = np.dstack([stored, np.full(GRAY.shape, 65535, np.uint16)])
    if kind == "ppm":
        path = tmp_path / "a.pgm"
    cv2.imwrite(str(path), stored)
    expected = np.repeat(GRAY[..., None], 3, axis=2) if gray else COLORS
    rounding = 1 if kind == "rgb.ppm" and bits == 16 else 0  # Pillow divides by 257
    for image in (read_image(path), decode_image(path.read_bytes(), "a")):
        np.testing.assert_allclose(image.astype(int), expected, atol=rounding)


def test_gray_and_alpha_of_12_bits_in_16(tmp_path: Path) -> None:
    write_gray_alpha(tmp_path / "a.png", GRAY.astype(np.uint16) << 4)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 1], GRAY)


def test_colors_of_12_bits_in_16_are_turned_upright(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.tif"), COLORS[..., ::-1].astype(np.uint16) << 4)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    at = data.find(struct.pack("<HHI", 284, 3, 1))  # the planar configuration, which is the default
    assert at > 0
    data[at : at + 12] = struct.pack("<HHIHH", 274, 3, 1, 3, 0)
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), COLORS[::-1, ::-1])


def test_a_depth_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_given", set())
    for name, bits in (("a", 12), ("b", 12), ("c", 16), ("d", 10)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), GRAY.astype(np.uint16) << (bits - 8))
        read_image(tmp_path / f"{name}.png")
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((2, 3), np.uint16))
    read_image(tmp_path / "black.png")
    told = list(dict.fromkeys(record.getMessage() for record in caplog.records))
    assert [message.split("so they are ")[1][:16] for message in told] == [
        "taken as 12 bits",
        "taken as 10 bits",
    ]
    assert "a.png: its values go up to 4080" in told[0]
