"""Losses of a SOLOv2 head: by hand, and as a plain form says."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.losses import EfficientPSSoloLoss
from panoptic_deeplab.losses.solo import category_loss, mask_loss


def test_dice_by_hand() -> None:
    """One mask of 2 x 1 quarters, both with probability 1/2; the target holds the first.

    sum(p t) = 1/2, sum(p p) + sum(t t) = 1/2 + 1: the loss is 1 - 1 / 1.502.
    """
    instances = np.zeros((4, 8), np.int32)
    instances[:, :4] = 1
    targets = {
        "instances": paddle.to_tensor(instances[np.newaxis]),
        "cells": paddle.to_tensor([[1]]),
        "owners": paddle.to_tensor([[1]]),
        "categories": paddle.to_tensor([[0, 1]]),
    }
    loss = mask_loss(paddle.zeros([1, 2, 3]), paddle.ones([1, 3, 1, 2]), targets)
    assert float(loss) == pytest.approx(1 - 1 / 1.502)


def test_a_quarter_is_set_from_two_of_its_four_middle_pixels_on() -> None:
    for pixels, expected in (([], 0), ([(1, 1)], 0), ([(1, 1), (2, 2)], 1), ([(0, 0), (3, 3)], 0)):
        instances = np.zeros((1, 4, 4), np.int32)
        for y, x in pixels:
            instances[0, y, x] = 1
        targets = {
            "instances": paddle.to_tensor(instances),
            "cells": paddle.to_tensor([[0]]),
            "owners": paddle.to_tensor([[1]]),
            "categories": paddle.to_tensor([[1]]),
        }
        surely = paddle.full([1, 1, 1], 50.0)
        loss = float(mask_loss(surely, paddle.ones([1, 1, 1, 1]), targets))
        assert loss == pytest.approx(1 - 2 * expected / (1 + expected + 0.002), abs=1e-6)


def test_gradients_are_those_of_the_plain_form() -> None:
    """More masks than are made at once, two images, an odd size, a padded row."""
    rng = np.random.default_rng(0)
    instances = rng.integers(0, 4, (2, 7, 9), np.int32)
    cells, owners = rng.integers(0, 20, (2, 50)), rng.integers(1, 4, (2, 50))
    owners[1, 40:] = 0
    targets = {
        "instances": paddle.to_tensor(instances),
        "cells": paddle.to_tensor(cells),
        "owners": paddle.to_tensor(owners),
        "categories": paddle.to_tensor(rng.integers(0, 3, (2, 20))),
    }
    kernels, features = (
        paddle.to_tensor(rng.standard_normal(shape), "float32", stop_gradient=False)
        for shape in ((2, 20, 5), (2, 5, 2, 3))
    )
    loss = mask_loss(kernels, features, targets)
    loss.backward()
    fast = [value.grad.numpy() for value in (kernels, features)]
    kernels.clear_gradient()
    features.clear_gradient()
    plain = plain_mask_loss(kernels, features, targets)
    plain.backward()
    assert float(loss) == pytest.approx(float(plain), rel=1e-6)
    for value, gradient in zip((kernels, features), fast, strict=True):
        np.testing.assert_allclose(gradient, value.grad.numpy(), atol=1e-6)


def plain_mask_loss(
    kernels: paddle.Tensor, features: paddle.Tensor, targets: dict[str, paddle.Tensor]
) -> paddle.Tensor:
    padded = np.pad(targets["instances"].numpy(), ((0, 0), (0, 1), (0, 3)))
    total = 0.0
    for n, k in np.argwhere(targets["owners"].numpy() > 0).tolist():
        owner, cell = int(targets["owners"][n, k]), int(targets["cells"][n, k])
        blocks = (padded[n] == owner).reshape(2, 4, 3, 4)[:, 1:3, :, 1:3]
        target = paddle.to_tensor(blocks.sum(axis=(1, 3)) >= 2).astype("float32")
        mask = F.sigmoid((kernels[n, cell].reshape([-1, 1, 1]) * features[n]).sum(0))
        size = (mask**2).sum() + (target**2).sum() + 0.002
        total = total + 1 - 2 * (mask * target).sum() / size
    return total / (targets["categories"] > 0).astype("float32").sum()


def test_without_an_instance_masks_cost_nothing_and_every_kernel_takes_part() -> None:
    targets = {
        "instances": paddle.zeros([1, 4, 4], "int32"),
        "cells": paddle.to_tensor([[0]]),
        "owners": paddle.to_tensor([[0]]),
        "categories": paddle.to_tensor([[0, 0]]),
    }
    kernels, features = paddle.ones([1, 2, 3]), paddle.ones([1, 3, 1, 1])
    kernels.stop_gradient = features.stop_gradient = False
    loss = mask_loss(kernels, features, targets)
    loss.backward()
    assert float(loss) == 0
    assert not kernels.grad.numpy().any()


def test_the_category_loss_by_hand() -> None:
    """Two cells with probability 1/2 of the only class, one of them right.

    -0.25 * 0.5^2 * log(0.5) and -0.75 * 0.5^2 * log(0.5), over one positive cell + 1.
    """
    loss = category_loss(paddle.zeros([1, 2, 1]), paddle.to_tensor([[1, 0]]))
    assert float(loss) == pytest.approx(0.25 * np.log(2) / 2)


def test_targets_of_other_grids_than_the_models_are_told() -> None:
    outputs = {"train": {"category_logits": paddle.zeros([1, 5, 2])}}
    with pytest.raises(UsageError, match=r"model\.grids have 5 cells and targets\.grids have 2;"):
        EfficientPSSoloLoss()(outputs, {"categories": paddle.zeros([1, 2], "int64")})


def test_a_fraction_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="top_k_percent_pixels"):
        EfficientPSSoloLoss(top_k_percent_pixels=0)
