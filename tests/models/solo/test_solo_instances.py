"""From cells to instances."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.solo.head import SoloHead
from panoptic_deeplab.models.solo.instances import SoloInstanceFinder, SoloSettings, find_instances
from panoptic_deeplab.models.solo.matrix_nms import matrix_nms

GRIDS = (4,)


def cells(*chosen: tuple[int, int, float]) -> paddle.Tensor:
    """Logits [16, 2] of a grid of 4 x 4: -10, but for (cell, label, logit)."""
    logits = np.full((16, 2), -10, np.float32)
    for cell, label, logit in chosen:
        logits[cell, label] = logit
    return paddle.to_tensor(logits)


def features() -> paddle.Tensor:
    """[2, 8, 8]: the left half and the upper half of the image."""
    maps = np.zeros((2, 8, 8), np.float32)
    maps[0, :, :4], maps[1, :4] = 1, 1
    return paddle.to_tensor(maps)


def kernels(**rows: tuple[float, float]) -> paddle.Tensor:
    values = np.zeros((16, 2), np.float32)
    for name, row in rows.items():
        values[int(name[1:])] = row
    return paddle.to_tensor(values)


def found(logits: paddle.Tensor, own: paddle.Tensor, **settings: float) -> tuple[np.ndarray, ...]:
    instances = find_instances(logits, own, features(), GRIDS, SoloSettings(**settings))
    return tuple(value.numpy() for value in instances)


def test_a_cells_kernel_makes_the_mask_and_its_certainty_lowers_the_score() -> None:
    scores, labels, masks = found(cells((5, 1, 10.0)), kernels(c5=(2, 0)))
    assert labels.tolist() == [1]
    np.testing.assert_allclose(scores, [1 / (1 + np.exp(-2))], rtol=1e-3)
    assert (masks[0] > 0).tolist() == [[True] * 4 + [False] * 4] * 8


def test_of_neighbors_the_likelier_stays() -> None:
    scores, labels, _ = found(cells((5, 0, 2.0), (6, 0, 3.0)), kernels(c5=(9, 0), c6=(0, 9)))
    assert len(scores) == 2  # the one behind looks back at it, but not the other way round
    scores, labels, _ = found(cells((5, 0, 3.0), (6, 0, 2.0)), kernels(c5=(9, 0), c6=(0, 9)))
    assert len(scores) == 1
    assert labels.tolist() == [0]


def test_a_second_mask_of_the_same_place_is_lowered_for_its_class_alone() -> None:
    near = kernels(c5=(9, 0), c15=(9, 0))
    scores, labels, _ = found(cells((5, 0, 3.0), (15, 1, 2.0)), near)
    assert labels.tolist() == [0, 1]
    scores, labels, _ = found(cells((5, 0, 3.0), (15, 0, 2.0)), near)
    np.testing.assert_allclose(scores[1], 1 / (1 + np.exp(-2)) * np.exp(-2), rtol=1e-3)


def test_small_masks_and_an_empty_image_give_nothing() -> None:
    scores, labels, masks = found(cells(), kernels())
    assert (scores.shape, labels.shape, masks.shape) == ((0,), (0,), (0, 8, 8))
    scores, *_ = found(cells((5, 0, 3.0)), kernels(c5=(-1, -1)))
    assert len(scores) == 0


def test_a_head_has_a_grid_for_each_of_five_levels() -> None:
    with pytest.raises(UsageError, match="grids: expected 5, one for each level, got 2"):
        SoloHead(2, 8, 8, 1, (4, 2), 8)


def test_limits() -> None:
    many = cells((0, 0, 5.0), (2, 0, 4.0), (8, 1, 3.0))
    own = kernels(c0=(9, 0), c2=(0, 9), c8=(9, 0))
    assert len(found(many, own)[0]) == 3
    assert len(found(many, own, max_candidates=2)[0]) == 2
    assert len(found(many, own, max_instances=1)[0]) == 1
    assert len(found(many, own, final_threshold=0.9)[0]) == 2


DECAYS = {"gaussian": lambda iou: np.exp(-2 * iou**2), "linear": lambda iou: 1 - iou}


@pytest.mark.parametrize(
    ("locations", "decay"), [(200, "gaussian"), (2500, "gaussian"), (2500, "linear")]
)
def test_matrix_nms_is_the_plain_loop(locations: int, decay: str) -> None:
    left = DECAYS[decay]
    rng = np.random.default_rng(0)
    masks = (rng.random((30, locations)) < 0.4).astype(np.float32)
    masks[::3, 100:] = 0  # some have nothing beyond the first part
    labels, scores = rng.integers(0, 3, 30), np.sort(rng.random(30))[::-1].astype(np.float32)
    expected = []
    iou = np.zeros((30, 30))
    for i in range(30):
        for j in range(i + 1, 30):
            if labels[i] == labels[j]:
                union = np.maximum(masks[i], masks[j]).sum()
                iou[i, j] = np.minimum(masks[i], masks[j]).sum() / union
    for j in range(30):
        ratios = [left(iou[i, j]) / left(iou[:, i].max()) for i in range(j)]
        expected.append(scores[j] * min([1.0, *ratios]))
    lowered = matrix_nms(*map(paddle.to_tensor, (masks, labels, scores.copy())), decay)
    np.testing.assert_allclose(lowered.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(("decay", "second"), [("gaussian", np.exp(-2)), ("linear", 0)])
def test_of_three_equal_masks_the_first_keeps_its_score(decay: str, second: float) -> None:
    """The second mask, itself covered, lowers the third by nothing more."""
    masks, labels = paddle.ones([3, 4]), paddle.zeros([3], "int64")
    scores = matrix_nms(masks, labels, paddle.to_tensor([0.9, 0.8, 0.8]), decay)
    np.testing.assert_allclose(scores.numpy(), [0.9, 0.8 * second, 0.8 * second], atol=1e-6)


def test_a_decay_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="decay must be one of gaussian, linear, got none"):
        SoloSettings(decay="none")


def test_of_equal_scores_the_earlier_cell_comes_first() -> None:
    scores, labels, _ = found(cells((10, 0, 3.0), (0, 1, 3.0)), kernels(c0=(9, 0), c10=(9, 0)))
    assert scores[0] == scores[1]
    assert labels.tolist() == [1, 0]


def test_an_image_without_instances_among_others() -> None:
    """Every score of the second of three images is below the threshold."""
    logits = [cells((5, 1, 3.0)), cells((5, 1, -3.0)), cells((5, 0, 3.0))]
    given = {
        "category_logits": paddle.stack(logits),
        "kernels": paddle.stack([kernels(c5=(9, 0))] * 3),
        "mask_features": paddle.stack([features()] * 3),
        "semantic": paddle.zeros([3, 2, 8, 8]),
    }
    outputs = SoloInstanceFinder(GRIDS, thing_ids=(4, 7))(given)
    assert outputs["counts"].tolist() == [1, 0, 1]
    assert outputs["classes"].tolist() == [7, 4]
    assert outputs["semantic"] is given["semantic"]
