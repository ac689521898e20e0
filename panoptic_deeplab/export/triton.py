"""A model repository of NVIDIA Triton: the ONNX file, and configurations of its server.

After "Model Repository" and "Model Configuration" of Triton Inference Server's user guide. Its
`onnxruntime` backend runs the file. The server joins waiting requests of equal sizes to a batch.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_deeplab.deployment import MODEL, MODEL_NAME

if TYPE_CHECKING:
    import onnx

CONFIG = "config.pbtxt"
VERSION = "1"
"""Name of the folder of a model's only version."""

_MODEL_FOLDER = re.compile(rf"{MODEL_NAME}(_\d+x\d+)?")
_ENTRIES = {CONFIG, VERSION, f"{VERSION}/{MODEL}"}
_TYPES = {"FLOAT": "TYPE_FP32", "INT32": "TYPE_INT32", "UINT8": "TYPE_UINT8"}
"""ONNX's name of a type -> Triton's."""


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds a model of a repository that was written here, and nothing else."""
    entries = list(folder.rglob("*"))
    return (
        bool(_MODEL_FOLDER.fullmatch(folder.name))
        and {entry.relative_to(folder).as_posix() for entry in entries} <= _ENTRIES
        and not any(entry.is_symlink() for entry in entries)
    )


def write_repository(folder: Path, buckets: Sequence[tuple[int, int]], max_batch_size: int) -> None:
    """Turn the folder of an ONNX export into a model repository.

    Its models are `panoptic` for images of any size, and one for each bucket.

    Args:
        folder: has `model.onnx`, which moves into the models' folders.
        buckets: (width, height) of images that get a model of their own.
        max_batch_size: images that the server may join to a batch.
    """
    import onnx  # here, because the layout above is known without it

    model = onnx.load(str(folder / MODEL))
    for width, height in buckets:
        name, sizes = f"{MODEL_NAME}_{width}x{height}", {"H": height, "W": width}
        _write_model(folder, name, configuration(name, model, max_batch_size, sizes))
    _write_model(folder, MODEL_NAME, configuration(MODEL_NAME, model, max_batch_size, {}))
    (folder / MODEL).unlink()


def _write_model(repository: Path, name: str, config: str) -> None:
    version = repository / name / VERSION
    version.mkdir(parents=True)
    shutil.copyfile(repository / MODEL, version / MODEL)
    (repository / name / CONFIG).write_text(config, "utf-8")


def configuration(
    name: str, model: onnx.ModelProto, max_batch_size: int, sizes: Mapping[str, int]
) -> str:
    """The text of `config.pbtxt`.

    Args:
        name: of the model's folder.
        model: a file with the grouping, whose dimensions are named N, H and W.
        max_batch_size: at most so many images are joined.
        sizes: of the dimensions H and W; empty for any. The server runs a model of fixed sizes once
            before it says that it is ready. Its outputs keep the file's dimensions, with which the
            backend compares them.
    """
    image, *_ = model.graph.input
    return f"""name: "{name}"
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [
{_tensors(model.graph.input, sizes)}
]
output [
{_tensors(model.graph.output, {})}
]
dynamic_batching {{ }}
{_warmup(image, sizes) if sizes else ""}"""


def _tensors(values: Iterable[onnx.ValueInfoProto], sizes: Mapping[str, int]) -> str:
    return ",\n".join(
        f'  {{ name: "{value.name}", data_type: {_type(value)}, {_shape(_dims(value, sizes))} }}'
        for value in values
    )


def _shape(dims: Sequence[int]) -> str:
    """The shape without the batch; that of single numbers may not be empty, and is reshaped."""
    return f"dims: {list(dims)}" if dims else "dims: [1], reshape: { shape: [] }"


def _warmup(image: onnx.ValueInfoProto, sizes: Mapping[str, int]) -> str:
    dims = f"data_type: {_type(image)}, dims: {_dims(image, sizes)}, zero_data: true"
    return f"""model_warmup [
  {{ name: "black", batch_size: 1, inputs {{ key: "{image.name}", value {{ {dims} }} }} }}
]
"""


def _type(value: onnx.ValueInfoProto) -> str:
    from onnx import TensorProto

    return _TYPES[TensorProto.DataType.Name(value.type.tensor_type.elem_type)]


def _dims(value: onnx.ValueInfoProto, sizes: Mapping[str, int]) -> list[int]:
    """The dimensions after the batch; -1 for any size."""
    _, *dimensions = value.type.tensor_type.shape.dim
    return [dim.dim_value or sizes.get(dim.dim_param, -1) for dim in dimensions]
