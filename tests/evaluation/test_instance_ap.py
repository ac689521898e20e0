"""AP on instances that can be checked by eye, and against cityscapesscripts on random ones."""

import copy
import math

import numpy as np
import pytest
from cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling import args as official_args
from cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling import evaluateImgLists
from PIL import Image

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation import InstanceAP
from panoptic_deeplab.evaluation.instance_ap import (
    FALSE_POSITIVE,
    HIT,
    IGNORED,
    average_precision,
)
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS
from panoptic_deeplab.structures import (
    Category,
    DatasetInfo,
    Instance,
    PanopticMap,
    Prediction,
    Segment,
)

ROAD, CAR, PERSON = range(3)
INFO = DatasetInfo(
    "tiny",
    (
        Category("road", False, (128, 64, 128), 7),
        Category("car", True, (0, 0, 142), 26),
        Category("person", True, (220, 20, 60), 24),
    ),
)
TILE = 10  # one number of a drawing stands for 10x10 pixels, just enough for an instance to count


def draw(rows):
    """[10 * H, 10 * W] ids, each number of the drawing grown to a tile of 100 pixels."""
    return np.kron(np.array(rows, np.int32), np.ones((TILE, TILE), np.int32))


def truth_of(rows, segments):
    return PanopticMap(draw(rows), segments)


def prediction_of(rows, segments):
    return Prediction(draw(rows), segments)


def score(*pairs, info=INFO):
    evaluator = InstanceAP(info)
    for prediction, truth in pairs:
        evaluator.update(prediction, truth)
    return evaluator.compute()


ROWS = [[5, 5, 6], [5, 5, 6], [1, 1, 7]]
SEGMENTS = [Segment(1, ROAD), Segment(5, CAR), Segment(6, CAR), Segment(7, PERSON)]


def test_instances_of_a_method_count_in_place_of_the_map_and_may_overlap():
    truth = truth_of(ROWS, SEGMENTS)
    masks = [(CAR, truth.ids == 5), (CAR, truth.ids >= 5), (PERSON, truth.ids == 7)]
    instances = [Instance(c, 0.9 - i / 10, (0, 0), m) for i, (c, m) in enumerate(masks)]
    empty = np.zeros_like(truth.ids)
    results = score((Prediction(empty, [], instances=instances), truth))
    assert results["per_class"]["person"]["ap"] == 1
    assert results["per_class"]["car"]["ap"] == pytest.approx(0.5, abs=0.26)  # one of two cars
    assert math.isclose(score((Prediction(empty, []), truth))["ap"], 0)


def test_the_annotation_as_prediction_scores_one():
    results = score((prediction_of(ROWS, SEGMENTS), truth_of(ROWS, SEGMENTS)))
    whole = {"ap": 1.0, "ap50": 1.0}
    assert results == whole | {"per_class": {"car": whole, "person": whole}}


def test_an_overlap_counts_for_the_thresholds_below_it():
    # 3 of 4 tiles: IoU .75 lies above .5, .55, .6, .65 and .7 but not above .75.
    results = score(
        (
            prediction_of([[5, 5, 5, 0]], [Segment(5, CAR)]),
            truth_of([[5, 5, 5, 5]], [Segment(5, CAR)]),
        )
    )
    assert results["per_class"]["car"] == pytest.approx({"ap": 5 / 10, "ap50": 1})


def test_half_is_not_enough():
    truth = truth_of([[5, 5]], [Segment(5, CAR)])
    assert score((prediction_of([[5, 0]], [Segment(5, CAR)]), truth))["ap50"] == 0


def test_a_false_positive_costs_less_the_lower_its_score():
    # The person's tile is also called a car. Ranked last, the curve runs at precision 1 first.
    truth = truth_of([[5, 5, 7]], [Segment(5, CAR), Segment(7, PERSON)])

    def car_ap(false_score):
        segments = [Segment(5, CAR, score=0.5), Segment(7, CAR, score=false_score)]
        results = score((prediction_of([[5, 5, 7]], segments), truth))
        return results["per_class"]["car"]["ap50"]

    assert car_ap(0.4) == 1
    # (0, 1) -> (0, 0) -> (1, 1/2): a triangle of height 1/2.
    assert car_ap(0.6) == pytest.approx(1 / 4)
    # Equal scores are taken together: (0, 1) -> (1, 1/2).
    assert car_ap(0.5) == pytest.approx(3 / 4)


def test_a_segment_without_score_ranks_as_sure():
    truth = truth_of([[5, 5, 7]], [Segment(5, CAR), Segment(7, PERSON)])
    segments = [Segment(5, CAR, score=0.9), Segment(7, CAR)]
    results = score((prediction_of([[5, 5, 7]], segments), truth))
    assert results["per_class"]["car"]["ap50"] == pytest.approx(1 / 4)


def test_a_missed_instance_bounds_the_recall():
    truth = truth_of(ROWS, SEGMENTS)
    found = prediction_of([[5, 5, 0], [5, 5, 0], [0, 0, 0]], [Segment(5, CAR)])
    results = score((found, truth))
    assert results["per_class"]["car"]["ap"] == pytest.approx(1 / 2)
    assert results["per_class"]["person"]["ap"] == 0
    assert results["ap"] == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("annotated", "ignored"),
    [
        ([[5, 0, 0]], True),  # on void
        ([[5, 9, 9]], True),  # on a crowd of cars
        ([[5, 8, 8]], False),  # on a crowd of persons
        ([[5, 1, 1]], False),  # on the road
        ([[5, 1, 0]], False),  # half on void: not more than half
        ([[5, 3, 3]], False),  # on ids that no segment claims: not void
    ],
)
def test_a_car_on_void_or_a_crowd_of_cars_is_ignored(annotated, ignored):
    segments = [
        Segment(1, ROAD),
        Segment(5, CAR),
        Segment(8, PERSON, True),
        Segment(9, CAR, True),
    ]
    predicted = [Segment(5, CAR, score=0.1), Segment(6, CAR, score=0.9)]
    results = score((prediction_of([[5, 6, 6]], predicted), truth_of(annotated, segments)))
    assert results["per_class"]["car"]["ap50"] == pytest.approx(1 if ignored else 1 / 4)


@pytest.mark.parametrize(
    ("annotated", "ap50"),
    [([[0, 0]], 1), ([[3, 0]], 1 / 4)],  # wholly on void; half on void, half on no segment's id
)
def test_an_image_without_segments_can_hold_false_positives(annotated, ap50):
    found = prediction_of([[5]], [Segment(5, CAR, score=0.1)]), truth_of([[5]], [Segment(5, CAR)])
    other = prediction_of([[6, 6]], [Segment(6, CAR, score=0.9)]), truth_of(annotated, [])
    assert score(found, other)["ap50"] == pytest.approx(ap50)


def test_instances_under_100_pixels_are_ignored():
    truth = truth_of([[5, 5]], [Segment(5, CAR), Segment(6, CAR)])
    truth.ids[0, 11:] = 0
    truth.ids[:9, 11:20] = 6  # 81 pixels
    found = Prediction(truth.ids, [Segment(5, CAR, score=0.1), Segment(6, CAR, score=0.9)])
    missed = Prediction(np.where(truth.ids == 6, 0, truth.ids), [Segment(5, CAR)])
    for prediction in (found, missed):
        assert score((prediction, truth))["per_class"]["car"]["ap"] == 1


def test_a_crowd_is_neither_found_nor_missed():
    truth = truth_of([[5, 9]], [Segment(5, CAR), Segment(9, CAR, True)])
    both = [Segment(5, CAR, score=0.1), Segment(9, CAR, score=0.9)]
    assert score((prediction_of([[5, 9]], both), truth))["ap"] == 1
    assert score((prediction_of([[5, 0]], both[:1]), truth))["ap"] == 1


def test_a_class_without_instances_leaves_the_mean():
    # Persons are predicted but never annotated.
    truth = truth_of([[5, 1]], [Segment(5, CAR), Segment(1, ROAD)])
    predicted = prediction_of([[5, 7]], [Segment(5, CAR), Segment(7, PERSON)])
    results = score((predicted, truth))
    assert math.isnan(results["per_class"]["person"]["ap"])
    assert results["ap"] == results["ap50"] == 1


def test_without_things_nothing_can_be_said():
    road = [Segment(1, ROAD)]
    pair = prediction_of([[1, 1]], road), truth_of([[1, 1]], road)
    for results in (score(), score(pair), score((prediction_of([[0]], []), truth_of([[0]], [])))):
        assert math.isnan(results["ap"])
        assert math.isnan(results["ap50"])


def test_a_data_set_without_things_has_no_class_to_tell():
    info = DatasetInfo("stuff", INFO.categories[:1])
    road = [Segment(1, ROAD)]
    results = score((prediction_of([[1]], road), truth_of([[1]], road)), info=info)
    assert results["per_class"] == {}
    assert math.isnan(results["ap"])


def test_an_empty_prediction_scores_zero():
    results = score((prediction_of([[0, 0, 0]] * 3, []), truth_of(ROWS, SEGMENTS)))
    assert results["ap"] == results["ap50"] == 0


def test_predictions_that_are_all_ignored_score_zero():
    # Here the official tool fails with an IndexError.
    truth = truth_of([[5, 5, 0, 0]], [Segment(5, CAR)])
    results = score((prediction_of([[0, 0, 6, 6]], [Segment(6, CAR)]), truth))
    assert results["ap"] == 0


def test_many_instances_and_the_largest_ids():
    ids = draw(2**24 - 1 - np.arange(300).reshape(15, 20))
    segments = [Segment(int(value), CAR, score=0.5) for value in np.unique(ids)]
    assert score((Prediction(ids, segments), PanopticMap(ids, segments)))["ap"] == 1


def test_of_overlapping_masks_the_best_scored_is_the_hit():
    truth = truth_of([[5, 5, 5, 5, 0, 7]], [Segment(5, CAR), Segment(7, PERSON)])
    whole = draw([[1, 1, 1, 1, 0, 0]])
    part = draw([[1, 1, 1, 0, 0, 0]]).astype(np.uint8) * 255
    empty = np.zeros(truth.ids.shape, bool)

    def car_ap(whole_score, part_score):
        evaluator = InstanceAP(INFO)
        masks = [
            (whole, Segment(1, CAR, score=whole_score)),
            (part, Segment(2, CAR, score=part_score)),
            (empty, Segment(3, CAR, score=1.0)),  # left out
            (whole, Segment(4, ROAD, score=1.0)),  # no thing
        ]
        evaluator.update_masks(masks, truth)
        return evaluator.compute()["per_class"]["car"]

    # Hit by the whole first; the part is a false positive that comes too late to matter.
    assert car_ap(0.9, 0.8) == pytest.approx({"ap": 1, "ap50": 1})
    # Hit by the part where .75 is enough; elsewhere by the whole, after a false positive.
    assert car_ap(0.8, 0.9) == pytest.approx({"ap": (5 * 1 + 5 * 1 / 4) / 10, "ap50": 1})


def test_no_masks_are_an_empty_prediction():
    evaluator = InstanceAP(INFO)
    evaluator.update_masks([], truth_of(ROWS, SEGMENTS))
    assert evaluator.compute()["ap"] == 0


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (prediction_of([[5, 5]], [Segment(5, CAR)]), "10x20 .* 10x10"),
        (prediction_of([[6]], [Segment(5, CAR)]), "has id 6"),
        (prediction_of([[5]], [Segment(5, CAR), Segment(6, CAR)]), "lists segment 6"),
        (prediction_of([[5]], [Segment(5, 3)]), "category 3"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_not_counted(prediction, message):
    evaluator = InstanceAP(INFO)
    with pytest.raises(DataError, match=message):
        evaluator.update(prediction, truth_of([[5]], [Segment(5, CAR)]))
    assert not evaluator.state()["truth_counts"].any()


def test_masks_of_another_size_are_refused():
    with pytest.raises(DataError, match=r"10x20 .* 10x10"):
        InstanceAP(INFO).update_masks(
            [(draw([[1, 1]]), Segment(1, CAR))], truth_of([[5]], [Segment(5, CAR)])
        )


def test_average_precision_of_a_ranking_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    outcomes = np.array([HIT, FALSE_POSITIVE, IGNORED, HIT])
    # Points (recall, precision): (0, 1), (1/2, 1), (1/2, 1/2), (1, 2/3).
    expected = 1 / 2 * 1 + 1 / 2 * (1 / 2 + 2 / 3) / 2
    assert average_precision(scores, outcomes, 2) == pytest.approx(expected)


THINGS = (11, 13, 18)  # person, car, bicycle


def random_pair(rng, first_id):
    """A Cityscapes scene of [120, 160] with crowds, void and touching, partly tiny instances."""
    ids = np.full((120, 160), LABEL_IDS[0], np.int32)
    categories = {LABEL_IDS[0]: 0}
    for index in range(24):
        top, left = rng.integers(0, (110, 150))
        height, width = rng.integers(6, 40, 2)
        category = int(rng.choice(THINGS))
        value = LABEL_IDS[category] * 1000 + index if rng.random() < 0.8 else LABEL_IDS[category]
        value = 0 if rng.random() < 0.15 else value
        ids[top : top + height, left : left + width] = value
        categories[value] = category
    present = [int(value) for value in np.unique(ids) if value]
    truth = PanopticMap(
        ids, [Segment(value, categories[value], 23 < value < 1000) for value in present]
    )

    shift = rng.integers(-2, 3, 2)
    predicted = np.roll(ids, shift, (0, 1))
    predicted[rng.random(ids.shape) < 0.05] = 0
    for index in range(3):
        top, left = rng.integers(0, (90, 130))
        predicted[top : top + 20, left : left + 20] = first_id + index
        categories[first_id + index] = int(rng.choice(THINGS))
    for value in present:
        if rng.random() < 0.15:
            categories[value] = int(rng.choice(THINGS))
    scores = np.round(rng.random(1000), 1)  # many equal ones
    segments = [
        Segment(int(value), categories[int(value)], score=float(scores[index]))
        for index, value in enumerate(np.unique(predicted))
        if value
    ]
    return Prediction(predicted, segments), truth


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(1)
    return [random_pair(rng, 2**24 - 9) for _ in range(8)]


def official_results(masks_of_images, truths, folder):
    """What cityscapesscripts says of the same instances as its text files and masks."""
    predicted, annotated = [], []
    for index, (masks, truth) in enumerate(zip(masks_of_images, truths, strict=True)):
        annotated.append(str(folder / f"{index}_instanceIds.png"))
        Image.fromarray(truth.ids.astype(np.uint16)).save(annotated[-1])
        predicted.append(str(folder / f"{index}.txt"))
        lines = []
        for number, (mask, segment) in enumerate(masks):
            name = f"{index}_{number}.png"
            Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(folder / name)
            lines.append(f"{name} {LABEL_IDS[segment.category]} {segment.score}\n")
        (folder / f"{index}.txt").write_text("".join(lines))
    args = copy.copy(official_args)
    args.quiet, args.JSONOutput = True, False
    args.predictionPath = str(folder)
    args.gtInstancesFile = str(folder / "instances.json")
    return evaluateImgLists(predicted, annotated, args)


def check_agreement(results, expected):
    averages = expected["averages"]
    assert results["ap"] == pytest.approx(averages["allAp"], abs=1e-12)
    assert results["ap50"] == pytest.approx(averages["allAp50%"], abs=1e-12)
    for name, entry in results["per_class"].items():
        assert entry["ap"] == pytest.approx(averages["classes"][name]["ap"], abs=1e-12, nan_ok=True)
        assert entry["ap50"] == pytest.approx(
            averages["classes"][name]["ap50%"], abs=1e-12, nan_ok=True
        )


def test_agrees_with_cityscapesscripts(pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the official tool leaves matches.json where it runs
    masks = [
        [(prediction.ids == segment.id, segment) for segment in prediction.segments]
        for prediction, _ in pairs
    ]
    expected = official_results(masks, [truth for _, truth in pairs], tmp_path)
    results = score(*pairs, info=CITYSCAPES)
    check_agreement(results, expected)
    assert 0.1 < results["ap"] < 0.9  # the scenes try hits and misses of many overlaps
    assert math.isnan(results["per_class"]["train"]["ap"])


def test_overlapping_masks_agree_with_cityscapesscripts(pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    evaluator = InstanceAP(CITYSCAPES)
    masks_of_images = []
    for _, truth in pairs[:4]:
        masks = []
        for _ in range(3):
            for segment in truth.segments:
                mask = np.roll(truth.ids == segment.id, rng.integers(-2, 3, 2), (0, 1))
                confidence = float(np.round(rng.random(), 1))
                masks.append((mask, Segment(1, segment.category, score=confidence)))
        evaluator.update_masks(masks, truth)
        masks_of_images.append(masks)
    truths = [truth for _, truth in pairs[:4]]
    check_agreement(evaluator.compute(), official_results(masks_of_images, truths, tmp_path))


def test_parts_merged_are_the_whole(pairs):
    whole, merged = InstanceAP(CITYSCAPES), InstanceAP(CITYSCAPES)
    parts = [InstanceAP(CITYSCAPES) for _ in range(3)]
    for index, pair in enumerate(pairs):
        whole.update(*pair)
        parts[index % 2].update(*pair)  # the last process has no image
    for part in parts:
        merged.merge(part.state())
    np.testing.assert_equal(merged.compute(), whole.compute())
    assert {key: array.dtype for key, array in merged.state().items()} == {
        "truth_counts": np.int64,
        "categories": np.int64,
        "scores": np.float64,
        "outcomes": np.int8,
    }
    whole.reset()
    assert math.isnan(whole.compute()["ap"])
