"""Predictions as rows of a table: what a worker returns and Parquet files hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.file_names import readable
from panoptic_deeplab.formats.coco import segments_info
from panoptic_deeplab.formats.images import decode_ids, encode_ids
from panoptic_deeplab.inference.stages import Predicted
from panoptic_deeplab.structures import DatasetInfo, Prediction, Segment

SEGMENT = pa.struct(
    [
        ("id", pa.int32()),
        ("label", pa.string()),
        ("category", pa.int32()),
        ("category_id", pa.int64()),
        ("is_thing", pa.bool_()),
        ("score", pa.float64()),
        ("area", pa.int64()),
        ("bbox", pa.list_(pa.int32())),
    ]
)
"""A segment: its value in the id map, name and index of its class, the official id of the class,
whether the class has instances, the confidence (null where there is none), pixels, and the box
(x, y, width, height)."""

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("path", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("ids", pa.binary()),
        ("segments", pa.list_(SEGMENT)),
        ("image_version", pa.list_(pa.int64())),
        ("failure", pa.string()),
    ]
)
"""An image: the name of its results, where it comes from, its size, the id map as a PNG
(id = R + 256 G + 65536 B, 0 void), its segments, size and time of its file, and what prevented a
result (null where there is one)."""

_METADATA_KEY = b"panoptic_deeplab"


def table_of(predicted: Iterable[Predicted], info: DatasetInfo) -> pa.Table:
    """Make the table of predicted images, a row for each."""
    return pa.Table.from_pylist([_row(one, info) for one in predicted], SCHEMA)


def prediction_of(row: Mapping[str, Any]) -> Prediction:
    """Return the panoptic map of a row, whichever of pyarrow, pandas or Ray read it.

    Raises:
        DataError: the row has no map of ids.
    """
    segments = [
        Segment(
            int(segment["id"]),
            int(segment["category"]),
            area=int(segment["area"]),
            is_thing=bool(segment["is_thing"]),
            score=None if segment["score"] is None else float(segment["score"]),
        )
        for segment in row["segments"]
    ]
    return Prediction(decode_ids(row["ids"], str(row["name"])), segments)


def described_by(schema: pa.Schema, model: str, info: DatasetInfo) -> pa.Schema:
    """Return the schema with the model's fingerprint and classes, for `read_description`."""
    content = {"model": model, "info": info.to_dict()}
    return schema.with_metadata({_METADATA_KEY: json.dumps(content).encode()})


def read_description(schema: pa.Schema, source: str) -> tuple[str, DatasetInfo]:
    """Return the fingerprint of the model that made a table, and its classes.

    Raises:
        DataError: no prediction wrote the table; `source` names it.
    """
    try:
        content = json.loads(schema.metadata[_METADATA_KEY])
        return str(content["model"]), DatasetInfo.from_dict(content["info"], source)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{source}: is no Parquet file that a prediction wrote") from error


def _row(predicted: Predicted, info: DatasetInfo) -> dict[str, Any]:
    image, result = predicted
    row = {
        "name": image.name,
        "path": readable(image.origin),
        "image_version": image.version,
    }
    if isinstance(result, DataError):
        return row | {"failure": str(result)}
    height, width = result.ids.shape
    found = result.prediction.segments
    entries = segments_info(result.ids, found, info)
    return row | {
        "height": height,
        "width": width,
        "ids": encode_ids(result.ids),
        "segments": [_segment(s, e, info) for s, e in zip(found, entries, strict=True)],
    }


def _segment(segment: Segment, entry: Mapping[str, Any], info: DatasetInfo) -> dict[str, Any]:
    return {
        "id": segment.id,
        "label": info.categories[segment.category].name,
        "category": segment.category,
        "category_id": entry["category_id"],
        "is_thing": bool(entry["isthing"]),
        "score": entry.get("score"),
        "area": int(entry["area"]),
        "bbox": entry["bbox"],
    }
