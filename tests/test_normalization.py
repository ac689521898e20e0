"""The normalization of images."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.normalization import Normalization
from panoptic_deeplab.preprocess import Preprocess

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VALUES = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)


def by_paddleseg() -> np.ndarray:
    """Each value of a byte as PaddleSeg's `normalize` has it, [1, 3, 16, 16]."""
    values = VALUES.astype(np.float32) / 255.0
    values -= np.float32(MEAN)
    values /= np.float32(STD)
    return values.transpose(0, 3, 1, 2)


def test_values_are_scaled_and_shifted() -> None:
    """(255 / 255 - 0.5) / 0.25 is 2, and 0 becomes -2; the other channels go from 0 to 1."""
    image = paddle.to_tensor(np.uint8([[255, 255, 255], [0, 0, 0]]).reshape(1, 2, 1, 3))
    values = Preprocess((0.5, 0, 0), (0.25, 1, 1)).normalize(image).numpy()
    np.testing.assert_array_equal(values[0, :, :, 0], [[2, -2], [1, 0], [1, 0]])


def test_values_equal_paddleseg_s_to_the_last_bit() -> None:
    found = Preprocess(MEAN, STD).normalize(paddle.to_tensor(VALUES)).numpy()
    np.testing.assert_array_equal(found, by_paddleseg())


def test_values_in_a_program_are_the_same() -> None:
    preprocess = Preprocess(MEAN, STD)
    program = paddle.jit.to_static(preprocess.normalize, full_graph=True)
    np.testing.assert_array_equal(program(paddle.to_tensor(VALUES)).numpy(), by_paddleseg())


def test_values_in_an_onnx_file_are_the_same() -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from panoptic_deeplab.export.onnx_grouping import preparation

    model = preparation(Normalization.of(MEAN, STD), (1, 1), 17)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    np.testing.assert_array_equal(session.run(None, {"image": VALUES})[0], by_paddleseg())


def test_one_number_is_for_all_channels() -> None:
    assert Normalization.of([0.5], [0.25]) == Normalization((0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.5, 0.5], [1], "preprocess.mean needs 1 or 3 numbers"),
        ([0.5], [1, 1, 0], "preprocess.std must be positive"),
    ],
)
def test_wrong_numbers(mean: list[float], std: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Normalization.of(mean, std)
