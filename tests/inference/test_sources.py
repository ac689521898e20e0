"""Which images a path means, and what their results are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from panoptic_deeplab.inference.sources import find_images, unique_names

NAMES = [
    (["a.png"], ["a"]),
    (["x.jpg", "x.png", "x_png.png"], ["x_jpg", "x_png", "x_png_png"]),
    (["a.jpg", "a.png/b.jpg"], ["a_jpg", "a.png/b"]),
    (["a.png", "a_overlay.png"], ["a", "a_overlay_png"]),
]


@pytest.mark.parametrize(("paths", "names"), NAMES)
def test_results_never_share_a_name(paths: list[str], names: list[str]) -> None:
    assert unique_names([Path(path) for path in paths]) == names


def test_a_folder_is_searched_through_links_and_without_its_own_results(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    inputs = tmp_path / "inputs"
    for folder in (elsewhere, inputs / "panoptic"):
        folder.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(folder / "a.png")
    (inputs / "linked").symlink_to(elsewhere)
    (inputs / "loop").symlink_to(inputs)
    Image.new("RGB", (4, 4)).save(inputs / "._x.png")
    found = find_images(str(inputs), left_out=[inputs / "panoptic"])
    assert [p.name for p in found] == ["linked/a"]
    assert [p.name for p in find_images(str(inputs))] == ["linked/a", "panoptic/a"]
