"""Forms of Panoptic-DeepLab's decoders: pooling, convolutions, order of joining."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models import PanopticDeepLab
from panoptic_deeplab.models.backbones import ResNet
from panoptic_deeplab.models.decoders import WindowPooling


def test_pooling_in_windows() -> None:
    x = paddle.to_tensor(np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3))
    windows = {
        (2, 2): [[2, 3]],
        (1, 3): [[1], [4]],
        (5, 2): [[2, 3]],
        (9, 9): [[2.5]],
        None: [[2.5]],
    }
    for window, means in windows.items():
        np.testing.assert_array_equal(WindowPooling(window)(x)[0, 0].numpy(), means)


@pytest.mark.parametrize("window", [(2, 3), (5, 2), (9, 9)])
def test_pooling_in_windows_of_a_program(window: tuple[int, int]) -> None:
    """There the sizes are known only when it runs."""
    x = paddle.to_tensor(np.random.default_rng(0).random((1, 2, 4, 6), np.float32))
    expected = WindowPooling(window)(x)
    spec = [paddle.static.InputSpec([None, 2, None, None], "float32")]
    found = paddle.jit.to_static(WindowPooling(window), input_spec=spec, full_graph=True)(x)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5)


def network(**arguments: object) -> PanopticDeepLab:
    return PanopticDeepLab(
        3,
        ResNet(50, width=4, norm="batch", frozen_stages=0),
        backbone_indices=(1, 0, 3),
        aspp_out_channels=8,
        decoder_channels=8,
        low_level_channels_projects=(6, 4),
        instance_aspp_out_channels=8,
        instance_decoder_channels=8,
        instance_low_level_channels_projects=(6, 4),
        instance_head_channels=4,
        **arguments,
    )


FORMS = {
    "bias": {"aspp_pooling": "bias"},
    "plain pooling": {"aspp_pooling": "plain"},
    "window": {"aspp_pooling_window": [3, 2]},
    "separable ASPP": {"separable_aspp": True},
    "plain": {"separable": False, "separable_center": False},
    "finer first": {"finer_first": True},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_learns(form: str) -> None:
    model = network(**FORMS[form])
    outputs = model(paddle.rand([2, 3, 64, 96]))
    assert {name: value.shape for name, value in outputs.items()} == {
        "semantic": [2, 3, 16, 24],
        "center": [2, 1, 16, 24],
        "offset": [2, 2, 16, 24],
    }
    sum(value.mean() for value in outputs.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if not p.stop_gradient)


def test_kinds_of_convolutions() -> None:
    """Depthwise ones have as many groups as channels."""

    def kinds(part: nn.Layer) -> list[tuple[int, bool]]:
        convolutions = [c for c in part.sublayers() if isinstance(c, nn.Conv2D)]
        return [(c._kernel_size[0], c._groups > 1) for c in convolutions]

    separable, plain = [(5, True), (1, False)], [(3, False), (3, False)]
    head = network(separable_center=False, separable_aspp=True).head
    assert kinds(head.instance_head.classifier[0][0]) == plain
    assert kinds(head.instance_head.classifier[1][0]) == separable
    assert kinds(head.semantic_decoder.fuse[0]) == separable
    assert kinds(head.semantic_decoder.aspp.aspp_blocks[0]) == [(1, False)]
    assert kinds(head.semantic_decoder.aspp.aspp_blocks[1]) == [(3, True), (1, False)]
    assert kinds(network(separable=False).head.semantic_decoder.fuse[0]) == plain


def test_the_window_is_given_as_width_and_height() -> None:
    decoder = network(aspp_pooling_window=[64, 32]).head.semantic_decoder
    assert decoder.aspp.global_avg_pool[0].window == (32, 64)
    for wrong in ([64, 0], [64]):
        with pytest.raises(UsageError, match="aspp_pooling_window"):
            network(aspp_pooling_window=wrong)
