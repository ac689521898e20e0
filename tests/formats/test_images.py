"""Images and id maps on disk: every kind is read, and what is no image is refused."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.images import (
    read_ids,
    read_image,
    read_label_map,
    read_oriented_image,
    read_size,
    write_ids,
)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1", "LA"])
def test_images_of_any_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    gray = np.arange(0, 252, 21, np.uint8).reshape(3, 4)
    image = Image.fromarray(gray)
    if mode == "I;16":
        image = Image.fromarray(gray.astype(np.uint16) * 256)
    elif mode == "P":
        image = image.convert("RGB").quantize(16)
    elif mode == "LA":
        image = Image.merge("LA", (image, image))
    else:
        image = image.convert("RGB").convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    read = read_image(path)
    assert read.shape == (3, 4, 3)
    assert read.dtype == np.uint8
    expected = np.where(gray > 127, 255, 0) if mode == "1" else gray
    if mode != "1":
        np.testing.assert_allclose(read[..., 0].astype(int), expected, atol=2 if mode == "P" else 0)


def test_a_rotated_image_stands_upright(tmp_path: Path) -> None:
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    read = read_image(tmp_path / "a.png")
    assert read.shape == (4, 2, 3)
    assert read[0, 1].tolist() == [255, 255, 255]


def test_an_image_bomb_is_refused_unopened(tmp_path: Path) -> None:
    Image.new("1", (30000, 30000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"bomb\.png: not a readable image .* exceeds limit"):
        read_image(tmp_path / "bomb.png")


def png(width: int, height: int, depth: int = 8, color: int = 2, pixels: bytes = b"") -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


NO_IMAGES = {
    "without pixels": png(0, 4),
    "huge": png((1 << 31) - 1, (1 << 31) - 1),
    "wide": png((1 << 31) - 1, 1),
    "large and empty": png(4000, 4000),
    "of another color type": png(2, 2, color=5),
    "empty": b"",
    "a text": b"hello, this is no image\n" * 20,
    "a program for a printer": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "a bitmap of zeros": b"BM" + bytes(100),
    "a pixmap without pixels": b"P6\n0 0\n255\n",
}


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_no_image_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(NO_IMAGES[kind])
    for read in (read_image, read_ids):
        with pytest.raises(DataError, match=r"a\.png: not a readable image") as failure:
            read(tmp_path / "a.png")
        assert str(failure.value).isprintable()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tif", "ppm"])
def test_an_image_cut_off_anywhere(tmp_path: Path, suffix: str) -> None:
    """Refused, or whole where only the end of the file, not of the image, is lost."""
    path = tmp_path / f"a.{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    content, whole = path.read_bytes(), read_image(path)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        try:
            np.testing.assert_array_equal(read_image(path), whole)
            assert length > 0.9 * len(content)
        except DataError:
            pass


def test_images_of_rarer_modes(tmp_path: Path) -> None:
    gray = Image.fromarray(np.arange(0, 252, 21, np.uint8).reshape(3, 4))
    Image.merge("LAB", (gray, *[Image.new("L", (4, 3), 0)] * 2)).save(tmp_path / "lab.tif")
    assert read_image(tmp_path / "lab.tif").shape == (3, 4, 3)
    gray.quantize(16).convert("PA").save(tmp_path / "pa.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "pa.tif")[..., 1], gray)
    gray.convert("F").save(tmp_path / "float.tif")
    with pytest.raises(DataError, match=r"float\.tif: .*floating-point values"):
        read_image(tmp_path / "float.tif")


def test_of_an_animation_the_first_image_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 3), color) for color in ((255, 0, 0), (0, 255, 0))]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.png")[0, 0].tolist() == [255, 0, 0]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"a\.gif: not a readable image \(none of PNG, JPEG"):
        read_image(tmp_path / "a.gif")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    cases = {
        tmp_path / "pipe.png": "expected a file, got a pipe or device",
        "/dev/zero": "expected a file, got a pipe or device",
        tmp_path: "expected a file, got a folder",
        tmp_path / "loop.png": "Too many levels of symbolic links",
        tmp_path / ("x" * 300): "File name too long",
        "a\0b": "embedded null",
    }
    for path, message in cases.items():
        for read in (read_image, read_ids, read_json):
            with pytest.raises(DataError, match=message):
                read(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_16_bits_are_an_image_but_no_ids(tmp_path: Path, mode: str) -> None:
    values = np.full((2, 3, len(mode)), 0xD234, np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), values)
    assert np.unique(read_image(tmp_path / "a.png")).tolist() == [0xD2]
    with pytest.raises(DataError, match="expected a panoptic PNG of 8 bits, got one of 16 bits"):
        read_ids(tmp_path / "a.png")


def test_ids_with_an_alpha_channel_and_in_a_jpeg(tmp_path: Path) -> None:
    rgb = Image.new("RGB", (4, 3), (1, 2, 0))
    rgb.putalpha(7)
    rgb.save(tmp_path / "a.png")
    assert np.unique(read_ids(tmp_path / "a.png")).tolist() == [1 + 2 * 256]
    rgb.convert("RGB").save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"expected an RGB panoptic PNG .* in JPEG"):
        read_ids(tmp_path / "a.jpg")


def test_ids_go_to_disk_and_back(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 255], [256, 65536, (1 << 24) - 1]], np.int32)
    write_ids(tmp_path / "ids.png", ids)
    np.testing.assert_array_equal(read_ids(tmp_path / "ids.png"), ids)
    assert np.asarray(Image.open(tmp_path / "ids.png"))[1, 0].tolist() == [0, 1, 0]


def test_a_gray_png_is_no_id_map(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "gray.png")
    with pytest.raises(DataError, match=r"expected an RGB panoptic PNG .* got an image of mode L"):
        read_ids(tmp_path / "gray.png")


def test_a_label_map_has_one_channel_of_whole_numbers(tmp_path: Path) -> None:
    values = np.array([[0, 7], [300, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), values)
    Image.fromarray(values > 7).save(tmp_path / "b.png")
    assert read_label_map(tmp_path / "b.png").tolist() == [[0, 0], [1, 1]]
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "c.tif")
    with pytest.raises(DataError, match=r"c\.tif: .* whole-number labels, got float32 values"):
        read_label_map(tmp_path / "c.tif")


# A stored 2 x 3 image of gray values, and what it looks like for each EXIF orientation.
STORED = [[0, 40, 80], [120, 160, 200]]
SHOWN = {
    1: [[0, 40, 80], [120, 160, 200]],
    2: [[80, 40, 0], [200, 160, 120]],
    3: [[200, 160, 120], [80, 40, 0]],
    4: [[120, 160, 200], [0, 40, 80]],
    5: [[0, 120], [40, 160], [80, 200]],
    6: [[120, 0], [160, 40], [200, 80]],
    7: [[200, 80], [160, 40], [120, 0]],
    8: [[80, 200], [40, 160], [0, 120]],
}


@pytest.mark.parametrize("orientation", SHOWN)
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("png", "tif", "webp"):
        path = tmp_path / f"a.{suffix}"
        options = {"lossless": True} if suffix == "webp" else {}
        image = Image.fromarray(np.array(STORED, np.uint8)).convert("RGB")
        image.save(path, exif=exif, **options)
        image = read_oriented_image(path)
        assert image.pixels[..., 0].tolist() == SHOWN[orientation]
        assert image.orientation == orientation
        assert read_size(path)[0] == np.shape(SHOWN[orientation])


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_the_size_in_the_header_is_that_of_the_upright_image(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (6, 4)).save(path, exif=exif)
    assert read_size(path) == (read_image(path).shape[:2], orientation)
