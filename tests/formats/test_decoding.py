"""Small files that declare huge images are refused before they take memory."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.decoding import array_of, orientation_of
from panoptic_deeplab.formats.images import decode_image, read_ids, read_image, read_label_map
from panoptic_deeplab.formats.labelme import Shape, shape_mask

SIDE = 13000
FORMATS = {1: "B", 3: "H", 4: "I"}  # of the types of a TIFF's values


def tiff(tags: dict[int, tuple[int, list[int]]], data: bytes) -> bytes:
    """A little-endian TIFF of one page whose data begin at byte 1000, where 0 stands in `tags`."""
    entries, more = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        raw = struct.pack(f"<{len(values)}{FORMATS[kind]}", *values)
        if len(raw) > 4:
            raw, more = struct.pack("<I", 8 + 2 + 12 * len(tags) + 4 + len(more)), more + raw
        entries += struct.pack("<HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + more
    return head.ljust(1000, b"\0") + data


def image_of(
    bits: int, bands: int = 1, compression: int = 1, data: bytes = bytes(3000), **others: list[int]
) -> bytes:
    """A TIFF that declares SIDE x SIDE pixels, in one strip unless `others` say so."""
    size = others.get("size", [SIDE, SIDE])
    tags = {
        256: (4, size[:1]),
        257: (4, size[1:]),
        258: (3, [bits] * bands),
        259: (3, [compression]),
        262: (3, [2 if bands > 1 else 1]),
        277: (3, [bands]),
        339: (3, [others.get("sample_format", [1])[0]] * bands),
    }
    if "tile" in others:
        tile = others["tile"]
        tags |= {322: (4, tile[:1]), 323: (4, tile[1:]), 324: (4, [1000]), 325: (4, [len(data)])}
    else:
        planes = others.get("planes", [1])[0]
        rows = others.get("rows", size[1:])
        tags |= {273: (4, [1000] * planes), 278: (4, rows), 279: (4, [len(data)] * planes)}
        tags |= {284: (3, [2 if planes > 1 else 1])}
    return tiff(tags, data)


def png(side: int, depth: int, color: int, pixels: bytes, interlaced: int = 0) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, interlaced)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def jpeg(mode: str, progressive: bool) -> bytes:
    """A JPEG of 64 x 64 pixels whose header is changed to SIDE x SIDE."""
    file = io.BytesIO()
    Image.new(mode, (64, 64)).save(file, "JPEG", progressive=progressive)
    content = bytearray(file.getvalue())
    start = content.find(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", SIDE, SIDE)
    return bytes(content)


def bmp(bits: int, compression: int) -> bytes:
    sizes = (40, SIDE, SIDE, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 4000, 0, 0, 54) + struct.pack("<IiiHHIIiiII", *sizes)


def webp() -> bytes:
    """A lossless WebP of one color; the first bits of its stream, the size, are changed."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "WEBP", lossless=True)
    content = bytearray(file.getvalue())
    start = content.find(b"VP8L") + 9
    (bits,) = struct.unpack_from("<I", content, start)
    struct.pack_into("<I", content, start, bits >> 28 << 28 | (SIDE - 1) << 14 | SIDE - 1)
    return bytes(content)


ZEROS = zlib.compress(bytes(20_000_000))
BOMBS = {
    "TIFF, 32 bits, few strips": image_of(32, rows=[24], size=[40, 3906250], sample_format=[2]),
    "TIFF, unsigned 32 bits": image_of(32),
    "TIFF, floating point": image_of(32, sample_format=[3]),
    "TIFF, 16 bits": image_of(16),
    "TIFF, colors of 16 bits": image_of(16, 3),
    "TIFF, RGBA": image_of(8, 4),
    "TIFF, planes": image_of(8, 3, planes=[3]),
    "TIFF, deflated": image_of(32, compression=8, data=ZEROS),
    "TIFF, deflated colors": image_of(16, 3, compression=8, data=ZEROS),
    "TIFF, LZW": image_of(8, compression=5, data=b"\x80\0" * 999),
    "TIFF, PackBits": image_of(8, compression=32773, data=b"\x81\0" * 999),
    "TIFF, fax": image_of(1, compression=4, data=b"\xff" * 999),
    "TIFF, a small image in a huge tile": image_of(
        8, compression=32773, data=b"\x81\0" * 999, size=[100, 100], tile=[32768, 32768]
    ),
    "PNG": png(SIDE, 8, 2, bytes(999)),
    "PNG, colors of 16 bits": png(SIDE, 16, 6, bytes(999)),
    "PNG, interlaced": png(SIDE, 16, 2, bytes(999), interlaced=1),
    "JPEG": jpeg("RGB", False),
    "JPEG, progressive": jpeg("RGB", True),
    "JPEG, progressive CMYK": jpeg("CMYK", True),
    "WebP": webp(),
    "BMP": bmp(24, 0),
    "BMP, run lengths": bmp(8, 1) + bytes(3000),
    "PPM": b"P6\n%d %d\n65535\n" % (SIDE, SIDE),
    "PPM as text": b"P3\n%d %d\n255\n" % (SIDE, SIDE) + b"0 " * 999,
    "PFM": b"Pf\n%d %d\n-1.0\n" % (SIDE, SIDE),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_what_a_small_file_declares_takes_no_memory(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(BOMBS[kind])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_image, read_ids, read_label_map):
        with pytest.raises(DataError, match=r"MB to decode; .* MB are allowed; cut"):
            read(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"the name: .* MB are allowed"):
        decode_image(BOMBS[kind], "the name")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # kB


WITHIN_LIMIT = """
import resource, sys
from pathlib import Path
from panoptic_deeplab.formats.images import read_image

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (450 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[1:]:
    assert read_image(path).shape == (6000, 6000, 3)
"""


def test_large_images_are_read_within_the_memory_estimated(tmp_path: Path) -> None:
    """36 million pixels, at most 11 bytes each; the files are small, for the images are blank."""
    paths = [str(tmp_path / f"{depth}.png") for depth in (1, 8, 16)]
    for path, depth in zip(paths, (1, 8, 16), strict=True):
        Path(path).write_bytes(png(6000, depth, 0, bytes(6000 * (6000 * depth // 8 + 1))))
    subprocess.run([sys.executable, "-c", WITHIN_LIMIT, *paths], check=True)


def test_a_tiff_with_strips_missing_is_refused(tmp_path: Path) -> None:
    """Pillow alone leaves the rows of missing strips black."""
    (tmp_path / "a.tif").write_bytes(image_of(8, size=[4, 9], rows=[3], data=bytes(12)))
    with pytest.raises(DataError, match=r"a\.tif: .*its pixels end at row 3 of 9"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "I", "I;16", "CMYK", "LA"])
def test_strips_of_a_large_image_make_the_whole(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (23, 10, 3), np.uint8)
    image = Image.fromarray(pixels)
    image = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
    whole = np.asarray(image)
    monkeypatch.setattr("panoptic_deeplab.formats.decoding._STRIP_PIXELS", 50)
    np.testing.assert_array_equal(array_of(image), whole)


def test_a_broken_orientation_is_none(tmp_path: Path) -> None:
    for value, expected in {3: 3, 8: 8, 0: 1, 9: 1, 65535: 1}.items():
        exif = Image.Exif()
        exif[0x0112] = value
        Image.new("L", (4, 3)).save(tmp_path / "a.jpg", exif=exif)
        with Image.open(tmp_path / "a.jpg") as image:
            assert orientation_of(image) == expected
    Image.new("L", (4, 3)).save(tmp_path / "b.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x09")
    assert read_image(tmp_path / "b.jpg").shape == (3, 4, 3)


def test_the_mask_of_a_shape_is_bounded_too() -> None:
    """A PNG in a JSON of labelme, of which a few kilobytes declare a billion pixels."""
    box = np.array([[0, 0], [SIDE - 1, SIDE - 1]], np.float64)
    shape = Shape(0, "car", None, False, "mask", box, png(SIDE, 8, 2, bytes(999)))
    with pytest.raises(DataError, match=r"the mask of a shape 'car': its PNG: .* MB are allowed"):
        shape_mask(shape, (4, 6))
