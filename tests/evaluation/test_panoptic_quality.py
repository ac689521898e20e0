"""PQ on maps that can be checked by eye, and against cityscapesscripts on random ones."""

import dataclasses
import math

import numpy as np
import pytest
from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import (
    average_pq,
    pq_compute_single_core,
)
from PIL import Image

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation import (
    InstanceAP,
    PanopticQuality,
    SemanticIoU,
    format_table,
    merge_results,
)
from panoptic_deeplab.structures import Category, DatasetInfo, PanopticMap, Prediction, Segment

ROAD, SKY, CAR, PERSON = range(4)
INFO = DatasetInfo(
    "tiny",
    (
        Category("road", False, (128, 64, 128), 7),
        Category("sky", False, (70, 130, 180), 23),
        Category("car", True, (0, 0, 142), 26),
        Category("person", True, (220, 20, 60), 24),
    ),
)
LARGEST_ID = 2**24 - 1


def truth_of(rows, segments):
    """An annotation from rows of ids; areas that are left at 0 are counted in the map."""
    ids = np.array(rows, np.int32)
    counted = [
        segment
        if segment.area
        else dataclasses.replace(segment, area=int((ids == segment.id).sum()))
        for segment in segments
    ]
    return PanopticMap(ids, counted)


def prediction_of(rows, segments):
    return Prediction(np.array(rows, np.int32), segments)


def score(*pairs):
    evaluator = PanopticQuality(INFO)
    for prediction, truth in pairs:
        evaluator.update(prediction, truth)
    return evaluator.compute()


def counts(results, name):
    entry = results["per_class"][name]
    return entry["tp"], entry["fp"], entry["fn"]


STREET = [
    [1, 1, 1, 1],
    [1, 5, 5, 1],
    [2, 5, 5, 6],
    [2, 2, 2, 6],
]
STREET_SEGMENTS = [Segment(1, SKY), Segment(2, ROAD), Segment(5, CAR), Segment(6, PERSON)]


def test_the_annotation_as_prediction_scores_one():
    results = score((prediction_of(STREET, STREET_SEGMENTS), truth_of(STREET, STREET_SEGMENTS)))
    for group, n in (("All", 4), ("Things", 2), ("Stuff", 2)):
        assert results[group] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": n}
    assert results["per_class"]["car"] == {"pq": 1, "sq": 1, "rq": 1, "tp": 1, "fp": 0, "fn": 0}


def test_every_number_of_a_small_scene():
    # The car loses one of its four pixels to the road; sky and person are exact.
    predicted = [[1, 1, 1, 1], [1, 5, 5, 1], [2, 2, 5, 6], [2, 2, 2, 6]]
    results = score((prediction_of(predicted, STREET_SEGMENTS), truth_of(STREET, STREET_SEGMENTS)))
    per_class = results["per_class"]
    assert per_class["car"]["pq"] == pytest.approx(3 / 4)
    assert per_class["road"]["pq"] == pytest.approx(4 / 5)
    assert per_class["sky"]["pq"] == per_class["person"]["pq"] == 1
    assert results["All"]["pq"] == pytest.approx((3 / 4 + 4 / 5 + 1 + 1) / 4)
    assert results["Things"]["sq"] == pytest.approx((3 / 4 + 1) / 2)


@pytest.mark.parametrize(
    ("predicted", "matched"),
    [
        ([[5, 5, 0, 0]], False),  # 2 of 4 pixels: IoU is .5, not above
        ([[5, 5, 5, 0]], True),  # 3 of 4
    ],
)
def test_half_is_not_enough_to_match(predicted, matched):
    car = [Segment(5, CAR)]
    results = score((prediction_of(predicted, car), truth_of([[5, 5, 5, 5]], car)))
    assert counts(results, "car") == ((1, 0, 0) if matched else (0, 1, 1))


def test_another_class_never_matches():
    results = score(
        (prediction_of([[5, 5]], [Segment(5, PERSON)]), truth_of([[5, 5]], [Segment(5, CAR)]))
    )
    assert counts(results, "car") == (0, 0, 1)
    assert counts(results, "person") == (0, 1, 0)


def test_predicted_pixels_on_void_leave_the_union():
    # Two pixels right, two on void: the union is 4 + 2 - 2 - 2 = 2.
    car = [Segment(5, CAR)]
    results = score((prediction_of([[5, 5, 5, 5]], car), truth_of([[5, 5, 0, 0]], car)))
    assert results["per_class"]["car"]["pq"] == 1


@pytest.mark.parametrize(
    ("annotated", "false_alarms"),
    [
        ([[1, 1, 0, 0]], 1),  # half on void: still wrong
        ([[1, 0, 0, 0]], 0),  # more than half
        ([[1, 9, 9, 9]], 0),  # on a crowd of cars
        ([[1, 9, 9, 0]], 0),  # void and crowd add up
        ([[1, 8, 8, 8]], 1),  # on a crowd of persons
    ],
)
def test_a_car_mostly_on_void_or_a_crowd_of_cars_is_no_false_alarm(annotated, false_alarms):
    possible = [Segment(1, ROAD), Segment(9, CAR, True), Segment(8, PERSON, True)]
    segments = [segment for segment in possible if segment.id in annotated[0]]
    results = score(
        (prediction_of([[5, 5, 5, 5]], [Segment(5, CAR)]), truth_of(annotated, segments))
    )
    assert counts(results, "car") == (0, false_alarms, 0)
    assert counts(results, "person") == (0, 0, 0)  # a crowd is never missed


def test_a_crowd_is_never_matched():
    crowd = [Segment(9, CAR, True)]
    results = score((prediction_of([[9, 9]], [Segment(9, CAR)]), truth_of([[9, 9]], crowd)))
    assert counts(results, "car") == (0, 0, 0)


def test_of_two_crowds_of_a_class_only_the_last_listed_counts():
    crowds = [Segment(8, CAR, True), Segment(9, CAR, True)]
    predicted = prediction_of([[5, 5, 6, 6]], [Segment(5, CAR), Segment(6, CAR)])
    assert counts(score((predicted, truth_of([[8, 8, 9, 9]], crowds))), "car") == (0, 1, 0)


def test_annotated_areas_are_those_of_the_annotation():
    # The map has 2 pixels, the annotation says 3: the union is 2 + 3 - 2.
    truth = truth_of([[5, 5, 0]], [Segment(5, CAR, area=3)])
    results = score((prediction_of([[5, 5, 0]], [Segment(5, CAR, area=77)]), truth))
    assert results["per_class"]["car"]["pq"] == pytest.approx(2 / 3)


def test_where_the_annotation_has_no_area_the_pixels_count():
    truth = truth_of([[5, 5, 0]], [Segment(5, CAR, area=None)])
    results = score((prediction_of([[5, 0, 0]], [Segment(5, CAR)]), truth))
    assert counts(results, "car") == (0, 1, 1)  # an IoU of 1 / 2 is no match
    results = score((prediction_of([[5, 5, 0]], [Segment(5, CAR)]), truth))
    assert results["per_class"]["car"]["pq"] == 1


@pytest.mark.parametrize("area", [0, 9])
def test_an_annotated_segment_without_pixels_is_missed(area):
    truth = truth_of([[1, 0]], [Segment(1, ROAD), Segment(5, CAR, area=area)])
    predicted = prediction_of([[1, 5]], [Segment(1, ROAD), Segment(5, CAR)])
    assert counts(score((predicted, truth)), "car") == (0, 0, 1)


def test_an_annotated_id_that_no_segment_claims_is_not_void():
    truth = truth_of([[1, 7, 7]], [Segment(1, ROAD)])
    results = score((prediction_of([[1, 5, 5]], [Segment(1, ROAD), Segment(5, CAR)]), truth))
    assert counts(results, "car") == (0, 1, 0)


def test_the_last_of_two_segments_with_one_id_counts():
    both = [Segment(5, CAR), Segment(5, PERSON)]
    results = score((prediction_of([[5, 5]], both), truth_of([[5, 5]], [Segment(5, PERSON)])))
    assert counts(results, "person") == (1, 0, 0)
    assert counts(results, "car") == (0, 0, 0)


def test_a_predicted_segment_may_have_id_zero():
    # COCO's void is 0, but panopticapi takes the list's word for it.
    results = score(
        (prediction_of([[0, 0]], [Segment(0, CAR)]), truth_of([[5, 5]], [Segment(5, CAR)]))
    )
    assert counts(results, "car") == (1, 0, 0)


def test_an_empty_prediction_misses_everything():
    results = score((prediction_of(np.zeros((4, 4)), []), truth_of(STREET, STREET_SEGMENTS)))
    assert results["All"] == {"pq": 0.0, "sq": 0.0, "rq": 0.0, "n": 4}
    assert counts(results, "road") == (0, 0, 1)


def test_a_group_that_never_occurs_is_not_a_number():
    sky = [Segment(1, SKY)]
    results = score((prediction_of([[1, 1]], sky), truth_of([[1, 1]], sky)))
    assert results["All"]["pq"] == results["Stuff"]["pq"] == 1
    assert results["Stuff"]["n"] == 1
    assert results["Things"]["n"] == 0
    assert all(math.isnan(results["Things"][key]) for key in ("pq", "sq", "rq"))
    assert math.isnan(results["per_class"]["road"]["pq"])


def test_nothing_at_all_is_not_a_number():
    empty = prediction_of([[0, 0]], [])
    for results in (score(), score((empty, truth_of([[0, 0]], [])))):
        assert math.isnan(results["All"]["pq"])
        assert results["All"]["n"] == 0


def test_many_segments_and_the_largest_ids():
    ids = LARGEST_ID - np.arange(24 * 25, dtype=np.int32).reshape(24, 25)
    segments = [Segment(int(value), CAR) for value in ids.ravel()]
    # Every pixel is a car, and what the prediction calls it does not matter.
    results = score((prediction_of(ids[::-1, ::-1], segments), truth_of(ids, segments)))
    assert counts(results, "car") == (600, 0, 0)
    # All pixels but the last are one large car.
    ids = np.where(ids == ids.min(), ids, LARGEST_ID)
    results = score((prediction_of(ids, [segments[0], segments[-1]]), truth_of(ids, segments)))
    assert counts(results, "car") == (2, 0, 598)


CAR_TRUTH = truth_of([[5, 5, 5]], [Segment(5, CAR)])


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (prediction_of([[5, 5]], [Segment(5, CAR)]), CAR_TRUTH, "1x2 .* 1x3"),
        (prediction_of([[5], [5], [5]], [Segment(5, CAR)]), CAR_TRUTH, "3x1 .* 1x3"),
        (prediction_of([5, 5, 5], [Segment(5, CAR)]), truth_of([5, 5, 5], []), "got 3$"),
        (prediction_of([[]], []), truth_of([[]], []), "got 1x0"),
        (prediction_of([[5, 5, 4]], [Segment(5, CAR)]), CAR_TRUTH, "has id 4,"),
        (prediction_of([[5, 5, -2]], [Segment(5, CAR)]), CAR_TRUTH, "has id -2,"),
        (prediction_of([[1, 2, 3]], []), CAR_TRUTH, "has id 1, 2, 3, "),
        (
            prediction_of([[5, 5, 5]], [Segment(5, CAR), Segment(6, CAR)]),
            CAR_TRUTH,
            "lists segment 6, which no pixel",
        ),
        (
            prediction_of([[0, 0, 0]], [Segment(value, CAR) for value in range(1, 9)]),
            CAR_TRUTH,
            "lists segment 1, 2, 3, 4, 5 and 3 more",
        ),
        (prediction_of([[5, 5, 5]], [Segment(5, 4)]), CAR_TRUTH, "category 4, expected .* 0..3"),
        (
            prediction_of([[5, 5, 5]], [Segment(5, CAR)]),
            PanopticMap(CAR_TRUTH.ids, [Segment(5, -1)]),
            "category -1",
        ),
        (
            prediction_of([[5, 5, 0]], [Segment(5, CAR)]),
            PanopticMap(CAR_TRUTH.ids, [Segment(5, CAR)]),
            "annotated segment 5 has area 0",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_and_not_counted(prediction, truth, message):
    evaluator = PanopticQuality(INFO)
    with pytest.raises(DataError, match=message):
        evaluator.update(prediction, truth)
    assert all((array == 0).all() for array in evaluator.state().values())


def random_map(rng, segments):
    """[48, 64] ids of rectangles painted over each other, some of them void."""
    ids = np.zeros((48, 64), np.int32)
    for segment in [*segments, None, None]:
        top, left = rng.integers(0, (40, 54))
        height, width = rng.integers(3, 30, 2)
        ids[top : top + height, left : left + width] = segment.id if segment else 0
    return ids


def random_pair(rng):
    """An annotation with crowds and void, and a prediction that is partly right."""
    chosen = rng.choice(LARGEST_ID - 1, 24, replace=False) + 1
    annotated = [
        Segment(int(value), int(rng.integers(4)), iscrowd=bool(rng.random() < 0.25))
        for value in chosen[:12]
    ]
    ids = random_map(rng, annotated)
    truth = truth_of(ids, [segment for segment in annotated if (ids == segment.id).any()])

    shifted = np.roll(ids, rng.integers(-2, 3, 2), (0, 1))
    renamed = {
        int(old): int(new) for old, new in zip(chosen[:12], rng.permutation(chosen), strict=False)
    }
    predicted = np.vectorize(lambda value: renamed.get(value, 0), otypes=[np.int32])(shifted)
    categories = {
        renamed[segment.id]: segment.category if rng.random() < 0.8 else int(rng.integers(4))
        for segment in annotated
    }
    late = Segment(LARGEST_ID, PERSON)
    predicted[5:9, 10:20] = late.id
    categories[late.id] = late.category
    present = [int(value) for value in np.unique(predicted) if value]
    return Prediction(predicted, [Segment(value, categories[value]) for value in present]), truth


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    return [random_pair(rng) for _ in range(40)]


def write_png(path, ids):
    channels = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1)
    Image.fromarray(channels.astype(np.uint8)).save(path)


def official_annotation(name, segments):
    entries = [
        {"id": s.id, "category_id": s.category, "iscrowd": int(s.iscrowd), "area": s.area}
        for s in segments
    ]
    return {"image_id": name, "file_name": f"{name}.png", "segments_info": entries}


def official_results(pairs, folder):
    """What cityscapesscripts says of the same maps, its category ids being the class indices."""
    annotations = []
    for side in ("truth", "prediction"):
        (folder / side).mkdir()
    for index, (prediction, truth) in enumerate(pairs):
        write_png(folder / "truth" / f"{index}.png", truth.ids)
        write_png(folder / "prediction" / f"{index}.png", prediction.ids)
        annotations.append(
            (
                official_annotation(str(index), truth.segments),
                official_annotation(str(index), prediction.segments),
            )
        )
    categories = {
        index: {"isthing": int(category.is_thing)} for index, category in enumerate(INFO.categories)
    }
    stat = pq_compute_single_core(
        0, annotations, str(folder / "truth"), str(folder / "prediction"), categories
    )
    return stat, average_pq(stat, categories)


def test_agrees_with_cityscapesscripts(pairs, tmp_path):
    stat, expected = official_results(pairs, tmp_path)
    results = score(*pairs)
    for group in ("All", "Things", "Stuff"):
        assert results[group] == pytest.approx(expected[group], abs=1e-12)
    for index, category in enumerate(INFO.categories):
        entry = results["per_class"][category.name]
        measured = {key: entry[key] for key in ("pq", "sq", "rq")}
        assert measured == pytest.approx(expected["per_class"][index], abs=1e-12)
        assert counts(results, category.name) == (stat[index].tp, stat[index].fp, stat[index].fn)
        assert min(counts(results, category.name)) > 0  # the scenes try every rule


def test_parts_merged_are_the_whole(pairs):
    whole, merged = PanopticQuality(INFO), PanopticQuality(INFO)
    parts = [PanopticQuality(INFO) for _ in range(3)]
    for index, pair in enumerate(pairs):
        whole.update(*pair)
        parts[index % 3].update(*pair)
    for part in parts:
        merged.merge(part.state())
    for key, value in whole.state().items():
        np.testing.assert_allclose(merged.state()[key], value, rtol=1e-14)
        assert merged.state()[key].dtype == value.dtype


def test_reset_forgets_and_a_state_is_a_copy(pairs):
    evaluator = PanopticQuality(INFO)
    before = evaluator.state()
    evaluator.update(*pairs[0])
    assert sum(before["tp"]) == 0 < sum(evaluator.state()["tp"])
    evaluator.reset()
    assert sum(evaluator.state()["tp"]) == 0


# The table and the JSON of all measures together.


def all_results():
    """A prediction that takes the person for a car, by all evaluators."""
    prediction = prediction_of(STREET, [*STREET_SEGMENTS[:3], Segment(6, CAR)])
    evaluators = PanopticQuality(INFO), SemanticIoU(INFO), InstanceAP(INFO)
    for evaluator in evaluators:
        evaluator.update(prediction, truth_of(STREET, STREET_SEGMENTS))
    return evaluators, [evaluator.compute() for evaluator in evaluators]


def test_merged_results_keep_every_measure_in_its_place():
    _, results = all_results()
    merged = merge_results(results)
    assert merged["All"] == results[0]["All"]
    assert merged["miou"] == results[1]["miou"]
    assert math.isnan(merged["ap"])  # nothing reaches 100 pixels
    assert merged["per_class"]["car"].keys() == {
        *("pq", "sq", "rq", "tp", "fp", "fn", "iou", "ap", "ap50")
    }
    assert merged["per_class"]["road"]["iou"] == results[1]["per_class"]["road"]
    assert "ap" not in merged["per_class"]["road"]
    assert "iou" not in results[0]["per_class"]["road"]  # the parts stay as they were


def test_without_measures_of_images_there_is_no_table():
    assert format_table({"stq": 0.5}, INFO) == ""


def test_the_table_of_all_measures():
    _, results = all_results()
    # A false positive for cars (PQ 1 / 1.5), a person missed, no instance of 100 pixels for AP.
    assert format_table(merge_results(results), INFO) == "\n".join(
        [
            "tiny, %      PQ      SQ      RQ     IoU   AP  AP50",
            "--------------------------------------------------",
            "All       66.67   75.00   66.67   66.67  n/a   n/a",
            "Things    33.33   50.00   33.33       -    -     -",
            "Stuff    100.00  100.00  100.00       -    -     -",
            "--------------------------------------------------",
            "road     100.00  100.00  100.00  100.00    -     -",
            "sky      100.00  100.00  100.00  100.00    -     -",
            "car       66.67  100.00   66.67   66.67  n/a   n/a",
            "person     0.00    0.00    0.00    0.00  n/a   n/a",
        ]
    )


@pytest.mark.parametrize(
    ("chosen", "columns"),
    [
        ([0], ["PQ", "SQ", "RQ"]),
        ([1], ["IoU"]),
        ([0, 1], ["PQ", "SQ", "RQ", "IoU"]),
        ([1, 2], ["IoU", "AP", "AP50"]),
    ],
)
def test_the_table_has_the_measures_that_were_taken(chosen, columns):
    _, results = all_results()
    table = format_table(merge_results([results[index] for index in chosen]), INFO)
    assert table.splitlines()[0].split()[2:] == columns
    assert "\x1b" not in table
