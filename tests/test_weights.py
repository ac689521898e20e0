"""Weights: what is read, what is refused, and that nothing in a file is ever called."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from panoptic_deeplab.engine.download import local_weights
from panoptic_deeplab.engine.weights import load_weights, read_pickle, read_weights
from panoptic_deeplab.errors import DataError


class Hostile:
    """Pickles into a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_plain_arrays_of_any_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    weights = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(3)}
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(weights, protocol))
    content = read_pickle(tmp_path / "w.pdparams")
    np.testing.assert_array_equal(content["a"], weights["a"])
    assert content["b"] == 3


def test_what_paddle_saves_is_read(tmp_path: Path) -> None:
    layer = paddle.nn.Linear(2, 3)
    paddle.save(layer.state_dict(), str(tmp_path / "model.pdparams"))
    other = paddle.nn.Linear(2, 3)
    load_weights(other, tmp_path)
    np.testing.assert_array_equal(other.weight.numpy(), layer.weight.numpy())


@pytest.mark.parametrize(
    "call", [(os.system, "touch {}"), (eval, "open('{}', 'w')"), (os.mkdir, "{}")]
)
def test_nothing_in_a_file_is_called(tmp_path: Path, call: tuple[Any, str]) -> None:
    mark = tmp_path / "mark"
    function, argument = call
    content = {"a": Hostile(function, argument.format(mark))}
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"w\.pdparams: not weights that Paddle saved.* asks for"):
        read_weights(tmp_path / "w.pdparams")
    assert not mark.exists()


DAMAGED = {
    "truncated": pickle.dumps({"a": np.ones(100)})[:80],
    "empty": b"",
    "text": b"hello",
    "zip": b"PK\x03\x04" + bytes(100),
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


def test_weights_of_another_network_are_listed(tmp_path: Path) -> None:
    layer = paddle.nn.Linear(2, 3)
    before = layer.weight.numpy()
    (tmp_path / "w.pdparams").write_bytes(
        pickle.dumps({"weight": np.ones((3, 2), np.float32), "scale": np.ones(1, np.float32)})
    )
    with pytest.raises(DataError) as failure:
        load_weights(layer, tmp_path / "w.pdparams")
    for part in (
        "1 missing (bias)",
        "1 not of this network (scale)",
        "1 of another shape (weight [3, 2] instead of [2, 3])",
    ):
        assert part in str(failure.value)
    np.testing.assert_array_equal(layer.weight.numpy(), before)


def test_missing_files_and_unreachable_addresses(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model\.pdparams: no such file"):
        read_weights(tmp_path)
    with pytest.raises(DataError, match=r"no such weights file; set it to null"):
        local_weights(str(tmp_path / "absent"), "set it to null")
    with pytest.raises(DataError, match="only https is fetched, not http"):
        local_weights("http://localhost/w.pdparams", "set it to null")


def test_an_unreachable_server_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANOPTIC_DEEPLAB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"cannot be downloaded .*; set it to null"):
        local_weights("https://localhost:9/w.pdparams", "set it to null")
    assert not list(tmp_path.rglob("*.pdparams"))
