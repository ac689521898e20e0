"""Convolutions in bands of rows: the same maps, by windows of limited size."""

from __future__ import annotations

import paddle
import pytest
from paddle import nn

from panoptic_deeplab.engine import row_bands
from panoptic_deeplab.engine.row_bands import convolving_in_bands

CONVOLUTIONS = {
    "3x3": nn.Conv2D(4, 6, 3, padding=1),
    "stride": nn.Conv2D(4, 6, 3, stride=2, padding=1, bias_attr=False),
    "dilation": nn.Conv2D(4, 6, 3, padding=2, dilation=2),
    "groups": nn.Conv2D(4, 6, 5, padding=2, groups=2),
    "no padding": nn.Conv2D(4, 6, 3),
    "oblong": nn.Conv2D(4, 6, (3, 1), stride=(2, 1), padding=(1, 0)),
    "pointwise": nn.Conv2D(4, 6, 1),
    "same": nn.Conv2D(4, 6, 3, padding="SAME"),
    "mirrored": nn.Conv2D(4, 6, 3, padding=1, padding_mode="reflect"),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("band", [1, 1 << 14])
def test_bands_are_the_whole(kind: str, band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row at a time, and several."""
    monkeypatch.setattr(row_bands, "_LARGE", 0)
    monkeypatch.setattr(row_bands, "_BAND", band)
    monkeypatch.setattr(row_bands, "_PANEL", 1)
    network = nn.Sequential(CONVOLUTIONS[kind])
    x = paddle.randn([2, 4, 37, 29])
    with paddle.no_grad():
        expected = network(x)
        with convolving_in_bands(network):
            found = network(x)
    assert found.shape == expected.shape
    assert bool(paddle.allclose(found, expected, rtol=0.0, atol=1e-5))


def test_afterwards_the_network_is_as_before() -> None:
    network = nn.Sequential(nn.Conv2D(1, 1, 3))
    with convolving_in_bands(network):
        assert "forward" in vars(network[0])
    assert "forward" not in vars(network[0])


def test_images_of_usual_size_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_bands, "_band", None)
    network = nn.Sequential(nn.Conv2D(3, 8, 3))
    with paddle.no_grad(), convolving_in_bands(network):
        assert network(paddle.zeros([1, 3, 64, 64])).shape == [1, 8, 62, 62]
