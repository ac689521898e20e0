"""Large maps in little memory are the same maps."""

from __future__ import annotations

import paddle
import pytest
from paddle import nn

from panoptic_deeplab.engine import large_maps
from panoptic_deeplab.engine.large_maps import sparing_memory
from panoptic_deeplab.models.layers import ReluOfSum

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
    monkeypatch.setattr(large_maps, "_LARGE_WINDOWS", 0)
    monkeypatch.setattr(large_maps, "_BAND", band)
    monkeypatch.setattr(large_maps, "_PANEL", 1)
    network = nn.Sequential(CONVOLUTIONS[kind])
    x = paddle.randn([2, 4, 37, 29])
    with paddle.no_grad():
        expected = network(x)
        with sparing_memory(network):
            found = network(x)
    assert found.shape == expected.shape
    assert bool(paddle.allclose(found, expected, rtol=0.0, atol=1e-5))


def test_afterwards_the_network_is_as_before() -> None:
    network = nn.Sequential(nn.Conv2D(1, 1, 3))
    with sparing_memory(network):
        assert "forward" in vars(network[0])
    assert "forward" not in vars(network[0])


def test_images_of_usual_size_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_maps, "_band", None)
    network = nn.Sequential(nn.Conv2D(3, 8, 3))
    with paddle.no_grad(), sparing_memory(network):
        assert network(paddle.zeros([1, 3, 64, 64])).shape == [1, 8, 62, 62]


@pytest.mark.parametrize(("batch", "channels"), [(1, 16), (2, 5), (3, 33)])
def test_norms_in_place_are_the_same_to_the_last_bit(
    batch: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_maps, "_LARGE_MAP", 0)
    norm = nn.InstanceNorm2D(channels)
    norm.scale.set_value(paddle.rand([channels]))
    norm.bias.set_value(paddle.rand([channels]))
    network = nn.Sequential(nn.Conv2D(2, channels, 1), norm, nn.ReLU())
    x = paddle.randn([batch, 2, 37, 29])
    with paddle.no_grad():
        expected = network(x)
        with sparing_memory(network):
            found = network(x)
            made = network[0](x)
            assert network[1](made)._is_shared_buffer_with(made)
    assert bool((found == expected).all())


def test_a_sum_in_place_is_the_same_to_the_last_bit() -> None:
    network = nn.Sequential(ReluOfSum())
    x, y = paddle.randn([2, 2, 37, 29])
    expected = network[0](x, y)
    with paddle.no_grad(), sparing_memory(network):
        found = network[0](x, y)
    assert bool((found == expected).all())
    assert found._is_shared_buffer_with(y)
