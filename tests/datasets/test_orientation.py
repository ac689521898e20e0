"""Images that an EXIF tag turns: their annotations are drawn on what is shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab import notices
from panoptic_deeplab.datasets import CocoPanoptic
from panoptic_deeplab.errors import DataError, collecting_errors
from panoptic_deeplab.formats.images import write_ids

CLASSES = [{"id": 1, "name": "sky", "isthing": 0}]


def dataset(
    root: Path, orientation: int, stored: tuple[int, int], annotated: tuple[int, int]
) -> CocoPanoptic:
    """One image with an EXIF orientation and an annotation, all sky, of (height, width)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    (root / "images" / "train").mkdir(parents=True)
    Image.new("RGB", stored[::-1]).save(root / "images" / "train" / "a.png", exif=exif)
    source = root / "annotations" / "panoptic_train.json"
    write_ids(source.with_suffix("") / "a.png", np.ones(annotated, np.int32))
    segments = [{"id": 1, "category_id": 1, "area": annotated[0] * annotated[1], "iscrowd": 0}]
    annotation = {"image_id": 1, "file_name": "a.png", "segments_info": segments}
    images = [{"id": 1, "file_name": "a.png"}]
    content = {"images": images, "annotations": [annotation], "categories": CLASSES}
    source.write_text(json.dumps(content))
    return CocoPanoptic(str(root))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_an_annotation_of_the_stored_size_is_told_by_its_tag(
    tmp_path: Path, orientation: int
) -> None:
    samples = dataset(tmp_path, orientation, (3, 5), (3, 5))
    message = (
        rf"a\.png: the annotation is 5 x 3 pixels, as its image .*a\.png is stored, but by its "
        rf"EXIF orientation {orientation} \(90 degrees .*\) the image is 3 x 5; .*remove the tag"
    )
    with pytest.raises(DataError, match=message) as failure:
        samples.load(0)
    assert failure.value.kind == "annotated as stored"
    assert "scale" not in str(failure.value)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_an_annotation_of_the_upright_size_is_taken(tmp_path: Path, orientation: int) -> None:
    samples = dataset(tmp_path, orientation, (3, 5), (5, 3))
    with collecting_errors() as errors:
        sample = samples.load(0)
    assert sample["image"].shape == (5, 3, 3)
    assert not errors


@pytest.mark.parametrize(
    ("orientation", "stored"), [(2, (3, 5)), (3, (3, 5)), (4, (3, 5)), (6, (3, 3)), (8, (3, 3))]
)
def test_where_sizes_tell_nothing_there_is_a_warning(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    orientation: int,
    stored: tuple[int, int],
) -> None:
    monkeypatch.setattr(notices, "_given", set())
    samples = dataset(tmp_path, orientation, stored, stored)
    with collecting_errors() as errors:
        samples.load(0)
    assert [error.kind for error in errors] == ["EXIF orientation"]
    assert not caplog.records
    samples.load(0)
    (told,) = {record.getMessage() for record in caplog.records}
    assert f"a.png: is turned by its EXIF orientation {orientation} (" in told
    assert "remove the tag (exiftool -Orientation= FILE)" in told


def test_another_size_altogether_is_no_matter_of_orientation(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is 4 x 4 pixels, its image .* 3 x 5") as failure:
        dataset(tmp_path, 6, (3, 5), (4, 4)).load(0)
    assert failure.value.kind == "size mismatch"
