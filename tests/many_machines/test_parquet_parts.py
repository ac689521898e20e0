"""Parquet results: rows to maps and back, one row for each image whatever is predicted again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.inference.sources import ReadImage
from panoptic_deeplab.inference.stages import Predicted
from panoptic_deeplab.many_machines.parts import Parts
from panoptic_deeplab.many_machines.rows import prediction_of, read_description, table_of
from panoptic_deeplab.result import Result
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment

INFO = DatasetInfo(
    "street", (Category("road", False, (1, 2, 3), 7), Category("car", True, (4, 5, 6), 26))
)
IDS = np.array([[1, 1, 0], [1, 70000, 70000]], np.int32)
SEGMENTS = [
    Segment(1, 0, area=3, is_thing=False),
    Segment(70000, 1, area=2, is_thing=True, score=0.25),
]


def predicted(name: str, changed: int = 5) -> Predicted:
    pixels = np.zeros((2, 3, 3), np.uint8)
    image = ReadImage(name, f"/images/{name}.png", pixels, version=(10, changed))
    return Predicted(image, Result(pixels, Prediction(IDS, SEGMENTS), INFO))


def parts(folder: Path, model: str = "one") -> Parts:
    return Parts(folder, INFO, model)


def take(found: Parts, *names: str, changed: int = 5) -> dict[str, str]:
    with found.prepared(names, []):
        return found.take(table_of([predicted(name, changed) for name in names], INFO))


def names_in(folder: Path) -> list[str]:
    return sorted(pd.read_parquet(folder / "parquet")["name"])


def test_a_row_says_all_of_a_map_to_pandas_and_to_pyarrow(tmp_path: Path) -> None:
    take(parts(tmp_path), "a/b")
    (path,) = (tmp_path / "parquet").iterdir()
    for row in (pd.read_parquet(path).iloc[0], pq.read_table(path).to_pylist()[0]):
        back = prediction_of(row)
        assert np.array_equal(back.ids, IDS)
        assert back.segments == SEGMENTS
        assert (row["name"], row["path"]) == ("a/b", "/images/a/b.png")
        assert (row["height"], row["width"]) == (2, 3)
        car = row["segments"][1]
        assert (car["label"], car["category_id"], list(car["bbox"])) == ("car", 26, [1, 1, 2, 1])
    assert read_description(pq.read_schema(path), "part") == ("one", INFO)


def test_an_image_predicted_again_has_its_new_row_alone(tmp_path: Path) -> None:
    take(parts(tmp_path), "a", "b", "c")
    take(parts(tmp_path, "two"), "b")
    assert names_in(tmp_path) == ["a", "b", "c"]
    take(parts(tmp_path), "a", "c")
    assert names_in(tmp_path) == ["a", "b", "c"]
    assert len(list((tmp_path / "parquet").iterdir())) == 2  # the first lost all its rows


def test_equal_blocks_have_equal_names(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        take(parts(tmp_path / folder), "a", "b")
    first, second = ([p.name for p in tmp_path.glob(f"{f}/*/*")] for f in ("first", "second"))
    assert first == second


def test_what_is_done_is_of_the_same_file_and_model(tmp_path: Path) -> None:
    take(parts(tmp_path), "a", "b")
    versions = {"a": (10, 5), "b": (10, 6), "c": (10, 5), "d": None}
    assert parts(tmp_path).done(versions) == {"a"}
    with pytest.raises(UsageError, match="another model"):
        parts(tmp_path, "two").done(versions)
    assert parts(tmp_path, "two").done({"c": (10, 5)}) == set()


def test_an_image_without_a_result_has_no_row(tmp_path: Path) -> None:
    image = ReadImage("bad", "/images/bad.png", DataError("broken"), version=(1, 1))
    rows = [predicted("a"), Predicted(image, image.pixels)]
    assert parts(tmp_path).take(table_of(rows, INFO)) == {"bad": "broken"}
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"nothing", "cannot be read as Parquet"), (None, "no Parquet file that a prediction wrote")],
)
def test_a_foreign_file_is_refused_and_stays(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "parquet" / "part-0123456789abcdef.parquet"
    path.parent.mkdir()
    if content is None:
        pd.DataFrame({"name": ["a"], "image_version": [[1, 2]]}).to_parquet(path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for attempt in (lambda: parts(tmp_path).done({"a": (1, 2)}), lambda: enter(tmp_path, ["a"])):
        with pytest.raises(DataError, match=words):
            attempt()
    assert path.read_bytes() == before


def enter(folder: Path, names: Sequence[str]) -> None:
    with parts(folder).prepared(names, []):
        pass


@pytest.mark.parametrize("content", [b"", b"\x89PNG nothing"])
def test_a_row_without_a_map_is_told(content: bytes) -> None:
    with pytest.raises(DataError, match="some: not a readable image"):
        prediction_of({"name": "some", "ids": content, "segments": []})
