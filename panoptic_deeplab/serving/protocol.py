"""Requests and responses of the Open Inference Protocol (KServe v2), JSON and binary.

After https://kserve.github.io/website/latest/modelserving/data_plane/v2_protocol and its extension
for binary tensors: a body is a JSON object, whose length a header tells, and behind it the bytes
of the tensors.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from panoptic_deeplab.deployment import MODEL_NAME
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import as_json
from panoptic_deeplab.formats.images import decode_image, encoded_size
from panoptic_deeplab.structures import DatasetInfo, Prediction

LENGTH_HEADER = "Inference-Header-Content-Length"
"""Tells the bytes of the JSON object, where bytes of tensors follow it."""
MAX_PIXELS = 1 << 24
"""Of an image, 4096 x 4096: what a network of this project makes of more takes over 2 GB."""
MAX_BYTES = 4 * MAX_PIXELS
"""Of a request's body."""
MAX_JSON_BYTES = 16 << 20
"""Of its JSON object, whose numbers take many times as much in memory."""

OUTPUTS = {
    "panoptic": ("INT32", [1, -1, -1]),
    "segment_class": ("INT32", [1, -1]),
    "segment_score": ("FP32", [1, -1]),
    "segment_area": ("INT32", [1, -1]),
    "segment_count": ("INT32", [1]),
}
"""Name -> type and shape; as those of exported files, but without rows that are no segment."""

_TYPES = {"INT32": "<i4", "FP32": "<f4"}
_IMAGE_NAME = "image"


class TooLargeError(DataError):
    """A request of more bytes or pixels than are taken."""


@dataclass(frozen=True)
class InferenceRequest:
    """What a client asks for.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        settings: of the grouping, by name.
        outputs: names of the wanted outputs -> whether each is to come as bytes.
        id: of the request, to be repeated; None without one.
    """

    image: np.ndarray
    settings: Mapping[str, float] = field(default_factory=dict)
    outputs: Mapping[str, bool] = field(default_factory=dict)
    id: str | None = None


def read_request(
    body: bytes, header_length: str | None, known_settings: Mapping[str, float]
) -> InferenceRequest:
    """Read the body of a request.

    The input `image` is UINT8 of shape [1, H, W, 3] in RGB, or BYTES of shape [1]: the content of
    an image file, in JSON as base64.

    Args:
        body: as it came.
        header_length: value of `LENGTH_HEADER`; None where the body is JSON alone.
        known_settings: parameters that are settings, and their usual values.

    Raises:
        TooLargeError: the JSON or the image is more than is taken.
        DataError: the body is none of a request.
    """
    length = len(body) if header_length is None else _length(header_length, len(body))
    if length > MAX_JSON_BYTES:
        raise TooLargeError(
            f"a JSON object of {length} bytes is more than the {MAX_JSON_BYTES} that are taken; "
            "send the image as bytes"
        )
    content = _object(body[:length])
    parameters = _mapping(content.get("parameters", {}), "parameters")
    image = _read_image(_image_input(content), body[length:])
    settings = {
        name: type(usual)(_number(parameters[name], name))
        for name, usual in known_settings.items()
        if name in parameters
    }
    identifier = content.get("id")
    return InferenceRequest(
        image,
        settings,
        _wanted_outputs(content, parameters.get("binary_data_output") is True),
        None if identifier is None else str(identifier)[:200],
    )


def _length(text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) > most:
        raise DataError(f"{LENGTH_HEADER}: expected a number of at most {most}, got {text!r:.50}")
    return int(text)


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(text), "the request")
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected a JSON object in the body ({error})") from error


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{name}: expected a JSON object, got {type(value).__name__}")
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"{name}: expected a number, got {value!r:.50}")
    if not 0 <= value < 1 << 31:  # NaN neither
        raise DataError(f"{name}: expected a number in 0..2^31, got {value!r:.50}")
    return value


def _image_input(content: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise DataError(f"inputs: expected one, named {_IMAGE_NAME}")
    tensor = _mapping(inputs[0], "inputs[0]")
    if tensor.get("name") != _IMAGE_NAME:
        raise DataError(f"inputs[0]: expected {_IMAGE_NAME}, got {tensor.get('name')!r:.50}")
    return tensor


def _read_image(tensor: Mapping[str, Any], binary: bytes) -> np.ndarray:
    """[H, W, 3] uint8 of the input `image`; `binary` is what follows the JSON object."""
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    size = _mapping(tensor.get("parameters", {}), "parameters").get("binary_data_size")
    if size is not None and size != len(binary):
        raise DataError(
            f"binary_data_size: the image says {size!r:.50}, but {len(binary)} bytes follow"
        )
    if datatype == "BYTES":
        if shape != [1]:
            raise DataError(f"shape: expected [1] of BYTES, got {shape!r:.50}")
        return _decoded(_file_content(tensor.get("data"), binary, size is not None))
    if datatype != "UINT8":
        raise DataError(f"datatype: expected UINT8 or BYTES, got {datatype!r:.50}")
    height, width = _size(shape)
    if size is not None:
        values = np.frombuffer(binary, np.uint8)
    else:
        values = _flat_values(tensor.get("data"))
    if values.size != height * width * 3:
        raise DataError(f"image: expected {height * width * 3} values, got {values.size}")
    return values.reshape(height, width, 3)


def _size(shape: Any) -> tuple[int, int]:
    """(height, width) of a shape [1, H, W, 3]."""
    sides = shape if isinstance(shape, list) else []
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if not (whole and len(sides) == 4 and sides[0] == 1 and sides[3] == 3 and min(sides) > 0):
        raise DataError(f"shape: expected [1, H, W, 3] of UINT8, got {shape!r:.50}")
    _check_pixels(sides[1], sides[2])
    return sides[1], sides[2]


def _check_pixels(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise TooLargeError(
            f"image: {width} x {height} pixels are more than the {MAX_PIXELS} that are taken; "
            "make it smaller"
        )


def _flat_values(data: Any) -> np.ndarray:
    """uint8 of a list of whole numbers, nested or not."""
    try:
        values = np.array(data)
    except (ValueError, OverflowError) as error:
        raise DataError(f"image: data is no list of numbers ({error})") from error
    if values.dtype.kind not in "iu" or values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise DataError("image: expected data of whole numbers in 0..255")
    return values.astype(np.uint8).ravel()


def _file_content(data: Any, binary: bytes, is_binary: bool) -> bytes:
    """The only element of a BYTES tensor."""
    if is_binary:
        if len(binary) < 4 or struct.unpack("<I", binary[:4])[0] != len(binary) - 4:
            raise DataError("image: expected BYTES as its length in 4 bytes and its content")
        return binary[4:]
    try:
        (text,) = data
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise DataError("image: expected data with one text, the file in base64") from error


def _decoded(content: bytes) -> np.ndarray:
    _check_pixels(*encoded_size(content, _IMAGE_NAME))
    return decode_image(content, _IMAGE_NAME)


def _wanted_outputs(content: Mapping[str, Any], binary: bool) -> dict[str, bool]:
    """Name -> whether as bytes; all outputs where none is asked for."""
    asked = content.get("outputs") or [{"name": name} for name in OUTPUTS]
    if not isinstance(asked, list):
        raise DataError("outputs: expected a list")
    wanted = {}
    for output in asked:
        name = _mapping(output, "outputs").get("name")
        if not isinstance(name, str) or name not in OUTPUTS:
            raise DataError(f"outputs: expected {', '.join(OUTPUTS)}, got {name!r:.50}")
        parameters = _mapping(output.get("parameters", {}), "parameters")
        wanted[name] = parameters.get("binary_data", binary) is True
    return wanted


def write_response(prediction: Prediction, request: InferenceRequest) -> tuple[bytes, int | None]:
    """The body of a response, and the bytes of its JSON object where bytes of tensors follow.

    Args:
        prediction: whose ids count from 1 in the response, in the order of its segments.
        request: that it answers.
    """
    values = tensors_of(prediction)
    outputs, chunks = [], []
    for name, is_binary in request.outputs.items():
        datatype, _ = OUTPUTS[name]
        tensor = values[name].astype(_TYPES[datatype])
        entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(tensor.shape)}
        if is_binary:
            chunks.append(tensor.tobytes())
            entry["parameters"] = {"binary_data_size": tensor.nbytes}
        else:
            entry["data"] = tensor.ravel().tolist()
        outputs.append(entry)
    identifier = {} if request.id is None else {"id": request.id}
    content = as_json({"model_name": MODEL_NAME, **identifier, "outputs": outputs}).encode()
    return b"".join([content, *chunks]), len(content) if chunks else None


def tensors_of(prediction: Prediction) -> dict[str, np.ndarray]:
    """The `OUTPUTS` of a prediction."""
    segments = prediction.segments
    new_ids = np.zeros(int(prediction.ids.max(initial=0)) + 1, np.int32)
    areas = np.bincount(prediction.ids.ravel(), minlength=len(new_ids))
    for i, segment in enumerate(segments):
        new_ids[segment.id] = i + 1
    return {
        "panoptic": new_ids[prediction.ids][None],
        "segment_class": np.array([[segment.category for segment in segments]]),
        "segment_score": np.array([[_known(segment.score) for segment in segments]]),
        "segment_area": np.array([[areas[segment.id] for segment in segments]]),
        "segment_count": np.array([len(segments)]),
    }


def _known(score: float | None) -> float:
    return 1.0 if score is None else score


def metadata(info: DatasetInfo, settings: Mapping[str, float]) -> dict[str, Any]:
    """The model's metadata; classes and settings are an addition of ours."""
    return {
        "name": MODEL_NAME,
        "platform": "panoptic_deeplab",
        "inputs": [{"name": _IMAGE_NAME, "datatype": "UINT8", "shape": [1, -1, -1, 3]}],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": shape}
            for name, (datatype, shape) in OUTPUTS.items()
        ],
        "parameters": {"classes": info.to_dict()["categories"], "settings": dict(settings)},
    }
