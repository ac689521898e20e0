"""The ground truth of images is found by their names; what does not fit is told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.ground_truth_files import GroundTruthFiles
from panoptic_deeplab.formats.images import write_ids
from panoptic_deeplab.structures import Category, DatasetInfo, Segment

INFO = DatasetInfo(
    "tiny", (Category("road", False, (1, 2, 3), 0), Category("car", True, (0, 0, 142), 13))
)
CATEGORIES = [{"id": 7, "name": "road"}, {"id": 26, "name": "car"}]
IDS = np.array([[7, 7, 26001, 0]], np.int32)
SEGMENTS = [{"id": 7, "category_id": 7}, {"id": 26001, "category_id": 26, "iscrowd": 1}]


def write(folder: Path, image_id: object = "a", file_name: str = "a.png", **more: Any) -> Path:
    """Write a JSON of one image with label ids, and its PNG."""
    entry = {"image_id": image_id, "file_name": file_name, "segments_info": SEGMENTS} | more
    path = folder / "truth.json"
    path.write_text(json.dumps({"annotations": [entry], "categories": CATEGORIES}))
    write_ids(folder / "truth" / file_name, IDS)
    return path


@pytest.mark.parametrize(
    ("image_id", "file_name", "image"),
    [
        ("ulm_3", "ulm_3_gtFine_panoptic.png", "val/ulm/ulm_3_leftImg8bit.png"),  # Cityscapes
        (139, "000139.png", "000139.jpg"),  # COCO
        ("x/street", "7.png", "street.jpeg"),
    ],
)
def test_the_ground_truth_of_an_image(
    image_id: object, file_name: str, image: str, tmp_path: Path
) -> None:
    files = GroundTruthFiles(write(tmp_path, image_id, file_name), INFO)
    assert files.count([Path(image), Path("other.png")]) == 1
    truth = files.of_image(Path(image), (1, 4))
    np.testing.assert_array_equal(truth.ids, IDS)
    assert truth.segments == [Segment(7, 0), Segment(26001, 1, iscrowd=True)]
    assert files.of_image(Path("other.png"), (1, 4)) is None


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    files = GroundTruthFiles(write(tmp_path), INFO)
    with pytest.raises(DataError, match=r"truth\.json: annotates none of the 1 images, such as b"):
        files.count([Path("c/b.png")])
    with pytest.raises(DataError, match=r"of a\.png is \[1, 4\] \(height, width\), the image \[2"):
        files.of_image(Path("a.png"), (2, 4))
    unknown = [{"id": 7, "category_id": 8}]
    files = GroundTruthFiles(write(tmp_path, segments_info=unknown), INFO)
    with pytest.raises(DataError, match="image a: segment 7 has category_id 8, which is no class"):
        files.of_image(Path("a.png"), (1, 4))
    files = GroundTruthFiles(write(tmp_path), INFO)
    (tmp_path / "truth" / "a.png").unlink()
    with pytest.raises(DataError, match=r"a\.png: no such file"):
        files.of_image(Path("a.png"), (1, 4))
