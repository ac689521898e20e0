"""The six losses of EfficientPS, each from numbers that can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from detector_outputs import train_outputs

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.losses import EfficientPSLoss, across_ranks
from panoptic_deeplab.losses.detector import smooth_l1

LN2 = math.log(2)


def losses(semantic: object = None, labels: object = None, **changes: object) -> dict[str, float]:
    logits = np.zeros((1, 2, 1, 1)) if semantic is None else semantic
    labels = np.full((1, 4, 4), 255) if labels is None else labels
    outputs = {
        "semantic": paddle.to_tensor(np.array(logits, np.float32)),
        "train": train_outputs(**changes),
    }
    targets = {"semantic": paddle.to_tensor(np.array(labels, np.uint8))}
    found = EfficientPSLoss()(outputs, targets)
    return {name: float(value) for name, value in found.items()}


def test_nothing_to_learn_from_costs_nothing() -> None:
    assert losses() == {
        "semantic_loss": 0,
        "rpn_cls_loss": 0,
        "rpn_bbox_loss": 0,
        "cls_loss": 0,
        "bbox_loss": 0,
        "mask_loss": 0,
    }


@pytest.mark.parametrize(
    ("ignored", "expected"),
    [
        (0, LN2),  # the worst four of sixteen all cost ln 2
        (12, LN2),
        (14, LN2 / 2),  # two of the four are ignored pixels, which cost 0 but count
        (16, 0),
    ],
)
def test_semantics_cost_their_worst_quarter(ignored: int, expected: float) -> None:
    labels = np.zeros(16)
    labels[:ignored] = 255
    assert losses(labels=labels.reshape(1, 4, 4))["semantic_loss"] == pytest.approx(expected)


def test_the_worst_quarter_is_rounded_up() -> None:
    """Five pixels: two are kept, one of which is ignored."""
    labels = np.array([[[0, 255, 255, 255, 255]]])
    assert losses(np.zeros((1, 2, 1, 2)), labels)["semantic_loss"] == pytest.approx(LN2 / 2)


def test_semantics_equal_the_plain_statement() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 5, 8, 12)), rng.integers(0, 5, (2, 8, 12))
    shifted = logits - logits.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    costs = -np.take_along_axis(log_softmax, labels[:, None], 1).ravel()
    expected = np.sort(costs)[-48:].mean()
    assert losses(logits, labels)["semantic_loss"] == pytest.approx(expected, rel=1e-5)


def test_an_undecided_anchor_costs_ln_2_whatever_it_is() -> None:
    found = losses(rpn_labels=[1, 0], rpn_weights=[1, 1])
    assert found["rpn_cls_loss"] == pytest.approx(LN2)
    assert losses(rpn_labels=[1, 0], rpn_weights=[1, 0])["rpn_cls_loss"] == pytest.approx(LN2)


def test_boxes_of_positives_are_shared_by_all_samples() -> None:
    """An offset 1 off costs 1 - beta / 2; that of a negative nothing."""
    off = [[1.0, 0, 0, 0]]
    anchors = losses(rpn_labels=[1, 0], rpn_weights=[1, 1], rpn_offsets=off * 2)
    assert anchors["rpn_bbox_loss"] == pytest.approx((1 - 1 / 18) / 2)
    regions = losses(class_labels=[1, 0, 0], region_weights=[1, 1, 0], box_offset_targets=off * 3)
    assert regions["bbox_loss"] == pytest.approx(0.5 / 2)


def test_smooth_l1() -> None:
    errors = paddle.to_tensor([-2.0, -0.1, 0.0, 0.1, 2.0])
    expected = [2 - 1 / 18, 0.045, 0, 0.045, 2 - 1 / 18]
    np.testing.assert_allclose(smooth_l1(errors, 1 / 9).numpy(), expected, rtol=1e-5)


def test_classes_are_averaged_over_the_chosen_regions() -> None:
    logits = [[0, 0], [3, 0], [9, 9]]
    expected = (LN2 + math.log(1 + math.exp(3))) / 2
    found = losses(class_logits=logits, class_labels=[0, 1, 1], region_weights=[1, 1, 0])
    assert found["cls_loss"] == pytest.approx(expected)


def test_masks_are_averaged_over_their_pixels() -> None:
    mask = np.zeros((1, 28, 28))
    mask[0, :14] = 1
    found = losses(mask_targets=mask, mask_logits=20 * mask, mask_weights=[1])
    assert found["mask_loss"] == pytest.approx(LN2 / 2, rel=1e-5)


def test_weights_are_factors_of_their_terms() -> None:
    names = ["semantic", "rpn_cls", "rpn_bbox", "cls", "bbox", "mask"]
    changes = {
        "rpn_labels": [1, 0],
        "rpn_weights": [1, 1],
        "rpn_offsets": [[1.0] * 4] * 2,
        "class_labels": [1, 0, 0],
        "region_weights": [1, 1, 1],
        "box_offsets": [[1.0] * 4] * 3,
        "mask_weights": [1],
    }
    outputs = {"semantic": paddle.zeros([1, 2, 1, 1]), "train": train_outputs(**changes)}
    targets = {"semantic": paddle.zeros([1, 4, 4], "uint8")}
    plain = EfficientPSLoss()(outputs, targets)
    weighted = EfficientPSLoss(**{f"{n}_weight": float(i) for i, n in enumerate(names, 2)})
    for factor, (name, loss) in enumerate(weighted(outputs, targets).items(), 2):
        assert float(plain[name]) > 0
        assert float(loss) == pytest.approx(factor * float(plain[name])), name


@pytest.mark.parametrize(
    ("fraction", "gradients"),
    [
        (0.5, [0.5, 0.5, 0, 0]),  # four of eight: 4, 4, 3 and 3
        (0.375, [2 / 3, 1 / 3, 0, 0]),  # three of eight: the two 3s count half each
    ],
)
def test_ties_of_the_hardest_losses_count_over_two_processes(
    fraction: float, gradients: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have the losses 4, 3, 2 and 1, and the average of their gradients counts."""
    monkeypatch.setattr(across_ranks.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(across_ranks.dist, "all_reduce", lambda value: value.scale_(2.0))
    monkeypatch.setattr(
        across_ranks.dist, "all_gather", lambda parts, values: parts.extend([values, values])
    )
    losses = paddle.to_tensor([4.0, 3.0, 2.0, 1.0], stop_gradient=False)
    mean = across_ranks.hardest_mean_of(lambda places: losses.gather(places), 4, fraction)
    mean.backward()
    kept = [4, 4, 3, 3][: int(fraction * 8)]
    assert float(mean) == pytest.approx(sum(kept) / len(kept))
    np.testing.assert_allclose(losses.grad.numpy(), gradients, rtol=1e-6)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match=r"top_k_percent_pixels must be in 0\.\.1"):
        EfficientPSLoss(top_k_percent_pixels=fraction)
