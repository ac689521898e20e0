"""Panoptic FPN's fusion on maps that can be checked by eye.

Stuff is road (class 0) and sky (class 3), so that the channels are 0, 1 and, for things, 2.
"""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion.heuristic import HeuristicRule, heuristic_fusion, pasted_mask
from panoptic_deeplab.fusion.instances import Instances
from panoptic_deeplab.postprocess import HeuristicFusion
from panoptic_deeplab.structures import Frame, Segment
from panoptic_deeplab.views import View

ROAD, CAR, PERSON, SKY = range(4)
THINGS = (CAR, PERSON)
RULE = HeuristicRule((ROAD, SKY), min_stuff_area=1, overlap_threshold=0.5)


def instances(*entries: tuple[tuple[float, ...], float, int], logit: float = 9.0) -> Instances:
    """From (box, score, class) of each; a mask fills its box."""
    return Instances(
        np.array([box for box, _, _ in entries], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in entries], np.float32),
        np.array([category for _, _, category in entries], np.int64),
        np.full((len(entries), 4, 4), logit, np.float32),
    )


def test_instances_go_before_stuff_and_what_is_a_thing_to_the_semantics_alone_is_void() -> None:
    channels = np.array([[1, 1, 1, 1, 2], [0, 0, 0, 0, 2], [0, 0, 0, 2, 2]])
    ids, segments = heuristic_fusion(channels, instances(((1, 0, 3, 2), 0.9, CAR)), RULE)
    assert ids.tolist() == [[3, 1, 1, 3, 0], [2, 1, 1, 2, 0], [2, 2, 2, 0, 0]]
    score = float(np.float32(0.9))
    assert segments == [
        Segment(1, CAR, area=4, is_thing=True, score=score),
        Segment(2, ROAD, area=5, is_thing=False),
        Segment(3, SKY, area=2, is_thing=False),
    ]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ((2, 0, 6, 1), [1, 1, 1, 1, 2, 2, 0, 0]),  # half of it is hidden: kept
        ((1, 0, 6, 1), [1, 1, 1, 1, 0, 0, 0, 0]),  # three of five
        ((0, 0, 4, 1), [1, 1, 1, 1, 0, 0, 0, 0]),  # all of it
        ((4, 0, 8, 1), [1, 1, 1, 1, 2, 2, 2, 2]),
    ],
)
def test_a_lower_scoring_instance_takes_what_is_left_unless_most_is_hidden(
    second: tuple[float, ...], expected: list[int]
) -> None:
    """It comes first in the list and still goes second; a dropped one takes no number."""
    found = instances((second, 0.7, PERSON), ((0, 0, 4, 1), 0.8, CAR))
    ids, segments = heuristic_fusion(np.full((1, 8), 2), found, RULE)
    assert ids.tolist() == [expected]
    assert [s.category for s in segments] == [CAR, PERSON][: len(segments)]


def test_a_mask_without_a_pixel_takes_no_number() -> None:
    empty = instances(((0, 0, 4, 1), 0.9, CAR), logit=-9)
    below = instances(((0, 0, 4, 1), 0.8, CAR), logit=-1e-3)
    half = instances(((0, 0, 4, 1), 0.7, PERSON), logit=0.0)  # one half is enough
    found = Instances(
        *(
            np.concatenate([getattr(one, name) for one in (empty, below, half)])
            for name in ("boxes", "scores", "classes", "masks")
        )
    )
    ids, segments = heuristic_fusion(np.full((2, 4), 2), found, RULE)
    assert ids.tolist() == [[1] * 4, [0] * 4]
    assert [s.category for s in segments] == [PERSON]


def test_little_stuff_is_void() -> None:
    """Counted without the pixels of instances: three of the road's four are left."""
    channels = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    found = instances(((0, 0, 1, 1), 0.9, CAR))
    for area, expected in ((3, [1, 2, 3]), (4, [1, 2]), (5, [1])):
        rule = HeuristicRule((ROAD, SKY), area, 0.5)
        ids, segments = heuristic_fusion(channels, found, rule)
        assert [s.id for s in segments] == expected
        assert set(np.unique(ids)) - {0} == set(expected)


def test_no_instance_and_no_stuff() -> None:
    ids, segments = heuristic_fusion(np.zeros((2, 2), int), instances(), RULE)
    assert ids.tolist() == [[1, 1], [1, 1]]
    assert [s.category for s in segments] == [ROAD]
    ids, segments = heuristic_fusion(
        np.zeros((2, 2), int), instances(((0, 0, 1, 2), 0.9, CAR)), HeuristicRule((), 1, 0.5)
    )
    assert ids.tolist() == [[1, 0], [1, 0]]


def test_probabilities_are_pasted_with_zeros_around() -> None:
    """A box of 8 pixels for 4 mask pixels, of which the left half is there.

    Between the pixels of probability 1 and 0 it is 3/4 at one column and 1/4 at the next; logits
    would be 0 there at both sides' mean only.
    """
    logits = np.full((4, 4), -99, np.float32)
    logits[:, :2] = 99
    whole = (slice(0, 4), slice(0, 12))
    (row, *_) = pasted_mask(logits, (2, 0, 10, 4), whole)
    assert np.flatnonzero(row).tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("what", ["boxes", "scores", "masks"])
def test_impossible_numbers_take_no_part(what: str) -> None:
    found = instances(((0, 0, 2, 2), 0.9, CAR), ((2, 0, 4, 2), 0.8, CAR))
    getattr(found, what)[0] = np.nan
    ids, segments = heuristic_fusion(np.zeros((2, 4), int), found, RULE)
    assert ids.tolist() == [[2, 2, 1, 1]] * 2
    assert [s.score for s in segments if s.is_thing] == [pytest.approx(0.8)]


# --- the postprocessor ---


def outputs(logits: np.ndarray, *found: Instances) -> dict[str, paddle.Tensor]:
    """Of a batch; logits [N, 3, h, w]."""
    joined = {
        name: np.concatenate([getattr(one, name) for one in found])
        for name in ("boxes", "scores", "classes", "masks")
    }
    joined |= {"semantic": logits, "counts": np.array([len(one.scores) for one in found])}
    return {name: paddle.to_tensor(value) for name, value in joined.items()}


def street(height: int = 4, width: int = 8) -> np.ndarray:
    """[1, 3, height, width] logits: sky above, road below, the last quarter of columns a thing."""
    logits = np.full((1, 3, height, width), -4, np.float32)
    logits[:, 1, : height // 2] = logits[:, 0, height // 2 :] = 4
    logits[:, :2, :, -width // 4 :] = -4
    logits[:, 2, :, -width // 4 :] = 4
    return logits


def fusion(**arguments: object) -> HeuristicFusion:
    return HeuristicFusion(4, THINGS, **({"min_stuff_area": 1} | arguments))


def test_the_prediction_has_scores_and_no_semantics_of_its_own() -> None:
    frame = Frame.whole(16, 32)
    (prediction,) = fusion()(outputs(street(), instances(((24, 0, 32, 16), 0.9, CAR))), [frame])
    assert prediction.labels is None
    assert [(s.category, s.is_thing) for s in prediction.segments] == [
        (CAR, True),
        (ROAD, False),
        (SKY, False),
    ]
    assert [s.area for s in prediction.segments] == [128 - 4, 192, 192], "corners are below half"
    car, road, sky = (s.score for s in prediction.segments)
    assert car == pytest.approx(0.9)
    assert road == pytest.approx(sky)
    assert 0.9 < road < 1


def test_padding_takes_no_part() -> None:
    """The image lies at (4, 8) in an input of four times its sides; what is around it is road."""
    box = (8 + 24, 4, 8 + 32, 4 + 16)
    logits = np.full((1, 3, 16, 32), -4, np.float32)
    logits[:, 0] = 9
    logits[:, :, 1:5, 2:10] = street()
    frame = Frame((16, 32), (64, 128), valid_box=(4, 8, 20, 40))
    padded, alone = (
        fusion()(outputs(given, instances((place, 0.9, CAR))), [where])[0]
        for given, place, where in (
            (logits, box, frame),
            (street(), (24, 0, 32, 16), Frame.whole(16, 32)),
        )
    )
    inner = (slice(2, 14), slice(2, 22))  # at the border the padding is interpolated
    np.testing.assert_array_equal(padded.ids[inner], alone.ids[inner])


@pytest.mark.parametrize("factor", [2, 0.5])
def test_results_have_original_pixels_and_masks_are_pasted_there(factor: float) -> None:
    """The input is half or twice the original; boxes end at pixels of the original."""
    height, width = int(16 * factor), int(32 * factor)
    frame = Frame((height, width), (16, 32), (1 / factor,) * 2, (0, 0, 16, 32))
    # the box ends in the middle of a pixel of the smaller input
    found = instances(((24, 0, 30.5, 16), 0.9, CAR))
    (prediction,) = fusion()(outputs(street(), found), [frame])
    assert prediction.ids.shape == (height, width)
    car, road, sky = prediction.segments
    assert 0 <= round(6.5 * factor) * height - car.area <= 8, "corners are below half"
    assert (prediction.ids == car.id).any(0).nonzero()[0].tolist() == list(
        range(round(24 * factor), round(30.5 * factor))
    )
    assert abs(road.area - sky.area) <= width
    assert all(0.9 < s.score <= 1 for s in (road, sky))


def test_a_batch_equals_its_images_one_by_one() -> None:
    cars = instances(((24, 0, 32, 16), 0.9, CAR)), instances(), instances(((1, 1, 9, 9), 0.7, CAR))
    logits = np.concatenate([street(), street()[:, :, ::-1].copy(), street()])
    frames = [Frame.whole(16, 32)] * 3
    together = fusion()(outputs(logits, *cars), frames)
    for i, prediction in enumerate(together):
        (alone,) = fusion()(outputs(logits[i : i + 1], cars[i]), frames[:1])
        np.testing.assert_array_equal(prediction.ids, alone.ids)
        assert prediction.segments == alone.segments


def test_merged_views_of_a_street_and_its_mirror_are_the_street() -> None:
    frame = Frame.whole(16, 32)
    found = instances(((24, 0, 32, 16), 0.9, CAR))
    mirrored = instances(((0, 0, 8, 16), 0.8, CAR))
    plain = outputs(street(), found)
    flipped = outputs(street()[:, :, :, ::-1].copy(), mirrored)
    views = [View.of(frame), View.of(frame, mirrored=True)]
    merged = fusion().merge_views([plain, flipped], views)
    (expected,) = fusion()(plain, [frame])
    (prediction,) = fusion()(merged, [frame])
    np.testing.assert_array_equal(prediction.ids, expected.ids)
    assert [s.category for s in prediction.segments] == [s.category for s in expected.segments]


@pytest.mark.parametrize("name", ["overlap_threshold", "view_nms_threshold"])
def test_impossible_options(name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name} must be in 0\.\.1, got 2"):
        fusion(**{name: 2})
    with pytest.raises(UsageError, match="max_instances must be at least 1, got 0"):
        fusion(max_instances=0)
