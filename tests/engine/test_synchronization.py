"""Which batch norms several GPUs share, and that nothing else of a network changes."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest
from paddle import nn

from panoptic_deeplab.config import Config, shipped_configs
from panoptic_deeplab.engine.synchronization import synchronize_batch_norms
from panoptic_deeplab.formats.cityscapes import CITYSCAPES

ALONE = (nn.BatchNorm, nn.BatchNorm1D, nn.BatchNorm2D, nn.BatchNorm3D)


def shipped_networks() -> list[str]:
    """One shipped configuration for each network."""
    names: dict[str, str] = {}
    for name, path in shipped_configs().items():
        described = Config(path).tree["model"] | {"pretrained": None}
        names.setdefault(json.dumps(described, sort_keys=True), name)
    return list(names.values())


@pytest.mark.parametrize("name", shipped_networks())
def test_no_shipped_network_is_left_with_a_batch_norm_of_its_own(name: str) -> None:
    config = Config(name)
    config.info = CITYSCAPES
    with paddle.LazyGuard():  # names and types without values
        model = config.model
    before = {name: value.name for name, value in model.state_dict().items()}
    trained = [parameter.name for parameter in model.parameters()]
    synchronize_batch_norms(model)
    assert {name: value.name for name, value in model.state_dict().items()} == before
    assert [parameter.name for parameter in model.parameters()] == trained
    parts = dict(model.named_sublayers())
    uneven = tuple(f"{name}." for name, p in parts.items() if getattr(p, "uneven_batches", False))
    alone = {name: part for name, part in parts.items() if isinstance(part, ALONE)}
    left = [name for name, part in alone.items() if not part._use_global_stats]
    assert [name for name in left if not name.startswith(uneven)] == []
    assert [name for name in uneven if not name.endswith("mask_head.")] == []


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm(3, momentum=0.7, epsilon=1e-3),
        nn.BatchNorm2D(3, momentum=0.7, epsilon=1e-3),
        nn.BatchNorm1D(3, momentum=0.7, epsilon=1e-3, data_format="NLC"),
        nn.BatchNorm2D(3, momentum=0.7, epsilon=1e-3, weight_attr=False),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_a_synchronized_norm_holds_the_same_tensors(norm: nn.Layer) -> None:
    norm._mean.set_value(paddle.to_tensor([1.0, 2.0, 3.0]))
    before = norm.state_dict()
    model = nn.Sequential(norm)
    model.eval()
    synchronize_batch_norms(model)
    found = model[0]
    assert type(found) is nn.SyncBatchNorm
    assert (found._momentum, found._epsilon, found.training) == (0.7, 1e-3, False)
    for name, value in before.items():
        assert found.state_dict()[name].name == value.name
    np.testing.assert_array_equal(found._mean.numpy(), [1.0, 2.0, 3.0])


def test_an_activation_of_a_norm_still_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel itself needs a GPU; here it gives its input back."""
    monkeypatch.setattr(nn.SyncBatchNorm, "forward", lambda self, x: x)
    model = nn.Sequential(nn.BatchNorm(1, act="relu"), nn.BatchNorm(1))
    synchronize_batch_norms(model)
    below = paddle.full([1, 1, 1, 1], -1.0)
    assert model[0](below).item() == 0
    assert model[1](below).item() == -1


def test_frozen_statistics_and_uneven_parts_stay() -> None:
    uneven = nn.Sequential(nn.BatchNorm2D(1))
    uneven.uneven_batches = True
    model = nn.Sequential(nn.BatchNorm2D(1, use_global_stats=True), uneven, nn.BatchNorm2D(1))
    synchronize_batch_norms(model)
    kinds = [type(part).__name__ for part in (model[0], model[1][0], model[2])]
    assert kinds == ["BatchNorm2D", "BatchNorm2D", "SyncBatchNorm"]
