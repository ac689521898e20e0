"""detectron2's order of steps: outputs to the original size, then the grouping."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.postprocess import CenterGrouping, OriginalSizeGrouping
from panoptic_deeplab.structures import Frame

OPTIONS = {"num_classes": 2, "thing_ids": [1], "min_stuff_area": 1, "align_corners": False}


def maps(height: int, width: int, centers: dict[tuple[int, int], float]) -> dict[str, np.ndarray]:
    """One image without offsets: the right half is a thing, all else stuff."""
    semantic = np.zeros((1, 2, height, width), np.float32)
    semantic[:, 1, :, width // 2 :] = 5
    semantic[:, 0, :, : width // 2] = 5
    heatmap = np.zeros((1, 1, height, width), np.float32)
    for place, value in centers.items():
        heatmap[0, 0][place] = value
    offsets = np.zeros((1, 2, height, width), np.float32)
    return {"semantic": semantic, "center": heatmap, "offset": offsets}


def tensors(outputs: dict[str, np.ndarray]) -> dict[str, paddle.Tensor]:
    return {name: paddle.to_tensor(value) for name, value in outputs.items()}


def test_an_image_of_the_inputs_size_is_grouped_as_ever() -> None:
    outputs = tensors(maps(8, 16, {(2, 10): 0.9, (2, 11): 0.5, (3, 10): 0.4}))
    frame = Frame.whole(32, 64)
    (here,) = OriginalSizeGrouping(**OPTIONS)(outputs, [frame])
    (ever,) = CenterGrouping(**OPTIONS)(outputs, [frame])
    np.testing.assert_array_equal(here.ids, ever.ids)
    assert [s.area for s in here.segments] == [s.area for s in ever.segments]


def test_the_score_is_multiplied_by_the_heatmap_in_the_middle() -> None:
    """Columns 4..7 of 8 are a thing; the mean of its pixels (3.5, 5.5) falls on (3, 5)."""
    outputs = maps(8, 8, {(0, 6): 0.9, (3, 5): 0.25})
    outputs["center"][0, 0, 3, 6] = 0.8  # the peak of this instance
    outputs["center"][0, 0, 0, 6] = 0
    (prediction,) = OriginalSizeGrouping(**OPTIONS)(tensors(outputs), [Frame.whole(8, 8)])
    stuff, thing = sorted(prediction.segments, key=lambda s: s.category)
    probability = 1 / (1 + np.exp(-5))
    assert stuff.score == pytest.approx(probability)
    assert thing.score == pytest.approx(0.25 * probability)


def test_scores_stay_in_0_to_1() -> None:
    outputs = maps(8, 8, {(3, 5): 7.0})
    (prediction,) = OriginalSizeGrouping(**OPTIONS)(tensors(outputs), [Frame.whole(8, 8)])
    assert all(0 <= segment.score <= 1 for segment in prediction.segments)


def test_every_pixel_of_a_plateau_is_a_center() -> None:
    outputs = maps(8, 8, {(3, 5): 0.9, (3, 6): 0.9})
    count = {
        kind: sum(s.is_thing for s in kind(**OPTIONS)(tensors(outputs), [frame])[0].segments)
        for frame in [Frame.whole(8, 8)]
        for kind in (CenterGrouping, OriginalSizeGrouping)
    }
    assert count == {CenterGrouping: 1, OriginalSizeGrouping: 2}


def test_padding_is_cut_and_the_original_size_comes_back() -> None:
    """An image of 12 x 20, halved to 6 x 10, in an input of 8 x 16; the rest is a third class."""
    outputs = maps(2, 4, {(0, 1): 0.9})
    outputs["semantic"][:, :, :, 3] = [[9], [0]]  # in the padding
    frame = Frame((12, 20), (8, 16), (0.5, 0.5), (0, 0, 6, 10))
    (prediction,) = OriginalSizeGrouping(**OPTIONS)(tensors(outputs), [frame])
    assert prediction.ids.shape == (12, 20)
    assert sum(s.area for s in prediction.segments) == 12 * 20


def test_merged_views_are_at_the_inputs_size_already() -> None:
    outputs = tensors(maps(8, 16, {(2, 10): 0.9}))
    (prediction,) = OriginalSizeGrouping(**OPTIONS)(outputs, [Frame.whole(8, 16)])
    assert prediction.ids.shape == (8, 16)
    assert {s.area for s in prediction.segments} == {64}
