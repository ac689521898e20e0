"""Which images a path means, what their results are called, and how they are read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.inference.sources import find_images, read_source, unique_names

NAMES = [
    (["a.png"], ["a"]),
    (["x.jpg", "x.png", "x_png.png"], ["x_jpg", "x_png", "x_png_png"]),
    (["a.jpg", "a.png/b.jpg"], ["a_jpg", "a.png/b"]),
    (["a.png", "a_overlay.png"], ["a", "a_overlay_png"]),
]


@pytest.mark.parametrize(("paths", "names"), NAMES)
def test_results_never_share_a_name(paths: list[str], names: list[str]) -> None:
    assert unique_names(paths) == names


def test_a_folder_is_searched_through_links_and_without_its_own_results(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    inputs = tmp_path / "inputs"
    for folder in (elsewhere, inputs / "panoptic"):
        folder.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(folder / "a.png")
    (inputs / "linked").symlink_to(elsewhere)
    (inputs / "loop").symlink_to(inputs)
    Image.new("RGB", (4, 4)).save(inputs / "._x.png")
    for folder in (inputs, tmp_path / "inputs" / "linked" / ".." / "inputs"):  # the same one
        found = find_images(str(inputs), left_out=[folder / "panoptic" / "a.png"])
        assert [p.name for p in found] == ["linked/a"]
    assert [p.name for p in find_images(str(inputs))] == ["linked/a", "panoptic/a"]


def test_frames_come_by_their_numbers_and_folder_by_folder(tmp_path: Path) -> None:
    for name in ("f10", "f9", "b/f2", "b/a/f1", "b/f11"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    assert [p.name for p in find_images(tmp_path)] == ["f9", "f10", "b/f2", "b/f11", "b/a/f1"]
    assert [p.name for p in find_images(tmp_path / "*.png")] == ["f9", "f10"]


def turned(path: Path) -> None:
    """A landscape whose EXIF tag says that it stands upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(pixels).save(path, exif=exif)


def with_16_bits(path: Path) -> None:
    Image.fromarray(np.arange(24, dtype=np.uint16).reshape(4, 6) << 10).save(path)


def with_palette(path: Path) -> None:
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)).convert("P").save(path)


ODD_IMAGES = {"turned": (turned, (6, 4)), "16 bits": (with_16_bits, (4, 6))}
ODD_IMAGES["a palette"] = (with_palette, (4, 6))


@pytest.mark.parametrize("kind", ODD_IMAGES)
def test_an_image_is_the_same_from_its_file_its_bytes_and_pillow(kind: str, tmp_path: Path) -> None:
    save, size = ODD_IMAGES[kind]
    save(tmp_path / "a.png")
    image = read_source(tmp_path / "a.png")
    assert image.pixels.shape == (*size, 3)
    assert image.pixels.any()
    for same in ((tmp_path / "a.png").read_bytes(), Image.open(tmp_path / "a.png")):
        np.testing.assert_array_equal(read_source(same).pixels, image.pixels)


def test_an_image_that_breaks_off_is_told_for_pillow_too(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[:-200])
    with Image.open(tmp_path / "a.jpg") as opened:
        for broken in (content[:-200], opened):
            with pytest.raises(DataError, match="truncated"):
                read_source(broken)


def test_names_that_are_not_utf8_become_names_that_are(tmp_path: Path) -> None:
    """Such names come from old archives; b.png and b%FF.png stay apart."""
    names = [b"b.png", b"b\xff.png", b"b%FF.png", b"d\xe9/\xe8\xa1\x97.png"]
    for name in names:
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            Image.new("RGB", (4, 3)).save(file, "PNG")
    found = find_images(tmp_path)
    assert sorted(image.name for image in found) == ["b", "b%FF_png", "b%FF_png_2", "d%E9/街"]
    assert {os.fsencode(image.path.relative_to(tmp_path)) for image in found} == set(names)
    assert all(read_source(image.path).pixels.shape == (3, 4, 3) for image in found)


def test_a_look_at_each_file_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a shared disk each look takes about a millisecond, and there may be 100,000 files."""
    for number in range(300):
        folder = tmp_path / f"{number % 3}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.png").touch()
    looks = []
    for name in ("stat", "lstat"):
        look = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, look=look, **k: looks.append(a) or look(*a, **k))
    assert len(find_images(tmp_path, left_out=[tmp_path / "panoptic"])) == 300
    assert len(looks) < 100
