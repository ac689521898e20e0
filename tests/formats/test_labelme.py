"""labelme's shapes cover the pixels that labelme gives them; broken files are refused."""

from __future__ import annotations

import base64
import json
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.errors import DataError, collecting_errors
from panoptic_deeplab.formats.labelme import read_labelme, shape_mask


def png_of(mask: list[list[int]]) -> str:
    data = BytesIO()
    Image.fromarray(np.array(mask, np.uint8)).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def labelme_json(path: Path, *shapes: dict[str, Any], **changes: Any) -> Path:
    content = {"shapes": list(shapes), "imageHeight": 4, "imageWidth": 5, "imageData": "ignored"}
    path.write_text(json.dumps(content | changes))
    return path


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        (  # corners belong to it, and it is drawn over the border
            {"points": [[3.0, 1.0], [9, 1], [9, 9], [3, 9]]},
            ["00000", "00011", "00011", "00011"],
        ),
        (
            {"shape_type": "rectangle", "points": [[2.0, 3.0], [1, 1]]},
            ["00000", "01100", "01100", "01100"],
        ),
        (
            {"shape_type": "circle", "points": [[2, 1], [3, 1]]},
            ["00100", "01110", "00100", "00000"],
        ),
        (
            {
                "shape_type": "mask",
                "points": [[3, 0], [5, 1]],
                "mask": png_of([[0, 1, 1], [1, 0, 1]]),
            },
            ["00001", "00010", "00000", "00000"],
        ),
        (
            {"shape_type": "mask", "points": [[-1, -1], [0, 0]], "mask": png_of([[0, 1], [1, 1]])},
            ["10000", "00000", "00000", "00000"],
        ),
        (  # it was moved: rounded apart, the corners would span a box of 3 x 2
            {
                "shape_type": "mask",
                "points": [[1.4, 0.6], [2.6, 2.4]],
                "mask": png_of([[1, 0], [1, 1]]),
            },
            ["00000", "01000", "01100", "00000"],
        ),
        (  # as X-AnyLabeling writes rectangles
            {"shape_type": "rectangle", "points": [[1, 1], [3, 1], [3, 2], [1, 2]]},
            ["00000", "01110", "01110", "00000"],
        ),
        (
            {"shape_type": "rotation", "points": [[2, 0], [4, 2], [2, 4], [0, 2]], "direction": 1},
            ["00100", "01110", "11111", "01110"],
        ),
        (
            {"shape_type": "oriented_rectangle", "points": [[2, 0], [4, 2], [2, 4], [0, 2]]},
            ["00100", "01110", "11111", "01110"],
        ),
        (
            {"shape_type": "quadrilateral", "points": [[2, 0], [4, 2], [2, 4], [0, 2]]},
            ["00100", "01110", "11111", "01110"],
        ),
        (
            {"shape_type": None, "points": [[0, 0], [4, 0], [4, 0], [0, 0]]},
            ["11111", "00000", "00000", "00000"],
        ),
    ],
    ids=[
        "polygon",
        "rectangle",
        "circle",
        "mask",
        "mask over the corner",
        "mask between pixels",
        "rectangle of four points",
        "rotation",
        "oriented rectangle",
        "quadrilateral",
        "no type",
    ],
)
def test_shapes_of_labelme(tmp_path: Path, shape: dict[str, Any], pixels: list[str]) -> None:
    annotation = read_labelme(labelme_json(tmp_path / "a.json", {"label": "cat"} | shape))
    assert annotation.size == (4, 5)
    mask = shape_mask(annotation.shapes[0], (4, 5))
    assert ["".join(map(str, row)) for row in mask.astype(int).tolist()] == pixels


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "cuboid", "points": [[0, 0], [1, 1]]}, "the type 'cuboid'"),
        ({"points": [[0, 0, 1], [1, 1, 1], [0, 1, 1]]}, "of a polygon"),
        ({"points": [[0, 0], [1, 1], [math.nan, 2]]}, "a coordinate beyond"),
        ({"points": [[0, 0], [1, 1], [1e300, 2]]}, "a coordinate beyond"),
        ({"points": "abc"}, "ValueError"),
        ({"points": [[0, 0], [1, 1], [2, 0]], "group_id": [1]}, "group_id"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]]}, "KeyError: 'mask'"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "?"}, "base64|padding"),
        ({"shape_type": ["polygon"], "points": []}, "TypeError"),
    ],
)
def test_broken_shapes_of_labelme_are_refused(
    tmp_path: Path, shape: dict[str, Any], message: str
) -> None:
    path = labelme_json(tmp_path / "a.json", {"label": "cat"} | shape)
    with pytest.raises(DataError, match=f"a\\.json: shape 0: .*({message})"):
        read_labelme(path)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ({"shape_type": "point", "points": [[0, 0]]}, "point of 1 point"),
        ({"shape_type": "points", "points": [[0, 0]] * 9}, "points of 9 points"),
        ({"shape_type": "line", "points": [[0, 0], [1, 1]]}, "line of 2 points"),
        ({"shape_type": "linestrip", "points": [[0, 0], [1, 1], [1, 0]]}, "linestrip of 3 points"),
        ({"points": [[0, 0], [1, 1]]}, "polygon of 2 points"),
        ({"points": []}, "polygon of 0 points"),
        ({"shape_type": "rectangle", "points": [[0, 0]]}, "rectangle of 1 point"),
        ({"shape_type": "circle", "points": [[0, 0]]}, "circle of 1 point"),
    ],
)
def test_what_covers_no_area_is_left_out_and_told(
    tmp_path: Path, shape: dict[str, Any], told: str
) -> None:
    square = {"label": "dog", "points": [[0, 0], [1, 0], [1, 1]]}
    path = labelme_json(tmp_path / "a.json", {"label": "cat"} | shape, square)
    with collecting_errors() as errors:
        (kept,) = read_labelme(path).shapes
    assert (kept.label, kept.number) == ("dog", 1)
    assert [str(error) for error in errors] == [
        f"{path}: shape 0 is a {told}, which covers no area"
    ]
    assert errors[0].is_left_out


@pytest.mark.parametrize(
    ("written", "group"), [(None, None), ("", None), (1, 1), (1.0, 1), ("1", 1), ("left", "left")]
)
def test_groups_as_programs_write_them(tmp_path: Path, written: Any, group: Any) -> None:
    shape = {"label": " cat\t", "points": [[0, 0], [1, 0], [1, 1]], "group_id": written}
    (read,) = read_labelme(labelme_json(tmp_path / "a.json", shape)).shapes
    assert (read.label, read.group_id) == ("cat", group)


@pytest.mark.parametrize(
    "png", [png_of([[1, 1, 1]]), base64.b64encode(b"no image").decode()], ids=["size", "png"]
)
def test_a_mask_that_does_not_fit_its_box_is_refused(tmp_path: Path, png: str) -> None:
    shape = {"label": "cat", "shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": png}
    annotation = read_labelme(labelme_json(tmp_path / "a.json", shape))
    with pytest.raises(DataError, match="the mask of a shape 'cat'"):
        shape_mask(annotation.shapes[0], (4, 5))


@pytest.mark.parametrize(
    "changes",
    [{"shapes": 3}, {"imageHeight": -1}, {"imageHeight": "4"}, {"imageHeight": 1 << 40}],
    ids=str,
)
def test_broken_files_of_labelme_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"a\.json: "):
        read_labelme(labelme_json(tmp_path / "a.json", **changes))


def test_labelme_files_may_lack_the_size(tmp_path: Path) -> None:
    assert read_labelme(labelme_json(tmp_path / "a.json", imageWidth=None)).size is None
