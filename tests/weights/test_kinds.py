"""What should be weights and is something else is told as such; odd packings are taken."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights import read_weights

WEIGHTS = {"conv.weight": np.ones((2, 3), np.float32), "conv.bias": np.zeros(2, np.float32)}


def archive(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, b"\x80\2}.")
    return content.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 132735\n"
OTHERS = {
    "a pointer of git-lfs": (POINTER, "it is a pointer of git-lfs; fetch its content with: git"),
    "a page": (b"\n<!DOCTYPE html><html><head>", "it is an HTML page"),
    "a server's error": (b"<?xml version='1.0'?><Error>AccessDenied", "it is XML"),
    "a JSON error": (b'{"error": "Repository not found"}', "it is JSON text"),
    "nothing": (b"", "it is empty; fetch or write it again"),
    "an archive": (archive("model.pdparams"), "it is a ZIP archive; unpack it"),
    "a tar archive": (bytes(257) + b"ustar\0" + bytes(300), "it is a tar archive; unpack it"),
    "compressed": (b"\x1f\x8b\x08\0", "it is compressed by gzip; unpack it"),
    "PyTorch's": (archive("model/data.pkl"), "is a checkpoint of PyTorch; those of known networks"),
    "PyTorch's old format": (
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(99),
        "is a checkpoint of PyTorch",
    ),
    "an exported program's": (bytes(64), "which have no names; give the checkpoint that it was"),
    "Keras's": (b"\x89HDF\r\n\x1a\n" + bytes(9), "it is an HDF5 file"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(9), "it is a PNG image"),
    "an array": (b"\x93NUMPY\1\0v\0{'descr'", "it is a single NumPy array"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("suffix", [".pdparams", ".safetensors"])
def test_other_files_are_named(tmp_path: Path, kind: str, suffix: str) -> None:
    content, message = OTHERS[kind]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError) as failure:
        read_weights(path)
    assert str(failure.value).startswith(f"{path}: ")
    assert message in str(failure.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("inference.pdiparams", "parameters of an exported Paddle program"),
        ("inference.pdmodel", "an exported Paddle program; give the checkpoint"),
        ("model.pdopt", "the state of an optimizer; give the model.pdparams beside it"),
        ("model.onnx", "an exported network, from which no weights are taken"),
    ],
)
def test_other_files_are_told_by_their_suffix(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({}))
    with pytest.raises(DataError, match=f"not a file of weights: .*{message}"):
        read_weights(tmp_path / name)


def prefixed(prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in WEIGHTS.items()}


PACKINGS = {
    "alone": WEIGHTS,
    "under state_dict": {"state_dict": WEIGHTS, "epoch": 3},
    "under model": {"model": WEIGHTS, "optimizer": {"lr": 0.1}, "iteration": 90_000},
    "twice": {"model": {"state_dict": WEIGHTS}},
    "of several GPUs": prefixed("module."),
    "of Paddle's data parallel": prefixed("_layers."),
    "compiled": {"model": prefixed("module._orig_mod.")},
    "with Paddle's table of names": WEIGHTS | {"StructuredToParameterName@@": {"conv.weight": "w"}},
}


@pytest.mark.parametrize("kind", PACKINGS)
def test_packed_weights_are_taken(tmp_path: Path, kind: str) -> None:
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(PACKINGS[kind]))
    read = read_weights(tmp_path / "w.pdparams")
    assert set(read) == set(WEIGHTS)
    np.testing.assert_array_equal(read["conv.weight"], WEIGHTS["conv.weight"])


def test_a_prefix_of_some_names_belongs_to_them(tmp_path: Path) -> None:
    weights = WEIGHTS | {"module.scale": np.ones(1, np.float32)}
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(weights))
    assert set(read_weights(tmp_path / "w.pdparams")) == set(weights)


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    safetensors.numpy.save_file(WEIGHTS, tmp_path / "w.pdparams")
    (tmp_path / "w.safetensors").write_bytes(pickle.dumps(WEIGHTS))
    for name in ("w.pdparams", "w.safetensors"):
        assert set(read_weights(tmp_path / name)) == set(WEIGHTS)


def test_weights_that_lie_in_each_other_for_ever(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match="holds itself"):
        read_weights(tmp_path / "w.pdparams")
