"""Losses and logits of chosen pixels are those of the whole map."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.losses import PanopticDeepLabLoss, across_ranks
from panoptic_deeplab.losses.across_ranks import hardest_mean_of
from panoptic_deeplab.resample import Upsampled, resize_map


def drawn(*shape: int) -> paddle.Tensor:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return paddle.to_tensor(values, stop_gradient=False)


def mean_of_largest(losses: paddle.Tensor, fraction: float) -> paddle.Tensor:
    return losses.topk(int(fraction * len(losses)))[0].mean()


SIZES = [(9, 13), (16, 10), (4, 5), (3, 2), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("align_corners", [True, False])
def test_pixels_are_those_of_the_resized_map(size: tuple[int, int], align_corners: bool) -> None:
    """Values and gradients, for larger, equal and smaller sizes, two images at once."""
    value = drawn(2, 3, 4, 5)
    upsampled = Upsampled(value, size, align_corners)
    pixels = paddle.to_tensor([upsampled.count - 1, 0, upsampled.count // 2])
    resized = resize_map(value, size, align_corners).transpose([0, 2, 3, 1]).reshape([-1, 3])
    whole, chosen = resized.gather(pixels), upsampled.at(pixels)
    np.testing.assert_allclose(chosen.numpy(), whole.numpy(), atol=1e-5)
    weights = drawn(3, 3).detach()
    expected, found = (paddle.grad([m * weights], [value])[0].numpy() for m in (whole, chosen))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("at_once", [7, 1000])
def test_the_hardest_in_pieces_are_the_hardest(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(across_ranks, "LOSSES_AT_ONCE", at_once)
    values = drawn(40)
    asked: list[int] = []

    def losses_at(places: paddle.Tensor) -> paddle.Tensor:
        asked.append(len(places))
        return values.gather(places) ** 2

    mean = hardest_mean_of(losses_at, 40, 0.25)
    assert float(mean) == pytest.approx(float(mean_of_largest(values**2, 0.25)))
    assert asked[-1] == 10  # a quarter, the only ones that gradients are kept for
    assert max(asked[:-1]) <= at_once
    assert sum(asked[:-1]) == 40
    (gradient,) = paddle.grad([mean], [values])
    assert int((gradient != 0).sum()) == 10


def plain_semantic_loss(
    criterion: PanopticDeepLabLoss, logits: paddle.Tensor, targets: dict[str, paddle.Tensor]
) -> paddle.Tensor:
    size = targets["semantic"].shape[-2:]
    losses = paddle.nn.functional.cross_entropy(
        resize_map(logits, size, criterion.align_corners).transpose([0, 2, 3, 1]),
        targets["semantic"].astype("int64"),
        ignore_index=255,
        weight=criterion.class_weights,
        reduction="none",
    )
    return mean_of_largest(
        losses.flatten() * targets["semantic_weights"].flatten(), criterion.top_k_percent_pixels
    )


@pytest.mark.parametrize("class_weights", [None, [1.0, 2.0, 0.5]])
def test_the_semantic_loss_is_that_of_full_size(class_weights: list[float] | None) -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice([0, 1, 2, 255], (2, 17, 33)).astype(np.uint8)
    ones = np.ones((2, 17, 33), np.float32)
    targets = {
        "semantic": labels,
        "semantic_weights": rng.choice([1, 3], labels.shape).astype(np.float32),
        "center": ones,
        "center_weights": ones,
        "offset": np.ones((2, 2, 17, 33), np.float32),
        "offset_weights": ones,
    }
    targets = {name: paddle.to_tensor(value) for name, value in targets.items()}
    outputs = {"semantic": drawn(2, 3, 5, 9), "center": drawn(2, 1, 5, 9)}
    outputs["offset"] = drawn(2, 2, 5, 9)
    criterion = PanopticDeepLabLoss(class_weights=class_weights)
    ours = criterion(outputs, targets)["semantic_loss"]
    plain = plain_semantic_loss(criterion, outputs["semantic"], targets)
    assert float(ours) == pytest.approx(float(plain), rel=1e-5)
    logits = [outputs["semantic"]]
    found, expected = (paddle.grad([loss], logits)[0].numpy() for loss in (ours, plain))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_thinned_targets_are_those_of_the_feature_map_locations() -> None:
    """Stride 2, six pixels: aligned corners take 0, 2, 4; else a location's pixels take turns."""
    row = paddle.arange(6).reshape([1, 1, 6])
    aligned = PanopticDeepLabLoss(stride=2, align_corners=True)._thinned(row)
    assert aligned.tolist() == [[[0, 2, 4]]]
    between = PanopticDeepLabLoss(stride=2, align_corners=False)._thinned(row)
    assert between.tolist() == [[[0, 3, 4]]]
    assert PanopticDeepLabLoss(stride=1)._thinned(row).tolist() == row.tolist()
