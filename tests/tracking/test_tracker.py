"""Ids that last: the baseline of STEP on sequences that can be checked by eye."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment
from panoptic_deeplab.tracking import Tracker, track_maps
from panoptic_deeplab.tracking.association import mask_iou
from panoptic_deeplab.tracking.instances import Instances
from panoptic_deeplab.tracking.motion import FlowEstimator

ROAD, CAR, BUS = 0, 1, 2
INFO = DatasetInfo(
    "street",
    (
        Category("road", False, (128, 64, 128), 7),
        Category("car", True, (0, 0, 142), 26),
        Category("bus", True, (0, 60, 100), 28),
    ),
)


def frames(*rows: str) -> np.ndarray:
    """One row of pixels a frame, [T, 1, W]: a digit is an id, a point none."""
    return np.array([[[0 if c == "." else int(c) for c in row]] for row in rows])


def tracks(*rows: str, iou_threshold: float = 0.3, max_age: int = 10) -> list[str]:
    """The tracks of frames of cars, as `frames` are written."""
    ids = frames(*rows)
    tracked = track_maps(np.where(ids > 0, CAR, ROAD), ids, [CAR], iou_threshold, max_age)
    return ["".join("." if v == 0 else str(v) for v in frame[0]) for frame in tracked]


SEQUENCES = [
    ("the ids of frames do not matter", ["11122.", ".22211"], ["11122.", ".11122"]),
    ("a car that moves on without overlap is new", ["11....", "....11"], ["11....", "....22"]),
    ("cars come and go, ids are not used again", ["1.....", "..2..."], ["1.....", "..2..."]),
    # 1/3 + 1/3 is more than 1/2 + 0: the best pair is given up.
    ("the largest sum counts", ["11111122", "22111111"], ["11111122", "11222222"]),
    ("new ids are given in the order of ids", ["......", "559977"], ["......", "113322"]),
]


@pytest.mark.parametrize(("why", "rows", "expected"), SEQUENCES, ids=[s[0] for s in SEQUENCES])
def test_sequences_by_eye(why: str, rows: list[str], expected: list[str]) -> None:
    assert tracks(*rows) == expected


def test_iou_at_the_threshold_is_no_match() -> None:
    rows = "111.......", ".11......."  # IoU 2/3
    assert tracks(*rows, iou_threshold=0.66)[1] == ".11......."
    assert tracks(*rows, iou_threshold=2 / 3)[1] == ".22......."


@pytest.mark.parametrize(("gap", "expected"), [(0, "1"), (2, "1"), (3, "2")])
def test_a_gap_as_long_as_the_memory_is_survived(gap: int, expected: str) -> None:
    assert tracks("1", *["."] * gap, "1", max_age=2)[-1] == expected


def test_masks_of_different_ages_may_overlap() -> None:
    """Where the first car was hidden by the second, both are remembered."""
    rows = ["1111..", "..2222", "1111..", "..2222"]
    assert tracks(*rows, iou_threshold=0.4) == rows


def test_classes_are_apart_and_share_the_ids() -> None:
    ids = frames("1122", "1122", "1122")
    semantic = np.array([[[1, 1, 2, 2]], [[2, 2, 2, 2]], [[1, 1, 2, 2]]])
    assert track_maps(semantic, ids, [CAR, BUS]).tolist() == [
        [[1, 1, 2, 2]],
        [[3, 3, 2, 2]],
        [[1, 1, 2, 2]],
    ]
    assert track_maps(semantic, ids, [BUS, CAR])[0].tolist() == [[2, 2, 1, 1]]
    assert track_maps(semantic, ids, [BUS])[0].tolist() == [[0, 0, 1, 1]]


def plain_tracks(semantic: np.ndarray, instance: np.ndarray, classes: list[int]) -> np.ndarray:
    """The definition word by word: a mask for each instance, compared pair by pair."""
    memory, age = 3, {}
    masks: dict[int, dict[int, np.ndarray]] = {category: {} for category in classes}
    result, next_id = np.zeros(semantic.shape, int), 1
    for t in range(len(semantic)):
        for category in classes:
            remembered = masks[category]
            own = (semantic[t] == category) & (instance[t] > 0)
            new = [(instance[t] == i) & own for i in np.unique(instance[t][own])]
            known = list(remembered)
            iou = np.zeros((len(new), len(known)))
            for i, mask in enumerate(new):
                for k, track in enumerate(known):
                    either = (mask | remembered[track]).sum()
                    iou[i, k] = (mask & remembered[track]).sum() / either
            pairs = list(zip(*linear_sum_assignment(iou, maximize=True), strict=True))
            track_of = {i: known[k] for i, k in pairs if iou[i, k] > 0.3}
            assigned = {i for i, _ in pairs}
            left_out = [i for i in range(len(new)) if i not in assigned]
            for i in left_out + [i for i, _ in pairs if i not in track_of]:
                track_of[i], next_id = next_id, next_id + 1
            for track in known:
                age[track] += 1
            for i, mask in enumerate(new):
                remembered[track_of[i]], age[track_of[i]] = mask, 0
                result[t][mask] = track_of[i]
            masks[category] = {track: m for track, m in remembered.items() if age[track] <= memory}
    return result


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_the_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    semantic = random.integers(0, 3, (12, 4, 5)).repeat(3, axis=1).repeat(3, axis=2)
    instance = random.integers(0, 3, (12, 6, 5)).repeat(2, axis=1).repeat(3, axis=2)
    expected = plain_tracks(semantic, instance, [CAR, BUS])
    assert expected.max() > 20  # some continue, some do not
    np.testing.assert_array_equal(track_maps(semantic, instance, [CAR, BUS], 0.3, 3), expected)


def test_ids_may_be_as_large_as_files_hold() -> None:
    ids = np.array([[[65_535, 65_535, 7]], [[7, 7, 65_535]]], np.uint16)
    labels = np.full(ids.shape, CAR, np.uint8)
    assert track_maps(labels, ids, [CAR]).tolist() == [[[2, 2, 1]], [[2, 2, 1]]]


# --- predictions ---


def prediction(row: str, *categories: int) -> Prediction:
    segments = [Segment(i, c) for i, c in enumerate(categories, 1) if str(i) in row]
    return Prediction(frames(row)[0].astype(np.int32), segments)


def test_things_of_predictions_are_tracked_and_nothing_else() -> None:
    tracker = Tracker(INFO)
    first = tracker.update(prediction("1122.3", CAR, ROAD, CAR))
    assert [s.track_id for s in first.segments] == [1, None, 2]
    frame = prediction("3322.1", CAR, ROAD, CAR)
    second = tracker.update(frame)
    assert second.ids is frame.ids
    assert [s.track_id for s in second.segments] == [2, None, 1]
    assert [s.track_id for s in frame.segments] == [None] * 3  # nothing is edited in place


def test_reset_begins_another_video() -> None:
    tracker = Tracker(INFO)
    tracker.update(prediction("1.2", CAR, CAR))
    assert tracker.update(prediction("..1", CAR)).segments[0].track_id == 2
    tracker.reset()
    assert tracker.update(prediction("..1", CAR)).segments[0].track_id == 1


def test_frames_without_things() -> None:
    tracker = Tracker(INFO)
    empty = Prediction(np.zeros((1, 3), np.int32), [])
    assert tracker.update(empty).segments == []
    assert tracker.update(prediction("111", CAR)).segments[0].track_id == 1
    assert tracker.update(empty).segments == []
    assert tracker.update(prediction("111", CAR)).segments[0].track_id == 1


def test_in_a_frame_of_another_size_all_is_new() -> None:
    tracker = Tracker(INFO)
    tracker.update(prediction("1.2", CAR, CAR))
    assert [s.track_id for s in tracker.update(prediction("1.22", CAR, CAR)).segments] == [3, 4]
    assert [s.track_id for s in tracker.update(prediction("1.2", CAR, CAR)).segments] == [5, 6]


def test_more_instances_than_can_be_compared_are_told() -> None:
    ids = np.arange(1, 6001, dtype=np.int32).reshape(60, 100)
    many = Prediction(ids, [Segment(i, CAR) for i in range(1, 6001)])
    tracker = Tracker(INFO)
    tracker.update(many)
    with pytest.raises(DataError, match=r"^6000 instances cannot be compared with 6000 remembered"):
        tracker.update(many)


def test_memory_is_bounded() -> None:
    """Of a thousand frames with a new car each, the last few are remembered."""
    tracker = Tracker(INFO, max_age=3)
    for t in range(1000):
        ids = np.zeros((1, 1000), np.int32)
        ids[0, t] = 1
        assert tracker.update(Prediction(ids, [Segment(1, CAR)])).segments[0].track_id == t + 1
    assert len(tracker._memory._tracks) == 4


# --- classes ---


def test_scores_vote_on_the_class_of_a_track() -> None:
    """Taken for a bus in one frame, a car stays the car that it was."""
    tracker = Tracker(INFO)
    seen = []
    for category, score in ((CAR, 0.6), (BUS, 0.5), (BUS, 0.2), (BUS, 0.3)):
        frame = Prediction(np.array([[1, 1, 0]], np.int32), [Segment(1, category, score=score)])
        (segment,) = tracker.update(frame).segments
        seen.append((segment.track_id, segment.category))
    assert seen == [(1, CAR), (1, CAR), (1, BUS), (1, BUS)]


def test_another_class_asks_for_more_overlap() -> None:
    tracker = Tracker(INFO)
    tracker.update(prediction("111.", CAR))
    assert tracker.update(prediction("..11", CAR)).segments[0].track_id == 1  # IoU 1/4
    assert tracker.update(prediction("...1", BUS)).segments[0].track_id == 2  # IoU 1/2
    without = Tracker(INFO, class_change_threshold=None)
    without.update(prediction("111.", CAR))
    assert without.update(prediction("111.", BUS)).segments[0].track_id == 2


# --- motion ---

SIZE = (96, 192)
STEP = 14  # pixels that a car goes on in a frame, more than its width


def tracks_of_drive(tracker: Tracker, *frames: tuple[Prediction, np.ndarray]) -> list[int | None]:
    updated = [tracker.update(*frame).segments for frame in frames]
    return [segments[0].track_id if segments else None for segments in updated]


def panned(shift: int) -> tuple[Prediction, np.ndarray]:
    """A car of 12 x 12 pixels; all of the view moves to the right."""
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    image, ids = cv2.GaussianBlur(noise, (0, 0), 3), np.zeros(SIZE, np.int32)
    ids[40:52, 60:72] = 1
    return Prediction(np.roll(ids, shift, axis=1), [Segment(1, CAR)]), np.roll(image, shift, axis=1)


def test_masks_move_with_the_image() -> None:
    frames = [panned(STEP * t) for t in range(4)]
    assert tracks_of_drive(Tracker(INFO), *frames) == [1, 1, 1, 1]
    assert tracks_of_drive(Tracker(INFO, use_flow=False), *frames) == [1, 2, 3, 4]
    unseen = [(frame, None) for frame, _ in frames]
    assert tracks_of_drive(Tracker(INFO), *unseen) == [1, 2, 3, 4]


def test_what_is_hidden_moves_on() -> None:
    seen = [panned(STEP * t) for t in range(5)]
    nothing = Prediction(np.zeros(SIZE, np.int32), [])
    frames = [seen[0], seen[1], (nothing, seen[2][1]), (nothing, seen[3][1]), seen[4]]
    assert tracks_of_drive(Tracker(INFO), *frames) == [1, 1, None, None, 1]


def test_what_has_left_the_image_does_not_count() -> None:
    """Moved by 2 pixels, half of a mask of 4 is still to be seen, and agrees with the instance."""
    instances = Instances.of(prediction("..11", CAR), [CAR])
    mask = np.arange(4, dtype=np.int32)
    assert mask_iou(instances, [mask, mask], [np.zeros(2), np.array([0, 2.2])]).tolist() == [
        [0.5, 1]
    ]
    assert mask_iou(instances, [mask], [np.array([1, 0])]).tolist() == [[0]]
    assert mask_iou(instances, [], []).shape == (1, 0)


@pytest.mark.parametrize("size", [(1, 4), (40, 2000), (31, 31)])
def test_images_too_small_for_optical_flow(size: tuple[int, int]) -> None:
    tracker = Tracker(INFO)
    frame = Prediction(np.ones(size, np.int32), [Segment(1, CAR)])
    image = np.zeros((*size, 3), np.uint8)
    assert tracks_of_drive(tracker, (frame, image), (frame, image)) == [1, 1]


def test_flow_tells_the_motion_of_a_mask() -> None:
    estimator = FlowEstimator()
    assert estimator.update(panned(0)[1]) is None
    flow = estimator.update(panned(6)[1])
    pixels = np.flatnonzero(panned(0)[0].ids).astype(np.int32)
    np.testing.assert_allclose(flow.of_mask(pixels), (0, 6), atol=0.5)
    assert estimator.update(None) is None
    assert estimator.update(panned(6)[1]) is None  # there is none to compare it with
