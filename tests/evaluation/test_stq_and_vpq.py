"""STQ and VPQ: maps worked by hand, a plain statement of each on random maps, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from panoptic_deeplab.errors import DataError, UserError
from panoptic_deeplab.evaluation import (
    LabelSpace,
    PanopticQuality,
    SegmentationTrackingQuality,
    VideoPanopticQuality,
)
from panoptic_deeplab.structures import Category, DatasetInfo, PanopticMap, Prediction, Segment

STUFF, THING, VOID = 0, 1, 255
TWO = LabelSpace(num_classes=2, thing_ids=[THING])
EVALUATORS = [SegmentationTrackingQuality, VideoPanopticQuality]


def maps(*rows: str) -> tuple[np.ndarray, np.ndarray]:
    """Classes and ids of rows of letters: s stuff, v void, a digit the id of a thing."""
    classes = [[{"s": STUFF, "v": VOID}.get(c, THING) for c in row] for row in rows]
    ids = [[int(c) if c.isdigit() else 0 for c in row] for row in rows]
    return np.array(classes, np.uint8), np.array(ids, np.uint16)


def score(evaluator, *frames):
    for prediction, truth in frames:
        evaluator.update_maps(prediction, truth, "a")
    return evaluator.compute()


SPLIT = [(maps("ssss", "1111"), maps("ssss", "1111")), (maps("ssss", "112s"), maps("ssss", "1111"))]
"""In the second frame a part of the object has another id, and a pixel is lost to the street."""


def test_an_object_that_splits():
    results = score(SegmentationTrackingQuality(TWO), *SPLIT)
    # The tube has 8 pixels: 6 in a tube of 6, 1 in a tube of 1.
    assert results["aq"] == pytest.approx((6 * 6 / 8 + 1 * 1 / 8) / 8)
    assert results["iou_per_class"] == pytest.approx(
        {"0": 8 / 9, "1": 7 / 8, "void": math.nan}, nan_ok=True
    )
    assert results["stq"] == pytest.approx(math.sqrt(0.578125 * (8 / 9 + 7 / 8) / 2))
    assert (results["tubes"], results["predicted_tubes"]) == (1, 2)
    assert results["per_sequence"]["a"]["frames"] == 2


@pytest.mark.parametrize("rule", ["coco", "deeplab2"])
def test_windows_of_an_object_that_splits(rule):
    results = score(VideoPanopticQuality(TWO, rule), *SPLIT)
    single, double, triple, _ = results["vpq_by_window"].values()
    # Single frames: street 1 and 4/5; the object 1, then 2/4, which is no match.
    assert single["per_class"]["0"]["iou"] == pytest.approx(1.8)
    assert [single["per_class"]["1"][key] for key in ("iou", "tp", "fp", "fn")] == [1, 1, 2, 1]
    assert single["all"]["vpq"] == pytest.approx((0.9 + 0.4) / 2)
    # Both frames: street 8/9; the object 6/8, and its other part is a false positive.
    assert double["stuff"]["vpq"] == pytest.approx(8 / 9)
    assert double["things"]["vpq"] == pytest.approx(0.75 / 1.5)
    assert [entry["windows"] for entry in (single, double, triple)] == [2, 1, 0]
    assert math.isnan(triple["all"]["vpq"])
    assert math.isnan(results["vpq"])
    assert results["per_sequence"]["a"]["vpq_2"] == double["all"]["vpq"]


CROWD = (maps("77777777sv"), maps("111100vvss"))
"""An object, a crowd (id 0), void and street, of which the prediction makes one long object."""


def test_crowds_and_void():
    results = score(SegmentationTrackingQuality(TWO), CROWD)
    assert results["aq"] == pytest.approx(4 / 6)  # void stays in the predicted tube, crowds do not
    assert results["iou"] == pytest.approx((1 + 1 / 2 + 0) / 3)  # 0: void on the street
    assert results["stq"] == pytest.approx(math.sqrt(1 / 3))


@pytest.mark.parametrize(("rule", "things"), [("coco", 2 / 3), ("deeplab2", 4 / 9)])
def test_a_crowd_is_missed_by_one_rule_alone(rule, things):
    results = score(VideoPanopticQuality(TWO, rule, window_sizes=[1]), CROWD)
    assert results["vpq_mean"] == pytest.approx({"all": things / 2, "things": things, "stuff": 0})


def test_void_with_an_id_is_void_by_one_rule_alone():
    truth = maps("11vv")
    truth[1][0, 2:] = 5
    frame = (maps("1111"), truth)
    by_rule = [
        score(VideoPanopticQuality(TWO, rule, [1]), frame)["vpq"] for rule in ("coco", "deeplab2")
    ]
    assert by_rule == [1, 0]  # 2/2 without the void, and 2/4, which is no match


def random_clip(rng: np.random.Generator, info: LabelSpace, frames: int):
    """[T, 6, 8] classes and ids of blocks; stuff and void have ids too."""
    labels = [*range(info.num_classes), info.ignore_index]
    classes = rng.choice(labels, (frames, 3, 4)).repeat(2, 1).repeat(2, 2)
    return classes, rng.integers(0, 3, (frames, 6, 8))


def plain_stq(truth, prediction, info):
    """STQ of one sequence, straight from its definition: (aq, iou)."""
    (classes, ids), (found, found_ids) = truth, prediction
    things = list(info.thing_ids)
    crowd = np.isin(classes, things) & (ids == 0)
    predicted = {
        (c, i): (found == c) & (found_ids == i) & ~crowd
        for c in things
        for i in np.unique(found_ids)
    }
    qualities = []
    for c in things:
        for i in set(np.unique(ids[classes == c])) - {0}:
            tube = (classes == c) & (ids == i)
            shared = [(tube & p).sum() for p in predicted.values()]
            unions = [(tube | p).sum() for p in predicted.values()]
            qualities.append(
                sum(s * s / u for s, u in zip(shared, unions, strict=True)) / tube.sum()
            )
    valid = classes != info.ignore_index
    ious = []
    for c in {*range(info.num_classes), info.ignore_index}:
        union = (valid & (classes == c)) | (valid & (found == c))
        if union.any():
            ious.append((valid & (classes == c) & (found == c)).sum() / union.sum())
    return np.mean(qualities) if qualities else 0.0, np.mean(ious)


def plain_counts(truth, prediction, info, rule):
    """tp, fp, fn of all classes in one window, straight from the definition."""
    (classes, ids), (found, found_ids) = truth, prediction
    void = classes == info.ignore_index
    is_crowd = np.isin(classes, list(info.thing_ids)) & (ids == 0)
    if rule == "deeplab2":
        void, is_crowd = void & (ids == 0), np.zeros_like(void)
    tp = fp = fn = 0
    for c in set(range(info.num_classes)) - {info.ignore_index}:
        segments = [(classes == c) & (ids == i) for i in np.unique(ids[(classes == c) & ~is_crowd])]
        predicted = [(found == c) & (found_ids == i) for i in np.unique(found_ids[found == c])]
        iou = [[(g & p).sum() / (g | p & ~void).sum() for p in predicted] for g in segments]
        matches = np.array(iou).reshape(len(segments), len(predicted)) > 0.5
        tp, fn = tp + matches.sum(), fn + (~matches.any(axis=1)).sum()
        ignored = [
            (p & (void | is_crowd & (classes == c))).sum() / p.sum() > 0.5 for p in predicted
        ]
        fp += (~matches.any(axis=0) & ~np.array(ignored, bool)).sum()
    return tp, fp, fn


SPACES = [LabelSpace(3, [1, 2], 255), LabelSpace(4, [1, 3], 0), LabelSpace(3, [2], 3)]


@pytest.mark.parametrize("info", SPACES, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_random_clips_score_as_the_definitions_say(info, seed):
    rng = np.random.default_rng(seed)
    truth, noise = random_clip(rng, info, 4), random_clip(rng, info, 4)
    kept = rng.random(truth[0].shape) < 0.7
    prediction = tuple(np.where(kept, t, n) for t, n in zip(truth, noise, strict=True))

    def frames(chosen):
        return [
            tuple(tuple(one[t] for one in clip) for clip in (prediction, truth)) for t in chosen
        ]

    results = score(SegmentationTrackingQuality(info), *frames(range(4)))
    assert (results["aq"], results["iou"]) == pytest.approx(plain_stq(truth, prediction, info))
    for rule in ("coco", "deeplab2"):
        by_window = score(VideoPanopticQuality(info, rule, [2, 4]), *frames(range(4)))
        for size, entry in by_window["vpq_by_window"].items():
            windows = [slice(t, t + int(size)) for t in range(5 - int(size))]
            expected = sum(
                np.array(
                    plain_counts(*(tuple(x[w] for x in c) for c in (truth, prediction)), info, rule)
                )
                for w in windows
            )
            counted = [[e[k] for k in ("tp", "fp", "fn")] for e in entry["per_class"].values()]
            assert np.sum(counted, axis=0).tolist() == expected.tolist()


INFO = DatasetInfo(
    "street",
    (Category("road", False, (128, 64, 128), 7), Category("car", True, (0, 0, 142), 26)),
)


def street(ids, segments, sequence="a"):
    truth = PanopticMap(np.array(ids, np.int32), segments, sequence=sequence)
    return Prediction(truth.ids, truth.segments), truth


def test_segments_are_followed_by_their_track_and_else_by_their_id():
    """The car is segment 2, then segment 9; its track says that it is one."""
    lasting = [
        street([[1, 2, 2]], [Segment(1, 0), Segment(2, 1, track_id=4)]),
        street([[1, 9, 9]], [Segment(1, 0), Segment(9, 1, track_id=4)]),
    ]
    followed, lost = SegmentationTrackingQuality(INFO), SegmentationTrackingQuality(INFO)
    for prediction, truth in lasting:
        followed.update(prediction, truth)
        lost.update(
            Prediction(prediction.ids, [Segment(s.id, s.category) for s in prediction.segments]),
            truth,
        )
    assert (followed.compute()["tubes"], followed.compute()["aq"]) == (1, 1)
    assert (lost.compute()["predicted_tubes"], lost.compute()["aq"]) == (2, 0.5)
    assert followed.compute()["iou_per_class"] == pytest.approx(
        {"road": 1, "car": 1, "void": math.nan}, nan_ok=True
    )


def test_single_frames_score_as_panoptic_quality():
    rng = np.random.default_rng(0)
    video, single = VideoPanopticQuality(INFO, window_sizes=[1]), PanopticQuality(INFO)
    segments = [Segment(1, 0, area=None), Segment(2, 1, area=None), Segment(3, 1, True, None)]
    segments += [Segment(4, 1, area=None)]
    for _ in range(8):
        ids = np.repeat(rng.permutation(5), 4).reshape(4, 5)
        found = np.where(rng.random((4, 5)) < 0.75, ids, 1)
        listed = [Segment(i, int(i > 1)) for i in np.unique(found) if i]
        pair = Prediction(found, listed), PanopticMap(ids, segments, sequence="a")
        video.update(*pair)
        single.update(*pair)
    results, expected = video.compute()["vpq_by_window"]["1"], single.compute()
    for group, official in (("all", "All"), ("things", "Things"), ("stuff", "Stuff")):
        assert results[group]["vpq"] == pytest.approx(expected[official]["pq"])
    assert results["per_class"]["car"]["tp"] == expected["per_class"]["car"]["tp"] > 0


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_processes_that_share_the_sequences_score_as_one(evaluator):
    whole, parts = evaluator(TWO), [evaluator(TWO), evaluator(TWO), evaluator(TWO)]
    for t in range(2):  # the frames of two sequences come in turn
        for part, sequence in zip(parts, ("b", "a"), strict=False):
            frame = SPLIT[t] if sequence == "a" else (SPLIT[1 - t][0], SPLIT[0][1])
            whole.update_maps(*frame, sequence)
            part.update_maps(*frame, sequence)
    together = evaluator(TWO)
    for part in parts:  # the last of them has nothing
        together.merge(part.state())
    assert str(together.compute()) == str(whole.compute())
    assert list(whole.compute()["per_sequence"]) == ["b", "a"]


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_what_was_not_seen_has_no_score(evaluator):
    assert evaluator(TWO).compute()["per_sequence"] == {}
    nothing = score(evaluator(TWO), (maps("vv"), maps("vv")))
    assert math.isnan(nothing["stq" if evaluator is SegmentationTrackingQuality else "vpq"])


def test_weights_count_pixels_by_fractions():
    halved, evaluator = np.full((1, 4), 0.5), SegmentationTrackingQuality(TWO)
    halved[0, 3] = 1
    evaluator.update_maps(maps("ssss"), maps("sss1"), "a", halved)
    assert evaluator.compute()["iou_per_class"]["0"] == pytest.approx(1.5 / 2.5)


GOOD = maps("s1")
BAD_FRAMES = [
    (maps("s1v"), GOOD, "the prediction is 1x3 but the annotation is 1x2"),
    ((GOOD[0] + 2, GOOD[1]), GOOD, r"the prediction has class 3, expected 0\.\.1 or 255"),
    (GOOD, (GOOD[0], GOOD[1].astype(np.int64) << 40), "the annotation has id 1099511627776"),
    (GOOD, (GOOD[0], -GOOD[1].astype(np.int64)), "the annotation has id -1, expected 0"),
    ((GOOD[0] / 2, GOOD[1]), GOOD, "the prediction has float64 values as class"),
]


@pytest.mark.parametrize("evaluator", EVALUATORS)
@pytest.mark.parametrize(("prediction", "truth", "message"), BAD_FRAMES)
def test_frames_that_cannot_be_compared(evaluator, prediction, truth, message):
    with pytest.raises(DataError, match=message):
        evaluator(TWO).update_maps(prediction, truth, "a")


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_a_sequence_belongs_to_one_evaluator(evaluator):
    one, other = evaluator(TWO), evaluator(TWO)
    for each in (one, other):
        each.update_maps(*SPLIT[0], "a")
    with pytest.raises(DataError, match="sequence 'a' was counted twice"):
        one.merge(other.state())
    prediction, truth = street([[1]], [Segment(1, 0)], sequence=None)
    with pytest.raises(DataError, match="names no sequence"):
        evaluator(INFO).update(prediction, truth)


def test_windows_do_not_continue_elsewhere():
    one, other = VideoPanopticQuality(TWO), VideoPanopticQuality(TWO)
    one.update_maps(*SPLIT[0], "a")
    other.merge(one.state())
    with pytest.raises(DataError, match="counted by another evaluator"):
        other.update_maps(*SPLIT[1], "a")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VideoPanopticQuality(TWO, "fast"), "rule must be one of coco, deeplab2"),
        (lambda: VideoPanopticQuality(TWO, window_sizes=[0]), "window_sizes must be"),
        (lambda: LabelSpace(2, [2]), r"expected thing_ids in 0\.\.1"),
        (lambda: LabelSpace(2, [1], 1), "without ignore_index"),
    ],
)
def test_arguments_that_make_no_sense(make, message):
    with pytest.raises(UserError, match=message):
        make()
