"""Reading samples: pairing, truth, and files that are wrong."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.datasets import CityscapesPanoptic
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS
from panoptic_deeplab.formats.images import read_ids, read_image, write_ids


@pytest.fixture
def copy(scenes: Path, tmp_path: Path) -> Path:
    """The scenes once more, to be spoiled."""
    return Path(shutil.copytree(scenes, tmp_path / "copy"))


def annotation_file(root: Path, mode: str = "val") -> Path:
    return root / "gtFine" / f"cityscapes_panoptic_{mode}_trainId.json"


def edit(root: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(annotation_file(root).read_text())
    change(content)
    annotation_file(root).write_text(json.dumps(content))


def test_a_sample_is_what_the_files_say(scenes: Path) -> None:
    dataset = CityscapesPanoptic(str(scenes), "val")
    assert len(dataset) == 3
    sample, record = dataset[0], dataset.records[0]
    assert sample["image"].shape == (64, 128, 3)
    assert sample["image"].dtype == np.uint8
    np.testing.assert_array_equal(sample["image"], np.asarray(Image.open(record.image_path)))
    rgb = np.asarray(Image.open(record.label_path)).astype(int)
    np.testing.assert_array_equal(sample["panoptic"], rgb @ [1, 256, 65536])
    assert sample["frame"].valid_box == (0, 0, 64, 128)
    areas = {s.id: s.area for s in sample["segments"]}
    assert areas == {i: int((sample["panoptic"] == i).sum()) for i in areas}


def test_semantics_equal_the_train_id_images(scenes: Path) -> None:
    dataset = CityscapesPanoptic(str(scenes), "val")
    for index, record in enumerate(dataset.records):
        labels = next(scenes.glob(f"gtFine/val/*/{record.image_id}_gtFine_labelTrainIds.png"))
        semantic = dataset.truth(index).semantic(CITYSCAPES.ignore_index)
        np.testing.assert_array_equal(semantic, cv2.imread(str(labels), cv2.IMREAD_UNCHANGED))


def test_pairs_by_image_id_whatever_the_order_and_the_names(copy: Path) -> None:
    before = {r.image_id: r.label_path.name for r in CityscapesPanoptic(str(copy), "val").records}
    edit(copy, lambda content: content["annotations"].reverse())
    for path in sorted((copy / "leftImg8bit" / "val").rglob("*.png")):
        renamed = path.name.replace("_leftImg8bit.png", ".jpg")
        Image.open(path).save(copy / "leftImg8bit" / "val" / renamed)
        path.unlink()
    records = CityscapesPanoptic(str(copy), "val").records
    assert {r.image_id: r.label_path.name for r in records} == before
    assert all(r.image_path.stem == r.image_id for r in records)


def test_a_split_folder_is_not_needed(copy: Path) -> None:
    images = copy / "leftImg8bit"
    shutil.rmtree(images / "train")
    for path in images.rglob("*.png"):
        path.rename(images / path.name)
    shutil.rmtree(images / "val")
    assert len(CityscapesPanoptic(str(copy), "val")) == 3


def test_links_to_folders_are_followed_and_a_ring_of_them_ends(copy: Path, tmp_path: Path) -> None:
    folder = copy / "leftImg8bit" / "val"
    shutil.move(folder, tmp_path / "elsewhere")
    folder.mkdir()
    (folder / "town").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(folder)
    assert len(CityscapesPanoptic(str(copy), "val")) == 3


def test_a_test_split_has_no_truth(copy: Path) -> None:
    (copy / "leftImg8bit" / "val").rename(copy / "leftImg8bit" / "test")
    dataset = CityscapesPanoptic(str(copy), "test")
    assert "panoptic" not in dataset[0]
    with pytest.raises(DataError, match="has no annotation"):
        dataset.truth(0)


def _label_ids(content: dict) -> None:
    for annotation in content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["category_id"] = LABEL_IDS[segment["category_id"]]
    del content["categories"]


def _label_ids_in_categories(content: dict) -> None:
    for category in content["categories"]:
        category["id"] = {"road": 7}.get(category["name"], category["id"])


def _first(content: dict) -> dict:
    return content["annotations"][0]


SPOILT = {
    "label ids": (_label_ids, "holds Cityscapes label ids where train ids are wanted"),
    "another numbering": (_label_ids_in_categories, "category 'road' has id 7"),
    "unknown category": (
        lambda c: _first(c)["segments_info"][0].update(category_id=77),
        "category_id 77, which is none of the 19 categories",
    ),
    "no segments": (
        lambda c: _first(c).pop("segments_info"),
        "image_id, file_name and segments_info are needed",
    ),
    "an id that is a text": (
        lambda c: _first(c)["segments_info"][0].update(id="x"),
        "expected an entry with a whole number 'id'",
    ),
    "an id of 0": (lambda c: _first(c)["segments_info"][0].update(id=0), "outside 1..16777215"),
    "twice": (lambda c: c["annotations"].append(_first(c)), "is annotated twice"),
    "no image": (lambda c: _first(c).update(image_id="nobody"), "image nobody is annotated"),
    "outside": (lambda c: _first(c).update(file_name="../../a.png"), "points outside"),
    "no annotations": (lambda c: c.pop("annotations"), "expected a list under 'annotations'"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_spoiled_annotation_files(copy: Path, kind: str) -> None:
    change, message = SPOILT[kind]
    edit(copy, change)
    with pytest.raises(DataError) as failure:
        CityscapesPanoptic(str(copy), "val")
    assert message in str(failure.value)
    assert str(annotation_file(copy)) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_an_id_in_the_png_that_the_json_lacks(copy: Path) -> None:
    edit(copy, lambda content: _first(content)["segments_info"].pop())
    dataset = CityscapesPanoptic(str(copy), "val")
    with pytest.raises(DataError, match=r"id \d+ at pixel \(y \d+, x \d+\) is not in the JSON"):
        dataset[0]


def test_image_and_annotation_of_different_sizes(copy: Path) -> None:
    record = CityscapesPanoptic(str(copy), "val").records[0]
    Image.fromarray(read_image(record.image_path)[:, :99]).save(record.image_path)
    with pytest.raises(DataError, match=r"annotation is 128 x 64 pixels, its image .* 99 x 64"):
        CityscapesPanoptic(str(copy), "val")[0]


def test_missing_folders_and_files_say_what_to_do(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dataset_root must hold Cityscapes' leftImg8bit"):
        CityscapesPanoptic(str(tmp_path / "nowhere"), "train")
    annotation_file(copy).unlink()
    with pytest.raises(DataError, match="make it with: panoptic-deeplab convert prepare-"):
        CityscapesPanoptic(str(copy), "val")


def test_a_missing_or_truncated_label(copy: Path) -> None:
    dataset = CityscapesPanoptic(str(copy), "val")
    path = dataset.records[0].label_path
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=f"{path.name}: not a readable image"):
        dataset[0]
    path.unlink()
    with pytest.raises(DataError, match=f"{path.name}: no such file"):
        dataset[0]


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


NO_PICTURES = {
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


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_what_is_no_image_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(NO_PICTURES[kind])
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
    values = np.full((2, 3, len(mode)), 0x1234, np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), values)
    assert np.unique(read_image(tmp_path / "a.png")).tolist() == [0x12]
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


def test_a_grey_png_is_no_id_map(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "gray.png")
    with pytest.raises(DataError, match=r"expected an RGB panoptic PNG .* got an image of mode L"):
        read_ids(tmp_path / "gray.png")
