"""The backbone of EfficientPS."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.models.backbones import EfficientNet
from panoptic_deeplab.models.backbones.efficientnet import round_channels
from panoptic_deeplab.models.conv_norm import convolution


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [(32 * 1.6, 48), (24 * 1.6, 40), (112 * 1.6, 176), (1280 * 1.6, 2048), (12.0, 16), (3.0, 8)],
)
def test_channels_are_multiples_of_eight(channels: float, rounded: int) -> None:
    assert round_channels(channels) == rounded


@pytest.mark.parametrize(
    ("variant", "channels", "blocks"),
    [
        ("b0", [24, 40, 112, 1280], [1, 2, 2, 3, 3, 4, 1]),
        ("b4", [32, 56, 160, 1792], [2, 4, 4, 6, 6, 8, 2]),
    ],
)
def test_variants(variant: str, channels: list[int], blocks: list[int]) -> None:
    network = EfficientNet(variant)
    assert network.feat_channels == channels
    assert [len(stage) for stage in network.blocks] == blocks


def test_same_padding_follows_from_each_size() -> None:
    """Ones filtered by ones count the pixels under the filter.

    Six pixels at stride 2 give three locations, which a filter of three covers with one pixel of
    padding: at the end. Five pixels give three locations too, with padding on both sides.
    """
    conv = convolution(1, 1, 3, stride=2, padding="SAME")
    conv.weight.set_value(np.ones((1, 1, 3, 3), np.float32))
    counts = {side: conv(paddle.ones([1, 1, side, side])).numpy()[0, 0] for side in (5, 6)}
    assert counts[6].tolist() == [[9, 9, 6], [9, 9, 6], [6, 6, 4]]
    assert counts[5].tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (33, 1)])
def test_features_have_a_cell_for_each_begun_stride(size: tuple[int, int]) -> None:
    network = EfficientNet("b0", width=0.25, depth=0.3)
    network.eval()
    with paddle.no_grad():
        features = network(paddle.rand([1, 3, *size]))
    expected = [
        [channels, -(-size[0] // stride), -(-size[1] // stride)]
        for channels, stride in zip(network.feat_channels, (4, 8, 16, 32), strict=True)
    ]
    assert [feature.shape[1:] for feature in features] == expected


def test_only_the_first_stage_activates_what_it_projects() -> None:
    """Its values below zero are a hundredth, as leaky ReLU leaves them; a linear one's are not."""
    network = EfficientNet("b0", width=0.25, depth=0.3)
    network.eval()
    first, second = network.blocks[0][0], network.blocks[1][0]
    first.bn2.bias.set_value(paddle.full_like(first.bn2.bias, -100))
    second.bn3.bias.set_value(paddle.full_like(second.bn3.bias, -100))
    with paddle.no_grad():
        x = paddle.zeros([1, first.conv_dw._in_channels, 4, 4])
        y = paddle.zeros([1, second.conv_pw._in_channels, 4, 4])
        assert float(first(x).max()) == pytest.approx(-1)
        assert float(second(y).max()) == pytest.approx(-100)


def test_a_state_dict_of_its_own_names_loads() -> None:
    one, other = (EfficientNet("b0", width=0.25, depth=0.3) for _ in range(2))
    state = {name: paddle.full_like(value, 3) for name, value in one.state_dict().items()}
    assert other.set_state_dict(state) == ([], [])
    assert all((value == 3).all() for value in other.state_dict().values())
    assert "bn1.running_mean" in state
