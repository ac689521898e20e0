"""Networks become programs for any batch, height and width."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.runtimes.program import NetworkProgram, save_program

PUBLISHED = (
    Path(__file__).parents[2] / "configs" / "panoptic_deeplab"
) / "panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005.yml"


def test_the_published_network_is_a_program(tmp_path: Path) -> None:
    network = NetworkProgram(Config(PUBLISHED).model)
    save_program(network, tmp_path)
    program = paddle.jit.load(str(tmp_path / "inference"))
    images = paddle.rand([1, 3, 65, 97])
    with paddle.no_grad():
        for found, expected in zip(program(images), network(images), strict=True):
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


class Stubborn(nn.Layer):
    """A layer whose branch depends on values of its input."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x if [False, True][int(x.sum())] else -x


class Network(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2D(3, 1, 1)
        self.gate = Stubborn()

    def forward(self, x: paddle.Tensor) -> dict[str, paddle.Tensor]:
        return dict.fromkeys(("semantic", "center", "offset"), self.gate(self.stem(x)))


def test_a_part_that_cannot_be_traced_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model\.gate \(Stubborn\) cannot be exported"):
        save_program(NetworkProgram(Network()), tmp_path)
