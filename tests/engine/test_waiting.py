"""A training step asks the device for nothing: a GPU that is asked waits until it is idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import paddle
import pytest

from panoptic_deeplab.cli import train
from panoptic_deeplab.config import Config
from panoptic_deeplab.engine.trainer import Trainer
from panoptic_deeplab.formats.cityscapes import CITYSCAPES

READS = (
    *("item", "numpy", "tolist", "cpu", "__array__"),
    *("__bool__", "__int__", "__float__", "__index__"),
)
"""Methods of a tensor that bring its values to the host."""


def forbidden(name: str) -> Callable[..., Any]:
    def method(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"a step calls {name}")

    return method


@contextmanager
def without_waiting() -> Iterator[None]:
    """Let whatever copies to or from the device raise."""
    with pytest.MonkeyPatch.context() as patch:
        for name in READS:
            patch.setattr(paddle.Tensor, name, forbidden(f"Tensor.{name}"))
        patch.setattr(paddle, "to_tensor", forbidden("paddle.to_tensor"))
        yield


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the steps that ran so far; from the second on they may not wait."""
    plain, ran = Trainer._step, []

    def step(self: Trainer, *args: Any) -> Any:
        with without_waiting() if ran else nullcontext():
            result = plain(self, *args)
        ran.append(self.position.iteration)
        return result

    monkeypatch.setattr(Trainer, "_step", step)
    return ran


CLASS_WEIGHTS = f"criterion.class_weights={[1.0] * 19}"


@pytest.mark.parametrize(
    "flags", [[], ["--use_ema", "--accumulate_steps", "2"], ["--opts", CLASS_WEIGHTS]]
)
def test_no_step_waits(
    tiny_config: Path, tmp_path: Path, steps: list[int], flags: list[str]
) -> None:
    command = ["--config", str(tiny_config), "--device", "cpu", "--save_dir", str(tmp_path / "run")]
    assert train.main([*command, "--iters", "3", "--debug", *flags]) == 0
    assert steps == [0, 1, 2]


@pytest.mark.parametrize("backbone", ["mobilenetv3_large", "stdc2"])
def test_no_network_waits(backbone: str) -> None:
    config = Config(f"panoptic_deeplab_{backbone}_os32_cityscapes_1025x513_bs8_90k_lr00005")
    config.info = CITYSCAPES
    model, images = config.model, paddle.rand([2, 3, 65, 65])
    with without_waiting():
        sum(output.mean() for output in model(images).values()).backward()
