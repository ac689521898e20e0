"""The quick way to a PNG's values gives what Pillow gives, or leaves it to Pillow."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.images import read_ids, read_image
from panoptic_deeplab.formats.png import read_plain_png

VALUES = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color_type, rows, *more, interlaced=0):
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced)
    data = chunk(b"IDAT", zlib.compress(rows))
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(more) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (VALUES[..., 0], VALUES[..., 0]),
        (VALUES[..., 0].astype(np.uint16) * 257, VALUES[..., 0].astype(np.uint16) * 257),
        (VALUES[..., :3], VALUES[..., :3]),
        (VALUES, VALUES),
    ],
    ids=["gray", "gray of 16 bits", "RGB", "RGBA"],
)
def test_plain_kinds_are_read_as_stored(tmp_path, image, expected):
    Image.fromarray(image).save(tmp_path / "a.png")
    values = read_plain_png(tmp_path / "a.png")
    assert values.dtype == image.dtype
    np.testing.assert_array_equal(values, expected)


def encoded(image, **options):
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


GRAY = Image.fromarray(VALUES[..., 0])
WHOLE = encoded(GRAY)


@pytest.mark.parametrize(
    "data",
    [
        encoded(GRAY.convert("P")),
        encoded(GRAY.convert("1")),
        encoded(GRAY.convert("LA")),
        encoded(GRAY, transparency=3),
        png(7, 1, 8, 0, b"\0" + bytes(7), chunk(b"tEXt", b"Raw profile type exif\0...")),
        png(7, 1, 8, 0, b"\0" + bytes(7), interlaced=1),
        png(7, 1, 8, 0, b"\0" + bytes(7), chunk(b"acTL", bytes(8))),
        png(1 << 20, 1 << 20, 8, 0, b"\0"),
        png(0, 1, 8, 0, b"\0"),
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:-1],
        SIGNATURE,
        b"",
        b"GIF89a",
    ],
    ids=[
        "palette",
        "1 bit",
        "gray with alpha",
        "transparent color",
        "EXIF data as text",
        "interlaced",
        "animated",
        "huge",
        "empty",
        "half",
        "last byte missing",
        "signature alone",
        "nothing",
        "another format",
    ],
)
def test_everything_else_is_left_to_pillow(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    assert read_plain_png(tmp_path / "a.png") is None


@pytest.mark.parametrize("read", [read_plain_png, read_ids, read_image])
def test_pixels_that_have_changed_since_are_refused(tmp_path, read):
    # Pillow would read these pixels and only now and then stumble over them.
    (tmp_path / "a.png").write_bytes(WHOLE[:45] + bytes([WHOLE[45] ^ 1]) + WHOLE[46:])
    with pytest.raises(DataError, match=r"a\.png: not a readable image \(the checksum of its"):
        read(tmp_path / "a.png")


def test_a_filter_that_there_is_not_is_left_to_pillow(tmp_path, capfd):
    (tmp_path / "a.png").write_bytes(png(7, 2, 8, 0, bytes(8) + b"\5" + bytes(7)))
    assert read_plain_png(tmp_path / "a.png") is None
    with pytest.raises(DataError, match="not a readable image"):
        read_image(tmp_path / "a.png")
    assert not capfd.readouterr().err


def test_data_that_end_too_early_are_told(tmp_path, capfd):
    """Pillow leaves the missing rows black without a word."""
    (tmp_path / "a.png").write_bytes(png(7, 5, 8, 0, (b"\0" + bytes(7)) * 3))
    for read in (read_image, read_plain_png):
        with pytest.raises(DataError, match=r"a\.png: .*its pixels end after 24 of 40 bytes"):
            read(tmp_path / "a.png")
    assert not capfd.readouterr().err


@pytest.mark.parametrize(
    "filters", ["00000", "11111", "22222", "01210", "21012", "33333", "44444", "01234", "43210"]
)
@pytest.mark.parametrize(("color_type", "channels"), [(0, 1), (2, 3), (6, 4)])
def test_each_filter_is_undone_as_pillow_does(tmp_path, filters, color_type, channels):
    rows = np.random.default_rng(1).integers(0, 256, (5, 1 + 7 * channels), np.uint8)
    rows[2, 1:] = 0  # nothing changes, which is not the same as nothing being there
    rows[:, 0] = [int(digit) for digit in filters]
    (tmp_path / "a.png").write_bytes(png(7, 5, 8, color_type, rows.tobytes()))
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(image)
    np.testing.assert_array_equal(read_plain_png(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("filters", [[1], [0, 1], [1, 2, 0]])
@pytest.mark.parametrize(("color_type", "channels"), [(0, 1), (2, 3), (6, 4)])
def test_sums_by_runs_are_those_of_pillow(tmp_path, filters, color_type, channels):
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 256, (30, 1 + 40 * channels), np.uint8)
    rows[rng.random(rows.shape) < 0.97] = 0  # as in a map of segments, nearly all of it
    rows[:, 0] = np.resize(filters, 30)
    (tmp_path / "a.png").write_bytes(png(40, 30, 8, color_type, rows.tobytes()))
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(image)
    np.testing.assert_array_equal(read_plain_png(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("options", [{}, {"compress_level": 1}, {"optimize": True}], ids=str)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "1"])
def test_an_image_has_the_pixels_that_pillow_gives(tmp_path, mode, options):
    gradient = np.add.outer(np.arange(50), np.arange(60))[..., None] * [1, 2, 3, 4] % 256
    image = Image.fromarray(gradient.astype(np.uint8)).convert(mode)
    (tmp_path / "a.png").write_bytes(encoded(image, **options))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.asarray(image.convert("RGB")))


def test_an_image_is_turned_as_a_text_says(tmp_path):
    xmp = chunk(b"tEXt", b'XML:com.adobe.xmp\0<x:xmpmeta tiff:Orientation="6"/>')
    data = png(3, 1, 8, 0, b"\0\1\2\3", xmp)
    (tmp_path / "a.png").write_bytes(data)
    assert read_image(tmp_path / "a.png")[..., 0].tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("suffix", [b"", b"rest"])
def test_more_rows_than_the_header_says_are_left_out(tmp_path, suffix):
    rows = bytes([0, 1, 2]) * 2
    (tmp_path / "a.png").write_bytes(png(2, 2, 8, 0, rows + suffix))
    np.testing.assert_array_equal(read_plain_png(tmp_path / "a.png"), [[1, 2], [1, 2]])


def test_more_pixels_than_a_file_can_hold_are_told(tmp_path):
    (tmp_path / "a.png").write_bytes(png(700, 3000, 8, 0, bytes(1402), interlaced=1))
    with pytest.raises(DataError, match=r"700 x 3000 pixels, which do not fit into its \d+ bytes"):
        read_image(tmp_path / "a.png")
