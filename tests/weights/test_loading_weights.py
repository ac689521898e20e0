"""Weights go into a network where they fit; what does not fit is named."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights import LoadReport, load_pretrained, load_weights
from panoptic_deeplab.weights.loading import Misfit


def test_what_paddle_saves_is_read(tmp_path: Path) -> None:
    layer = paddle.nn.Linear(2, 3)
    paddle.save(layer.state_dict(), str(tmp_path / "model.pdparams"))
    other = paddle.nn.Linear(2, 3)
    load_weights(other, tmp_path)
    np.testing.assert_array_equal(other.weight.numpy(), layer.weight.numpy())


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
        "1 of another shape (weight [3, 2] -> [2, 3])",
    ):
        assert part in str(failure.value)
    np.testing.assert_array_equal(layer.weight.numpy(), before)


def test_partial_loading_says_what_did_not_fit(tmp_path: Path) -> None:
    layer = paddle.nn.Sequential(paddle.nn.Linear(2, 3), paddle.nn.Linear(3, 4))
    kept = layer[1].weight.numpy()
    weights = {"0.weight": np.ones((2, 3)), "1.weight": np.ones((3, 5)), "2.bias": np.ones(3)}
    paddle.save(weights, str(tmp_path / "w.pdparams"))
    report = load_weights(layer, tmp_path / "w.pdparams", partial=True)
    assert report == LoadReport(
        loaded=("0.weight",),
        missing=("0.bias", "1.bias"),
        extra=("2.bias",),
        misshapen=(Misfit("1.weight", (3, 5), (3, 4)),),
    )
    assert str(report) == (
        "1 weights loaded; 2 missing (0.bias, 1.bias); 1 not of this network (2.bias); "
        "1 of another shape (1.weight [3, 5] -> [3, 4])"
    )
    np.testing.assert_array_equal(layer[0].weight.numpy(), np.ones((2, 3)))
    np.testing.assert_array_equal(layer[1].weight.numpy(), kept)
    with pytest.raises(DataError, match="no weight fits: 2 missing"):
        load_weights(paddle.nn.Linear(7, 7), tmp_path / "w.pdparams", partial=True)


def test_pretrained_weights_of_another_network(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paddle.save({"weight": np.ones((2, 3))}, str(tmp_path / "w.pdparams"))
    layer = paddle.nn.Linear(2, 3)
    with pytest.raises(DataError, match=r"1 missing \(bias\); .*: --allow_partial"):
        load_pretrained(layer, {"": str(tmp_path / "w.pdparams")})
    with caplog.at_level("INFO", "panoptic_deeplab"):
        load_pretrained(layer, {"": str(tmp_path / "w.pdparams")}, partial=True)
    assert "1 weights loaded; 1 missing (bias)" in caplog.text
    np.testing.assert_array_equal(layer.weight.numpy(), np.ones((2, 3)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_of_a_training_that_diverged_are_refused(tmp_path: Path, value: float) -> None:
    layer = paddle.nn.Linear(2, 3)
    before = layer.weight.numpy()
    bias = np.array([0, value, 0], np.float32)
    weights = {"weight": np.zeros((2, 3), np.float32), "bias": bias}
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(weights))
    with pytest.raises(DataError, match=r"1 of 2 weights hold NaN or infinite numbers \(bias\)"):
        load_weights(layer, tmp_path / "w.pdparams")
    np.testing.assert_array_equal(layer.weight.numpy(), before)
