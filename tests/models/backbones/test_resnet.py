"""ResNet: Paddle's own, as a backbone whose parts can be frozen."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.vision.models import resnet50

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.backbones import ResNet


def learned(network: nn.Layer) -> set[str]:
    """First parts of the names of what is trained."""
    return {n.split(".")[0] for n, p in network.named_parameters() if not p.stop_gradient}


def test_it_is_paddles_without_the_classifier() -> None:
    ours, theirs = ResNet(50, frozen_stages=0, norm="batch"), resnet50(num_classes=0)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.set_state_dict(theirs.state_dict())
    ours.eval()
    theirs.eval()
    images = paddle.rand([1, 3, 64, 64])
    with paddle.no_grad():
        features = ours(images)
        expected = theirs.avgpool(features[-1])
        np.testing.assert_allclose(expected.numpy(), theirs(images).numpy(), rtol=1e-5)
    assert [f.shape[1:] for f in features] == [
        [256, 16, 16],
        [512, 8, 8],
        [1024, 4, 4],
        [2048, 2, 2],
    ]
    assert [f.shape[1] for f in features] == ours.feat_channels


def test_sizes_that_are_no_multiples_are_rounded_up() -> None:
    features = ResNet(18, width=8)(paddle.rand([1, 3, 33, 97]))
    assert [f.shape[1:] for f in features] == [[8, 9, 25], [16, 5, 13], [32, 3, 7], [64, 2, 4]]


@pytest.mark.parametrize(
    ("stages", "parts"),
    [
        (0, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
        (1, {"layer1", "layer2", "layer3", "layer4"}),
        (2, {"layer2", "layer3", "layer4"}),
        (5, set()),
    ],
)
def test_frozen_stages(stages: int, parts: set[str]) -> None:
    assert learned(ResNet(18, width=8, frozen_stages=stages)) == parts


@pytest.mark.parametrize(
    ("norm", "statistics_stay", "scales_learn"),
    [("batch", False, True), ("fixed", True, True), ("frozen", True, False)],
)
def test_what_norms_learn(norm: str, statistics_stay: bool, scales_learn: bool) -> None:
    """The stem and the first stage are frozen in any case."""
    network = ResNet(18, width=8, norm=norm)
    network.train()
    before = {n: v.numpy().copy() for n, v in network.state_dict().items()}
    features = network(paddle.rand([2, 3, 64, 64]))
    features[-1].sum().backward()
    changed = [n for n, v in network.state_dict().items() if (v.numpy() != before[n]).any()]
    assert not [name for name in changed if name.startswith(("bn1", "layer1"))]
    assert bool(changed) != statistics_stay
    scale = network.layer3[0].bn1.weight
    assert (scale.grad is not None) == (not scale.stop_gradient) == scales_learn
    assert network.layer3[0].conv1.weight.grad is not None
    assert network.layer1[0].conv1.weight.grad is None


def test_fixed_norms_give_the_same_in_training_and_evaluation() -> None:
    network = ResNet(18, width=8)
    images = paddle.rand([2, 3, 64, 64])
    network.train()
    trained = network(images)
    network.eval()
    for mine, expected in zip(trained, network(images), strict=True):
        np.testing.assert_array_equal(mine.numpy(), expected.numpy())


def test_instance_norms_have_no_statistics() -> None:
    network = ResNet(18, width=8, frozen_stages=0, norm="instance")
    assert not [name for name in network.state_dict() if name.endswith("_mean")]


def test_a_stage_strides_in_its_3x3_or_its_first_1x1_convolution() -> None:
    """The same weights see other pixels, and the features have the same sizes."""
    usual, early = ResNet(50), ResNet(50, stride_in_1x1=True)
    early.set_state_dict(usual.state_dict())
    assert usual.layer2[0].conv1._stride == early.layer2[0].conv2._stride == [1, 1]
    assert usual.layer2[0].conv2._stride == early.layer2[0].conv1._stride == [2, 2]
    images = paddle.rand([1, 3, 64, 64])
    with paddle.no_grad():
        ours, others = usual(images), early(images)
    np.testing.assert_array_equal(ours[0].numpy(), others[0].numpy())
    for a, b in zip(ours[1:], others[1:], strict=True):
        assert a.shape == b.shape
        assert not np.allclose(a.numpy(), b.numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 51}, "depth must be one of 18, 34, 50, 101, 152, got 51"),
        ({"depth": 18, "stride_in_1x1": True}, "stride_in_1x1 needs a depth of 50 or more, got 18"),
        ({"frozen_stages": 6}, r"frozen_stages must be in 0\.\.5, got 6"),
        ({"frozen_stages": -1}, r"frozen_stages must be in 0\.\.5, got -1"),
    ],
)
def test_impossible_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ResNet(**arguments)


def test_a_dilated_last_stage_keeps_the_size() -> None:
    network = ResNet(50, width=8, norm="batch", output_stride=16, multi_grid=[1, 2, 4])
    assert [block.conv2._dilation for block in network.layer4] == [[2, 2], [4, 4], [8, 8]]
    assert {tuple(block.conv2._dilation) for block in network.layer3} == {(1, 1)}
    network.eval()
    features = network(paddle.rand([1, 3, 64, 96]))
    assert [f.shape[2:] for f in features] == [[16, 24], [8, 12], [4, 6], [4, 6]]


def test_the_deep_stem_has_three_convolutions_and_is_frozen_as_one() -> None:
    network = ResNet(50, width=8, norm="batch", deep_stem=True, frozen_stages=1)
    assert network.layer1[0].conv1.weight.shape == [8, 16, 1, 1]
    assert learned(network) == {"layer1", "layer2", "layer3", "layer4"}
    features = network(paddle.rand([1, 3, 33, 97]))
    assert [f.shape[2:] for f in features] == [[9, 25], [5, 13], [3, 7], [2, 4]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"depth": 18, "output_stride": 16},
            "output_stride 16 needs a depth of 50 or more, got 18",
        ),
        ({"multi_grid": [1, 2]}, "a factor for each of the 3 blocks of the last stage, got [1, 2]"),
        ({"multi_grid": [1, 2, 0]}, "multi_grid: expected numbers in 1.."),
    ],
)
def test_dilations_that_cannot_be(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        ResNet(width=8, **({"depth": 50} | arguments))
    assert message in str(error.value)
