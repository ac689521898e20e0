"""EfficientPS's fusion: the released code's numbers, and what it does to bad input.

The street of these tests is 64 x 64: sky (class 10) above row 32, road (class 0) below, and a car
(class 13) of 30 x 30 on rows 20..49, so that 1688 pixels of sky and 1508 of road are left. A class
has the logit 5 where it is and -5 elsewhere; masks are 28 x 28 with the logit 3.
"""

from __future__ import annotations

import benchmark
import numpy as np
import paddle
import pytest
from benchmarking.plain_fusion import plain_fusion

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion import adaptive_fusion
from panoptic_deeplab.fusion.adaptive import adaptive_logits
from panoptic_deeplab.fusion.instances import Instances
from panoptic_deeplab.fusion.pasting import paste
from panoptic_deeplab.fusion.score_order import Occupancy, by_score
from panoptic_deeplab.postprocess import AdaptiveFusion
from panoptic_deeplab.postprocess.merged_instances import merge_instances
from panoptic_deeplab.structures import Frame, Prediction, Segment
from panoptic_deeplab.views import View

THINGS = tuple(range(11, 19))
ROAD, SKY, PERSON, CAR = 0, 10, 11, 13
CAR_BOX = (10, 20, 40, 50)
Result = tuple[np.ndarray, list[Segment]]


def street(sky: bool = True, road_logit: float = 5.0) -> np.ndarray:
    """[19, 64, 64] semantic logits."""
    logits = np.full((19, 64, 64), -5, np.float32)
    logits[ROAD] = road_logit
    if sky:
        logits[ROAD, :32], logits[SKY, :32] = -5, 5
    logits[:, 20:50, 10:40] = -5
    logits[CAR, 20:50, 10:40] = 5
    return logits


def instances(*entries: tuple[tuple[float, ...], float, int]) -> Instances:
    """From (box, score, class) of each."""
    boxes = np.array([box for box, _, _ in entries], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in entries], np.float32)
    classes = np.array([category for _, _, category in entries], np.int64)
    return Instances(boxes, scores, classes, np.full((len(entries), 28, 28), 3, np.float32))


ONE_CAR = instances((CAR_BOX, 0.9, CAR))
THREE_CARS = instances(
    (CAR_BOX, 0.9, CAR),
    ((12, 22, 40, 50), 0.8, CAR),  # wholly on the first
    ((42, 45, 62, 60), 0.7, CAR),  # 20 x 15 pixels of road
)


def fused(logits: np.ndarray, found: Instances, strict: bool = False) -> Result:
    return adaptive_fusion(
        logits,
        found.boxes,
        found.scores,
        found.classes,
        found.masks,
        thing_ids=THINGS,
        min_stuff_area=100,
        strict_reference=strict,
    )


def areas(result: Result) -> list[tuple[int, int]]:
    """(class, pixels) of each id, 0 (class 255) included where it has pixels."""
    ids, segments = result
    counts = np.bincount(ids.ravel(), minlength=len(segments) + 1)
    assert [segment.id for segment in segments] == list(range(1, len(segments) + 1))
    assert [segment.area for segment in segments] == counts[1:].tolist()
    void = [(255, int(counts[0]))] if counts[0] else []
    return void + [(segment.category, segment.area) for segment in segments]


# --- the formula ---


@pytest.mark.parametrize(
    ("mask", "semantic", "expected"),
    [(2, 1, 4.835567), (-2, 1, -0.850262), (2, -2, 0), (-3, -3, -0.569111), (12, 5, 33.886116)],
)
def test_the_fused_logit(mask: float, semantic: float, expected: float) -> None:
    assert adaptive_logits(np.float64(mask), np.float64(semantic)) == pytest.approx(
        expected, abs=2e-6
    )


def test_fused_logits_of_extreme_ones_are_finite() -> None:
    extreme = np.array([-1e4, 1e4], np.float32)
    np.testing.assert_array_equal(adaptive_logits(extreme, extreme), [0, 4e4])


# --- the released code's cases ---

BOTH = pytest.mark.parametrize("strict", [False, True], ids=["correct", "strict"])


@BOTH
def test_a_hidden_instance_is_dropped_and_a_free_one_kept(strict: bool) -> None:
    result = fused(street(), THREE_CARS, strict)
    assert areas(result) == [(CAR, 900), (CAR, 300), (ROAD, 1208), (SKY, 1688)]
    assert [s.score for s in result[1] if s.is_thing] == pytest.approx([0.9, 0.7])


@BOTH
def test_without_instances_things_are_void(strict: bool) -> None:
    assert areas(fused(street(), instances(), strict)) == [(255, 900), (ROAD, 1508), (SKY, 1688)]


@BOTH
def test_little_stuff_is_void(strict: bool) -> None:
    logits = street()
    logits[:, 2:7, 50:60] = -5
    logits[1, 2:7, 50:60] = 5  # 50 pixels of pavement in the sky
    expected = [(255, 50), (CAR, 900), (ROAD, 1508), (SKY, 1638)]
    assert areas(fused(logits, ONE_CAR, strict)) == expected


def test_an_instance_wins_nothing_outside_its_box() -> None:
    expected = [(CAR, 900), (ROAD, 1508), (SKY, 1688)]
    assert areas(fused(street(road_logit=-1), ONE_CAR)) == expected


def test_the_released_code_gives_the_first_instance_all_negative_pixels() -> None:
    assert areas(fused(street(road_logit=-1), ONE_CAR, strict=True)) == [(CAR, 2408), (SKY, 1688)]


def test_the_released_code_takes_the_first_instance_for_background_where_there_is_none() -> None:
    logits = street(sky=False, road_logit=-1)  # no stuff logit is positive: all is the car's
    # There the car has the id 0 and the road 1; here ids of segments begin at 1.
    assert areas(fused(logits, ONE_CAR, strict=True)) == [(CAR, 900), (ROAD, 3196)]
    assert areas(fused(logits, ONE_CAR)) == [(CAR, 900), (ROAD, 3196)]


def test_the_released_code_hands_a_first_instance_without_background_to_the_stuff() -> None:
    logits = np.full((19, 64, 64), -5, np.float32)
    logits[ROAD] = 1
    everywhere = instances(((0, 0, 64, 64), 0.9, CAR))  # F(12, -5) = 7.05 on all pixels
    assert areas(fused(logits, everywhere)) == [(CAR, 4096)]
    assert areas(fused(logits, everywhere, strict=True)) == [(ROAD, 4096)]


def test_the_released_code_lets_a_box_outside_the_image_win_all_negative_pixels() -> None:
    beside = instances(((70, 70, 90, 90), 0.9, PERSON))
    without = [(255, 900), (ROAD, 1508), (SKY, 1688)]
    assert areas(fused(street(road_logit=-1), beside)) == without
    strict = areas(fused(street(road_logit=-1), beside, strict=True))
    assert strict == [(PERSON, 900 + 1508), (SKY, 1688)]


@BOTH
def test_boxes_that_end_at_their_last_pixel_have_the_same_result(strict: bool) -> None:
    closed = instances(((10, 20, 39, 49), 0.9, CAR))
    assert areas(fused(street(), closed, strict)) == [(CAR, 900), (ROAD, 1508), (SKY, 1688)]


# --- equality with the formula as it reads ---


def random_case(seed: int, shift: float) -> tuple[np.ndarray, Instances]:
    """Smooth logits [19, 60, 100], their stuff lowered by `shift`, and 12 instances."""
    random = np.random.default_rng(seed)
    logits = paste_all(random.normal(0, 4, (19, 5, 8)), (60, 100))
    logits[:11] += np.float32(shift)
    middles, sides = random.uniform(0, [100, 60], (12, 2)), random.uniform(3, 40, (12, 2))
    boxes = np.concatenate([middles - sides / 2, middles + sides / 2], axis=1)
    if seed % 2:  # the others reach beyond the image
        boxes = np.clip(boxes, 0, [99, 59, 99, 59])
    boxes = boxes.astype(np.float32)
    masks = paste_all(random.normal(1, 3, (12, 4, 4)), (28, 28))
    scores = random.uniform(0.5, 1, 12).round(1).astype(np.float32)  # some are equal
    return logits, Instances(boxes, scores, random.integers(11, 19, 12), masks)


def paste_all(planes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    window = (slice(0, size[0]), slice(0, size[1]))
    return np.stack([paste(plane, (0, 0, *size[::-1]), window) for plane in planes])


@BOTH
@pytest.mark.parametrize("shift", [0, -8], ids=["mixed", "negative stuff"])
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_formula_as_it_reads(seed: int, shift: float, strict: bool) -> None:
    logits, found = random_case(seed, shift)
    ids, segments = fused(logits, found, strict)
    expected, classes = plain_fusion(
        logits,
        found.boxes,
        found.scores,
        found.classes,
        found.masks,
        thing_ids=THINGS,
        min_stuff_area=100,
        strict_reference=strict,
    )
    assert len(classes) > 5
    assert [segment.category for segment in segments] == classes
    np.testing.assert_array_equal(ids, expected)


def test_a_mask_is_pasted_on_its_box_with_zeros_around() -> None:
    # Mask pixels of the size of image pixels: their own values inside, half of the outermost values
    # half a pixel off, 0 a whole pixel off.
    mask = np.arange(1, 17, dtype=np.float32).reshape(4, 4)
    np.testing.assert_allclose(
        paste(mask, (1, 1, 5, 5), (slice(0, 6), slice(0, 6))), np.pad(mask, 1)
    )
    halved = paste(mask, (1.5, 1, 5.5, 5), (slice(1, 5), slice(0, 6)))
    np.testing.assert_allclose(halved[:, 1], mask[:, 0] / 2)
    np.testing.assert_allclose(halved[:, 2], (mask[:, 0] + mask[:, 1]) / 2)


def test_a_box_thinner_than_a_pixel_is_widened_to_min_side() -> None:
    """One mask pixel from column 2 to 2.25; its center is 1.5 mask pixels from that of pixel 2."""
    mask, box, window = np.ones((1, 1), np.float32), (2, 0, 2.25, 1), (slice(0, 1), slice(0, 4))
    np.testing.assert_allclose(paste(mask, box, window), [[0, 0, 1, 0]])
    np.testing.assert_allclose(paste(mask, box, window, min_side=1e-6), [[0, 0, 0, 0]])


def test_masks_are_sampled_as_paddle_samples_them() -> None:
    mask = np.random.default_rng(0).normal(size=(28, 28)).astype(np.float32)
    x0, y0, x1, y1 = box = (3.3, -4.2, 40.1, 17.9)
    columns, rows = ((np.arange(50) + 0.5 - a) / (b - a) * 2 - 1 for a, b in ((x0, x1), (y0, y1)))
    grid = np.stack(np.meshgrid(columns, rows), axis=-1)[None].astype(np.float32)
    expected = paddle.nn.functional.grid_sample(
        paddle.to_tensor(mask[None, None]), paddle.to_tensor(grid), align_corners=False
    )
    ours = paste(mask, box, (slice(0, 50), slice(0, 50)))
    np.testing.assert_allclose(ours, expected.numpy()[0, 0], atol=2e-5)


# --- score order ---


def test_score_order_is_stable() -> None:
    np.testing.assert_array_equal(by_score(np.array([0.5, 0.9, 0.5, 0.7])), [1, 3, 0, 2])


def test_a_later_instance_takes_what_is_left() -> None:
    occupancy = Occupancy((2, 4), overlap_threshold=0.5)
    left, middle, right = (slice(0, 2), slice(0, 2)), (slice(0, 2), slice(1, 3)), (0, slice(1, 4))
    full = np.ones((2, 2), bool)
    np.testing.assert_array_equal(occupancy.claim(full, left), full)
    # Half of it is taken, which is not more than half.
    np.testing.assert_array_equal(occupancy.claim(full, middle), [[False, True]] * 2)
    assert occupancy.claim(np.ones((1, 3), bool), (slice(0, 1), slice(1, 4))) is None
    assert not occupancy.taken[right][-1]  # the dropped one took nothing
    assert not occupancy.claim(np.zeros((2, 2), bool), left).any()  # has lost nothing


# --- the postprocessor ---


def outputs_of(logits: np.ndarray, *found: Instances) -> dict[str, paddle.Tensor]:
    """A batch of images that share the semantic logits [C, h, w]."""
    together = {
        name: np.concatenate([getattr(one, name) for one in found])
        for name in ("boxes", "scores", "classes", "masks")
    }
    together |= {
        "semantic": np.stack([logits] * len(found)),
        "counts": np.array([len(one.scores) for one in found]),
    }
    return {name: paddle.to_tensor(value) for name, value in together.items()}


def postprocessor(**options: float) -> AdaptiveFusion:
    return AdaptiveFusion(19, THINGS, min_stuff_area=100, **options)


def assert_same(prediction: Prediction, other: Prediction) -> None:
    np.testing.assert_array_equal(prediction.ids, other.ids)
    np.testing.assert_array_equal(prediction.labels, other.labels)
    assert prediction.segments == other.segments


def test_the_postprocessor_upsamples_as_paddle_does() -> None:
    logits, found = random_case(0, 0)
    full = paddle.nn.functional.interpolate(
        paddle.to_tensor(logits[None]), (240, 400), mode="bilinear"
    )
    found = Instances(found.boxes * 4, found.scores, found.classes, found.masks)
    (prediction,) = postprocessor()(outputs_of(logits, found), [Frame.whole(240, 400)])
    ids, segments = fused(full.numpy()[0], found)
    np.testing.assert_array_equal(prediction.ids, ids)
    np.testing.assert_array_equal(prediction.labels, full.numpy()[0].argmax(axis=0))
    things = [segment.score for segment in prediction.segments if segment.is_thing]
    assert things == [segment.score for segment in segments if segment.is_thing]


def test_scores_are_the_instances_own_and_the_stuffs_mean_probability() -> None:
    outputs = outputs_of(street(), ONE_CAR)
    (prediction,) = postprocessor()(outputs, [Frame.whole(64, 64)])
    car, road, sky = prediction.segments
    assert car.score == pytest.approx(0.9)
    probability = 1 / (1 + 18 * np.exp(-10))
    assert (road.score, sky.score) == (pytest.approx(probability), pytest.approx(probability))


def test_a_batch_equals_its_images_one_by_one() -> None:
    found = [THREE_CARS, instances(), ONE_CAR]
    frames = [Frame.whole(64, 64)] * 3
    together = postprocessor()(outputs_of(street(), *found), frames)
    for one, prediction in zip(found, together, strict=True):
        assert_same(prediction, postprocessor()(outputs_of(street(), one), frames[:1])[0])


def test_padding_takes_no_part() -> None:
    logits = street()
    padded = np.full((19, 80, 96), 50, np.float32)  # high logits around
    padded[:, 8:72, 16:80] = logits
    shift = np.array([16, 8, 16, 8], np.float32)
    moved = Instances(
        THREE_CARS.boxes + shift, THREE_CARS.scores, THREE_CARS.classes, THREE_CARS.masks
    )
    frame = Frame((64, 64), (80, 96), (1.0, 1.0), (8, 16, 72, 80))
    (prediction,) = postprocessor()(outputs_of(padded, moved), [frame])
    assert_same(
        prediction, postprocessor()(outputs_of(logits, THREE_CARS), [Frame.whole(64, 64)])[0]
    )


def test_results_have_original_pixels() -> None:
    frame = Frame((128, 128), (64, 64), (0.5, 0.5), (0, 0, 64, 64))
    (prediction,) = postprocessor()(outputs_of(street(), ONE_CAR), [frame])
    assert prediction.ids.shape == prediction.labels.shape == (128, 128)
    assert [segment.area for segment in prediction.segments] == [4 * 900, 4 * 1508, 4 * 1688]


BAD = {
    "outside the image": ((70, 70, 90, 90), 0.95),
    "above and left of it": ((-30, -30, -1, -1), 0.95),
    "upside down": ((40, 50, 10, 20), 0.95),
    "no number": ((np.nan, 20, 40, 50), 0.95),
    "infinite": ((0, 0, np.inf, 10), 0.95),
    "no score": ((0, 0, 64, 64), np.nan),
}


@BOTH
@pytest.mark.parametrize("kind", BAD)
def test_impossible_instances_are_left_out(kind: str, strict: bool) -> None:
    found = instances((CAR_BOX, 0.9, CAR), (*BAD[kind], PERSON))
    assert areas(fused(street(), found, strict)) == [(CAR, 900), (ROAD, 1508), (SKY, 1688)]


@BOTH
def test_a_mask_with_nan_is_left_out(strict: bool) -> None:
    found = instances((CAR_BOX, 0.9, CAR), ((0, 0, 64, 64), 0.95, PERSON))
    found.masks[1, 3, 4] = np.nan
    assert areas(fused(street(), found, strict)) == [(CAR, 900), (ROAD, 1508), (SKY, 1688)]


def test_nan_logits_win_nothing() -> None:
    logits = street()
    logits[PERSON] = np.nan
    logits[1, :10] = np.nan
    assert areas(fused(logits, ONE_CAR)) == [(CAR, 900), (ROAD, 1508), (SKY, 1688)]


@pytest.mark.parametrize("box", [(50, 50, 50, 50), (50.2, 50.2, 50.8, 50.8)])
def test_an_instance_of_one_pixel(box: tuple[float, ...]) -> None:
    ids, segments = fused(street(), instances((box, 0.9, PERSON)))
    assert (segments[0].category, segments[0].area) == (PERSON, 1)
    assert ids[50, 50] == 1


def test_boxes_far_larger_than_the_image() -> None:
    found = instances(((-1e30, -1e30, 1e30, 1e30), 0.9, CAR))
    assert areas(fused(street(), found)) == [(CAR, 4096)]


def test_more_than_a_hundred_instances() -> None:
    corners = [(x, y, x + 2.5, y + 2.5) for y in range(0, 60, 4) for x in range(0, 60, 4)]
    found = instances(*((box, 0.9, PERSON) for box in corners))
    assert sum(s.is_thing for s in fused(street(), found)[1]) == len(corners) == 225


def test_debug_images() -> None:
    small = Instances(ONE_CAR.boxes * 4, ONE_CAR.scores, ONE_CAR.classes, ONE_CAR.masks)
    images = postprocessor().debug_images(outputs_of(street(), small, THREE_CARS))
    assert images["certainty"].shape == images["masks"].shape == (64, 64)
    assert images["certainty"].min() > 0.99
    assert images["masks"][30, 20] == pytest.approx(0.9 / (1 + np.exp(-3)))
    assert images["masks"][5, 5] == 0


@pytest.mark.parametrize(("option", "value"), [("overlap_threshold", 1.5), ("max_instances", 0)])
def test_impossible_options(option: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{option} must be .* got {value}"):
        postprocessor(**{option: value})


# --- views ---


def test_an_instance_in_several_views_is_one() -> None:
    first, second = (
        instances(((0, 0, 10, 10), 0.6, CAR), ((0, 0, 10, 10), 0.5, PERSON)),
        instances(((1, 0, 11, 10), 0.9, CAR), ((30, 30, 40, 40), 0.7, CAR)),
    )
    second.masks[0] = 1
    merged = merge_instances([first, second], threshold=0.5, max_instances=10)
    assert merged.scores.tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert merged.classes.tolist() == [CAR, CAR, PERSON]
    np.testing.assert_array_equal(merged.boxes[0], [1, 0, 11, 10])
    # The mean of 1 and 3 where both boxes lie; on the right edge one mask has no value.
    assert merged.masks[0, 14, 0] == pytest.approx(2, abs=1e-5)
    assert merged.masks[0, 14, -1] == pytest.approx(0.5, abs=1e-5)
    np.testing.assert_array_equal(merged.masks[1], np.full((28, 28), 3))


def test_merging_keeps_the_highest_scoring_and_nothing_of_nothing() -> None:
    assert len(merge_instances([THREE_CARS, THREE_CARS], 0.5, max_instances=1).scores) == 1
    assert len(merge_instances([instances(), instances()], 0.5, max_instances=1).scores) == 0


@pytest.mark.parametrize("legacy", [True, False], ids=["closed boxes", "open boxes"])
def test_a_mirrored_view_inverted_is_the_unmirrored_one(legacy: bool) -> None:
    logits, found = random_case(1, 0)
    found.masks[:, :, :14] += 3  # not symmetric
    frame = Frame((60, 92), (64, 100), (1.0, 1.0), (2, 4, 62, 96))
    plain, mirror = View.of(frame), View.of(frame, mirrored=True)
    input_logits = np.zeros((19, 64, 100), np.float32)
    input_logits[:, 2:62, 4:96] = logits[:, :, 4:96]
    straight = outputs_of(input_logits, found)
    # What a perfect network predicts for the mirrored view, where the image is at the upper left
    # and its column 0 is column 91.
    last = 91 if legacy else 92
    x0, y0, x1, y1 = (found.boxes - np.array([4, 2, 4, 2], np.float32)).T
    seen = Instances(
        np.stack([last - x1, y0, last - x0, y1], axis=1),
        found.scores,
        found.classes,
        found.masks[:, :, ::-1],
    )
    shown = mirror.show(paddle.to_tensor(input_logits[None])).numpy()[0]
    method = postprocessor(legacy_boxes=legacy, view_nms_threshold=1.0)
    merged = method.merge_views([outputs_of(shown, seen)], [mirror])
    np.testing.assert_allclose(
        merged["boxes"].numpy(), found.boxes[by_score(found.scores)], atol=1e-4
    )
    assert_same(method(merged, [frame])[0], method(straight, [frame])[0])
    assert plain.mirrored is False


def test_views_of_two_scales_are_averaged() -> None:
    frame = Frame.whole(65, 65)
    logits = np.pad(street(), ((0, 0), (0, 1), (0, 1)), mode="edge")
    views = [View.of(frame), View.of(frame, scale=2.0)]
    large = views[1].show(paddle.to_tensor(logits[None])).numpy()[0]
    # Boxes of pixels as points: what ends at the point 39 ends at 78 when shown twice as large,
    # and half a pixel of the box's edge counts twice as well.
    doubled = Instances(ONE_CAR.boxes * 2, ONE_CAR.scores, ONE_CAR.classes, ONE_CAR.masks)
    merged = postprocessor().merge_views(
        [outputs_of(logits, ONE_CAR), outputs_of(large, doubled)], views
    )
    assert merged["counts"].tolist() == [1]
    np.testing.assert_allclose(merged["boxes"].numpy()[0], CAR_BOX, atol=0.5)
    np.testing.assert_allclose(merged["semantic"].numpy()[0], logits, atol=1e-4)
    (prediction,) = postprocessor()(merged, [frame])
    assert [segment.category for segment in prediction.segments] == [CAR, ROAD, SKY]


def test_the_benchmark_compares_with_the_formula_as_it_reads(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which the benchmark changes
    assert benchmark.main(["fusion", "--quick"]) == 0  # refuses ids that differ
    assert "8 instances" in capfd.readouterr().out
