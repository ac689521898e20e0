"""From masks and semantics to a panoptic map."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.postprocess import SoloFusion
from panoptic_deeplab.structures import Frame
from panoptic_deeplab.views import Augmentation

ROAD, CAR, PERSON = range(3)
FUSION = SoloFusion(num_classes=3, thing_ids=(CAR, PERSON), min_stuff_area=1)


def outputs(
    size: tuple[int, int], *instances: tuple[int, float, tuple[slice, slice]]
) -> dict[str, paddle.Tensor]:
    """One image of road with boxes of (class, score, where) at the network's stride."""
    semantic = np.full((1, 3, *size), -6, np.float32)
    semantic[0, ROAD] = 2
    masks = np.full((len(instances), *size), -6, np.float32)
    for mask, (category, _, where) in zip(masks, instances, strict=True):
        mask[where] = 6
        semantic[0, category][where] = 4
    scores, classes = ([instance[i] for instance in instances] for i in (1, 0))
    return {
        "semantic": paddle.to_tensor(semantic),
        "scores": paddle.to_tensor(scores, "float32"),
        "classes": paddle.to_tensor(classes, "int64"),
        "masks": paddle.to_tensor(masks),
        "counts": paddle.to_tensor([len(instances)]),
    }


def test_instances_and_stuff_come_out_as_they_went_in() -> None:
    left, right = (slice(2, 6), slice(1, 4)), (slice(1, 4), slice(5, 8))
    given = outputs((8, 10), (CAR, 0.9, left), (PERSON, 0.6, right))
    (prediction,) = FUSION(given, [Frame.whole(8, 10)])
    expected = np.full((8, 10), 3)
    expected[left], expected[right] = 1, 2
    np.testing.assert_array_equal(prediction.ids, expected)
    found = [(s.id, s.category, s.is_thing, s.area) for s in prediction.segments]
    assert found == [(1, CAR, True, 12), (2, PERSON, True, 9), (3, ROAD, False, 59)]
    assert prediction.segments[0].score == pytest.approx(0.9)


def test_of_two_on_one_place_the_higher_scoring_wins_and_low_scores_are_none() -> None:
    place = (slice(2, 6), slice(1, 4))
    given = outputs((8, 10), (CAR, 0.6, place), (CAR, 0.9, place), (CAR, 0.1, place))
    (prediction,) = FUSION(given, [Frame.whole(8, 10)])
    assert [s.score for s in prediction.segments if s.is_thing] == [pytest.approx(0.9)]


def test_padding_takes_no_part_and_a_mask_outside_the_image_is_none() -> None:
    inside, outside = (slice(0, 4), slice(0, 4)), (slice(0, 4), slice(7, 10))
    given = outputs((8, 10), (CAR, 0.9, inside), (CAR, 0.8, outside))
    (prediction,) = FUSION(given, [Frame((24, 20), (32, 40), valid_box=(0, 0, 24, 20))])
    assert prediction.ids.shape == (24, 20)
    assert [s.category for s in prediction.segments] == [CAR, ROAD]
    (alone,) = FUSION(outputs((8, 10)), [Frame.whole(32, 40)])
    assert [s.category for s in alone.segments] == [ROAD]


def test_views_of_one_image_are_merged() -> None:
    place = (slice(2, 6), slice(1, 4))
    given = outputs((8, 10), (CAR, 0.9, place), (PERSON, 0.5, (slice(0, 3), slice(6, 9))))
    views = Augmentation((1.0,), flip_horizontal=True).views(Frame.whole(8, 10))
    mirrored = given | {name: paddle.flip(given[name], [-1]) for name in ("semantic", "masks")}
    merged = FUSION.merge_views([given, mirrored], views)
    assert merged["classes"].tolist() == [CAR, PERSON]
    (prediction,), (expected,) = (FUSION(x, [Frame.whole(8, 10)]) for x in (merged, given))
    np.testing.assert_array_equal(prediction.ids, expected.ids)
    nothing = FUSION.merge_views([outputs((8, 10))] * 2, views)
    assert nothing["masks"].shape == [0, 8, 10]


def test_what_is_drawn_of_it() -> None:
    drawn = FUSION.debug_images(outputs((8, 10), (CAR, 0.5, (slice(0, 2), slice(0, 2)))))
    assert drawn["certainty"].shape == drawn["masks"].shape == (8, 10)
    assert drawn["masks"].max() == pytest.approx(0.5, abs=0.01)


def test_a_threshold_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"score_threshold must be in 0\.\.1"):
        SoloFusion(3, (CAR,), score_threshold=2)
