"""A model repository of Triton: its configurations are in Triton's own form and fit their file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_checkpoint import SAMPLE, drawn_image, write_checkpoint

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.export.plan import check_target
from panoptic_deeplab.formats.images import read_ids, write_image

onnxruntime = pytest.importorskip("onnxruntime")
for package in ("onnx", "paddle2onnx", "tritonclient"):
    pytest.importorskip(package)

from google.protobuf import text_format  # noqa: E402

from panoptic_deeplab.cli import export, predict  # noqa: E402

TYPES = {"TYPE_UINT8": "tensor(uint8)", "TYPE_INT32": "tensor(int32)", "TYPE_FP32": "tensor(float)"}
BUCKET = (64, 128)
OTHER = (49, 73)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def repository(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton") / "repository"
    words = ["--model_path", str(checkpoint), "--save_dir", str(folder), "--format", "triton"]
    words += ["--image", str(checkpoint / SAMPLE), "--device", "cpu", "--repeats", "1"]
    words += ["--bucket", "128", "64", "--bucket", "128", "64", "--max_batch_size", "3"]
    assert export.main(words) == 0
    return folder


@pytest.fixture(scope="module")
def form() -> Any:
    """Triton's `ModelConfig`, read without the package around it, which needs gRPC."""
    package = Path(importlib.util.find_spec("tritonclient").origin).parent
    spec = importlib.util.spec_from_file_location("form", package / "grpc" / "model_config_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def configuration(folder: Path, form: Any) -> Any:
    return text_format.Parse((folder / "config.pbtxt").read_text(), form.ModelConfig())


def session(folder: Path) -> onnxruntime.InferenceSession:
    path = folder / "1" / "model.onnx"
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


MODELS = {"panoptic": [-1, -1, 3], "panoptic_128x64": [64, 128, 3]}


def test_the_folder_has_a_model_for_any_size_and_one_for_each_bucket(repository: Path) -> None:
    files = {p.relative_to(repository).as_posix() for p in repository.rglob("*") if p.is_file()}
    models = {f"{name}/{file}" for name in MODELS for file in ("config.pbtxt", "1/model.onnx")}
    assert files == {"deploy.yaml", *models}


@pytest.mark.parametrize("name", MODELS)
def test_a_configuration_has_the_inputs_and_outputs_of_its_file(
    name: str, repository: Path, form: Any
) -> None:
    config, file = configuration(repository / name, form), session(repository / name)
    assert (config.name, config.backend, config.max_batch_size) == (name, "onnxruntime", 3)
    assert config.HasField("dynamic_batching")
    assert [list(image.dims) for image in config.input] == [MODELS[name]]
    for told, found in ((config.input, file.get_inputs()), (config.output, file.get_outputs())):
        assert [tensor.name for tensor in told] == [tensor.name for tensor in found]
        for tensor, value in zip(told, found, strict=True):
            assert TYPES[form.DataType.Name(tensor.data_type)] == value.type
            shape = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
            assert len(shape) == len(value.shape) - 1
    for tensor, value in zip(config.output, file.get_outputs(), strict=True):
        # the backend refuses other dimensions than the file's, of outputs also narrower ones
        known = [side if isinstance(side, int) else -1 for side in value.shape[1:]]
        assert list(tensor.dims) == (known or [1])


def test_a_bucket_is_run_once_before_it_is_ready(repository: Path, form: Any) -> None:
    (warmup,) = configuration(repository / "panoptic_128x64", form).model_warmup
    (image,) = warmup.inputs.values()
    batch = np.zeros((warmup.batch_size, *image.dims), np.uint8)
    outputs = session(repository / "panoptic_128x64").run(None, {next(iter(warmup.inputs)): batch})
    assert outputs[0].shape == (1, *BUCKET)
    assert not configuration(repository / "panoptic", form).model_warmup


@pytest.mark.parametrize(
    ("name", "size"), [("panoptic", BUCKET), ("panoptic", OTHER), ("panoptic_128x64", BUCKET)]
)
def test_a_batch_gives_the_ids_that_predict_writes(
    name: str, size: tuple[int, int], repository: Path, checkpoint: Path, form: Any, tmp_path: Path
) -> None:
    config = configuration(repository / name, form)
    images = [drawn_image(size, seed) for seed in range(config.max_batch_size)]
    for i, image in enumerate(images):
        write_image(tmp_path / "images" / f"{i}.png", image)
    words = ["--model_path", str(checkpoint), "--image_path", str(tmp_path / "images")]
    words += ["--save_dir", str(tmp_path), "--format", "coco", "--device", "cpu"]
    assert predict.main(words) == 0
    outputs = session(repository / name).run(["panoptic"], {config.input[0].name: np.stack(images)})
    for i, ids in enumerate(outputs[0]):
        expected = read_ids(tmp_path / "coco" / "panoptic" / f"{i}.png")
        np.testing.assert_array_equal(ids, expected)
        assert len(np.unique(ids)) > 3


def test_a_repository_is_replaced_unless_something_else_lies_in_it(repository: Path) -> None:
    check_target(repository)
    for other in (repository / "mine", repository / "panoptic" / "2" / "model.onnx"):
        other.parent.mkdir(exist_ok=True)
        other.write_text("keep me")
        with pytest.raises(UsageError, match="which is no file of an export"):
            check_target(repository)
        other.unlink()
    other.parent.rmdir()
    link = repository / "panoptic" / "labels.txt"
    link.symlink_to(repository / "deploy.yaml")
    with pytest.raises(UsageError, match="holds panoptic, which is no file"):
        check_target(repository)
    link.unlink()
