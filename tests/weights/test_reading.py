"""Weights as named arrays, of both kinds of file; damaged and odd files are refused."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest
import safetensors.numpy
import safetensors.paddle

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights import load_weights, read_weights

DAMAGED = {
    "truncated": pickle.dumps({"a": np.ones(100)})[:80],
    "text": b"hello",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    (tmp_path / "w.pdparams").write_bytes(DAMAGED[kind])
    with pytest.raises(DataError, match="not weights that Paddle saved, or damaged") as failure:
        read_weights(tmp_path / "w.pdparams")
    assert "\n" not in str(failure.value)


OTHER_CONTENT = {
    "a list": ([1, 2], "expected named weights, got list"),
    "no array": ({"a": "b"}, "expected named arrays of numbers, got str for 'a'"),
    "objects": ({"a": np.array([None])}, "expected named arrays of numbers"),
    "nothing": ({}, "holds no weights"),
}


@pytest.mark.parametrize("kind", OTHER_CONTENT)
def test_other_content(tmp_path: Path, kind: str) -> None:
    content, message = OTHER_CONTENT[kind]
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        read_weights(tmp_path / "w.pdparams")


@pytest.mark.parametrize("name", ["w.pdparams", "w.safetensors"])
def test_bfloat16_goes_to_disk_and_back(tmp_path: Path, name: str) -> None:
    layer = paddle.nn.Linear(2, 3)
    layer.to(dtype="bfloat16")
    save = paddle.save if name.endswith("pdparams") else safetensors.paddle.save_file
    save(layer.state_dict(), str(tmp_path / name))
    assert read_weights(tmp_path / name)["weight"].dtype == np.float32
    for dtype in ("bfloat16", "float32"):
        other = paddle.nn.Linear(2, 3)
        other.to(dtype=dtype)
        load_weights(other, tmp_path / name)
        assert (other.weight.astype("float32") == layer.weight.astype("float32")).all()


def test_safetensors_of_other_programs(tmp_path: Path) -> None:
    header = json.dumps({
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [4, 12]},
    }).encode()  # fmt: skip
    data = bytes([0x80, 0x3F, 0, 0xC0]) + (7).to_bytes(8, "little")
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    read = read_weights(tmp_path)
    assert (read["a"].tolist(), read["b"].tolist()) == ([[1, -2]], 7)


def test_damaged_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file({"a": np.ones((2, 3), np.float32)}, path)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_weights(path)["a"], np.ones((2, 3)))
    broken = [whole[:length] for length in range(1, len(whole))]
    broken += [
        b"\xff" * 8 + whole[8:],
        whole.replace(b"F32", b"F99"),
        whole.replace(b"[2,3]", b"[9,9]"),
    ]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=r"w\.safetensors: not safetensors, or damaged"
        ) as failure:
            read_weights(path)
        assert str(failure.value).isprintable()


@pytest.mark.parametrize("suffix", [".pdparams", ".safetensors"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"w{suffix}")
    with pytest.raises(DataError, match="expected a file, got a pipe or device"):
        read_weights(tmp_path / f"w{suffix}")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model\.pdparams: no such file"):
        read_weights(tmp_path)
