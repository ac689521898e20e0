"""Requests of the Open Inference Protocol are read in both forms, and refused in one line."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.images import encode_image
from panoptic_deeplab.serving.protocol import (
    MAX_JSON_BYTES,
    OUTPUTS,
    InferenceRequest,
    read_request,
    write_response,
)
from panoptic_deeplab.structures import Prediction, Segment

IMAGE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
SETTINGS = {"threshold": 0.1, "min_stuff_area": 2048}


def body_of(tensor: dict[str, Any], binary: bytes = b"", **more: Any) -> tuple[bytes, str | None]:
    """A body and the value of its header."""
    content = json.dumps({"inputs": [{"name": "image"} | tensor]} | more).encode()
    return content + binary, str(len(content)) if binary else None


def uint8(**more: Any) -> dict[str, Any]:
    return {"datatype": "UINT8", "shape": [1, 2, 4, 3]} | more


def file_bytes() -> bytes:
    content = encode_image(IMAGE)
    return struct.pack("<I", len(content)) + content


def file_text() -> str:
    return base64.b64encode(encode_image(IMAGE)).decode()


BINARY_FILE = {
    "datatype": "BYTES",
    "shape": [1],
    "parameters": {"binary_data_size": len(file_bytes())},
}
GOOD = {
    "numbers": body_of(uint8(data=IMAGE.ravel().tolist())),
    "nested numbers": body_of(uint8(data=IMAGE[None].tolist())),
    "bytes": body_of(uint8(parameters={"binary_data_size": 24}), IMAGE.tobytes()),
    "a file": body_of(BINARY_FILE, file_bytes()),
    "a file as text": body_of(
        {
            "datatype": "BYTES",
            "shape": [1],
            "data": [base64.b64encode(encode_image(IMAGE)).decode()],
        }
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_an_image_comes_in_every_form(name: str) -> None:
    request = read_request(*GOOD[name], SETTINGS)
    np.testing.assert_array_equal(request.image, IMAGE)
    assert request.settings == {}
    assert request.outputs == dict.fromkeys(OUTPUTS, False)


def test_settings_outputs_and_id() -> None:
    parameters = {"threshold": 1, "min_stuff_area": 7.0, "other": 3, "binary_data_output": True}
    outputs = [
        {"name": "panoptic"},
        {"name": "segment_count", "parameters": {"binary_data": False}},
    ]
    body, length = body_of(
        uint8(data=IMAGE.tolist()), parameters=parameters, outputs=outputs, id="a"
    )
    request = read_request(body, length, SETTINGS)
    assert request.settings == {"threshold": 1.0, "min_stuff_area": 7}
    assert isinstance(request.settings["min_stuff_area"], int)
    assert request.outputs == {"panoptic": True, "segment_count": False}
    assert request.id == "a"


BAD = {
    "nothing": ((b"", None), "expected a JSON object in the body"),
    "deep": ((b"[" * 100_000, None), "expected a JSON object in the body"),
    "a list": ((b"[]", None), "the request: expected a JSON object, got list"),
    "long": ((b" " * (MAX_JSON_BYTES + 1), None), "send the image as bytes"),
    "length": ((b"{}", "3"), "expected a number of at most 2, got '3'"),
    "no number": ((b"{}", "-1"), "expected a number of at most 2, got '-1'"),
    "no input": ((b"{}", None), "inputs: expected one, named image"),
    "other input": (body_of({"name": "x"}), "inputs.0.: expected image, got 'x'"),
    "type": (body_of({"datatype": "FP32", "shape": [1, 2, 4, 3]}), "expected UINT8 or BYTES"),
    "shape": (body_of(uint8(shape=[2, 4, 3])), r"shape: expected \[1, H, W, 3\]"),
    "no shape": (body_of(uint8(shape=[1, True, 4, 3])), r"shape: expected \[1, H, W, 3\]"),
    "huge": (body_of(uint8(shape=[1, 1 << 40, 4, 3], data=[])), "pixels are more than"),
    "few": (body_of(uint8(data=[1, 2])), "expected 24 values, got 2"),
    "above": (body_of(uint8(data=[256] * 24)), r"whole numbers in 0\.\.255"),
    "fractions": (body_of(uint8(data=[0.5] * 24)), r"whole numbers in 0\.\.255"),
    "ragged": (body_of(uint8(data=[[1], 2])), "data is no list of numbers"),
    "no data": (body_of(uint8()), r"whole numbers in 0\.\.255"),
    "other size": (
        body_of(uint8(parameters={"binary_data_size": 24}), b"abc"),
        "the image says 24, but 3 bytes follow",
    ),
    "no base64": (
        body_of({"datatype": "BYTES", "shape": [1], "data": ["?"]}),
        "expected data with one text, the file in base64",
    ),
    "no image": (
        body_of({"datatype": "BYTES", "shape": [1], "data": ["aGVsbG8="]}),
        "image: not a readable image",
    ),
    "no length before a file": (
        body_of(BINARY_FILE | {"parameters": {"binary_data_size": 2}}, b"ab"),
        "expected BYTES as its length in 4 bytes",
    ),
    "output": (
        body_of(uint8(data=IMAGE.tolist()), outputs=[{"name": "x"}]),
        "outputs: expected panoptic, segment_class, .* got 'x'",
    ),
    "setting": (
        body_of(uint8(data=IMAGE.tolist()), parameters={"threshold": "high"}),
        "threshold: expected a number, got 'high'",
    ),
    "setting beyond all floats": (
        body_of(uint8(data=IMAGE.tolist()), parameters={"threshold": 10**400}),
        "threshold: expected a number in",
    ),
    "setting that is NaN": (
        body_of(uint8(data=IMAGE.tolist()), parameters={"threshold": float("nan")}),
        "threshold: expected a number in",
    ),
    "negative setting": (
        body_of(uint8(data=IMAGE.tolist()), parameters={"min_stuff_area": -1}),
        "min_stuff_area: expected a number in",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_request_is_refused(name: str) -> None:
    (body, length), message = BAD[name]
    with pytest.raises(DataError, match=message):
        read_request(body, length, SETTINGS)


PREDICTION = Prediction(
    np.array([[0, 5], [7, 7]], np.int32),
    [Segment(5, 1, score=0.5, is_thing=False), Segment(7, 0, score=None, is_thing=True)],
)
"""Segment 5 becomes 1, segment 7 becomes 2."""


def test_a_response_in_json() -> None:
    wanted = InferenceRequest(IMAGE, outputs=dict.fromkeys(OUTPUTS, False), id="a")
    body, length = write_response(PREDICTION, wanted)
    assert length is None
    assert json.loads(body) == {
        "model_name": "panoptic",
        "id": "a",
        "outputs": [
            {"name": "panoptic", "datatype": "INT32", "shape": [1, 2, 2], "data": [0, 1, 2, 2]},
            {"name": "segment_class", "datatype": "INT32", "shape": [1, 2], "data": [1, 0]},
            {"name": "segment_score", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1.0]},
            {"name": "segment_area", "datatype": "INT32", "shape": [1, 2], "data": [1, 2]},
            {"name": "segment_count", "datatype": "INT32", "shape": [1], "data": [2]},
        ],
    }


def test_a_response_in_bytes() -> None:
    outputs = {"segment_area": True, "segment_count": False, "panoptic": True}
    body, length = write_response(PREDICTION, InferenceRequest(IMAGE, outputs=outputs))
    content = json.loads(body[:length])
    assert [entry.get("parameters") for entry in content["outputs"]] == [
        {"binary_data_size": 8},
        None,
        {"binary_data_size": 16},
    ]
    np.testing.assert_array_equal(np.frombuffer(body[length:], "<i4"), [1, 2, 0, 1, 2, 2])


def test_a_prediction_without_segments() -> None:
    empty = Prediction(np.zeros((2, 2), np.int32), [])
    wanted = InferenceRequest(IMAGE, outputs=dict.fromkeys(OUTPUTS, False))
    shapes = [entry["shape"] for entry in json.loads(write_response(empty, wanted)[0])["outputs"]]
    assert shapes == [[1, 2, 2], [1, 0], [1, 0], [1, 0], [1]]
