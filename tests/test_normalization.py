"""The normalization of images."""

from __future__ import annotations

import numpy as np
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.normalization import Normalization


def test_values_are_scaled_and_shifted() -> None:
    """(255 / 255 - 0.5) / 0.25 is 2, and 0 becomes -2; the other channels go from 0 to 1."""
    normalization = Normalization.of((0.5, 0, 0), (0.25, 1, 1))
    values = np.array([[255, 255, 255], [0, 0, 0]]) * normalization.scale + normalization.shift
    np.testing.assert_allclose(values, [[2, 1, 1], [-2, 0, 0]], atol=1e-6)


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
