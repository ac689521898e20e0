"""mIoU on maps that can be checked by eye, and against cityscapesscripts on random ones."""

import copy
import math

import numpy as np
import pytest
from cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling import args as official_args
from cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling import evaluateImgLists
from PIL import Image

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation import SemanticIoU
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS
from panoptic_deeplab.structures import Category, DatasetInfo, PanopticMap, Prediction, Segment

ROAD, SKY, CAR = range(3)
VOID = 255
INFO = DatasetInfo(
    "tiny",
    (
        Category("road", False, (128, 64, 128), 7),
        Category("sky", False, (70, 130, 180), 23),
        Category("car", True, (0, 0, 142), 26),
    ),
)
SEGMENTS = [Segment(1, ROAD), Segment(2, SKY), Segment(5, CAR), Segment(6, CAR)]
STREET = PanopticMap(
    np.array([[2, 2, 2, 0], [5, 5, 6, 6], [1, 1, 1, 1]], np.int32),
    SEGMENTS,
)


def labels_of(rows, dtype=np.uint8):
    """A prediction by its semantic labels alone."""
    labels = np.array(rows, dtype)
    return Prediction(np.zeros(labels.shape, np.int32), [], labels)


def score(*pairs, info=INFO):
    evaluator = SemanticIoU(info)
    for prediction, truth in pairs:
        evaluator.update(prediction, truth)
    return evaluator.compute()


def test_the_annotation_as_prediction_scores_one():
    results = score((labels_of(STREET.semantic(VOID)), STREET))
    assert results == {
        "miou": 1.0,
        "fwiou": 1.0,
        "pixel_accuracy": 1.0,
        "per_class": {"road": 1.0, "sky": 1.0, "car": 1.0},
    }


def test_every_number_of_a_small_scene():
    # One car pixel becomes road; what stands on void does not matter.
    rows = [[SKY, SKY, SKY, ROAD], [CAR, CAR, CAR, ROAD], [ROAD, ROAD, ROAD, ROAD]]
    results = score((labels_of(rows), STREET))
    assert results["per_class"] == pytest.approx({"road": 4 / 5, "sky": 1, "car": 3 / 4})
    assert results["miou"] == pytest.approx((4 / 5 + 1 + 3 / 4) / 3)
    assert results["fwiou"] == pytest.approx((4 * 4 / 5 + 3 * 1 + 4 * 3 / 4) / 11)
    assert results["pixel_accuracy"] == pytest.approx(10 / 11)


@pytest.mark.parametrize(("dtype", "nothing"), [(np.uint8, VOID), (np.int64, -1), (np.int32, 3)])
def test_no_class_on_a_valid_pixel_is_a_miss_and_no_false_alarm(dtype, nothing):
    rows = [[SKY, SKY, SKY, SKY], [nothing, CAR, CAR, CAR], [ROAD, ROAD, ROAD, ROAD]]
    results = score((labels_of(rows, dtype), STREET))
    assert results["per_class"] == pytest.approx({"road": 1, "sky": 1, "car": 3 / 4})
    assert results["pixel_accuracy"] == pytest.approx(10 / 11)


def test_a_class_predicted_but_not_annotated_scores_zero():
    truth = PanopticMap(np.array([[1, 1]], np.int32), SEGMENTS[:1])
    results = score((labels_of([[ROAD, CAR]]), truth))
    assert results["per_class"]["car"] == 0
    assert math.isnan(results["per_class"]["sky"])
    assert results["miou"] == pytest.approx((1 / 2 + 0) / 2)


def test_crowds_count_as_their_class():
    truth = PanopticMap(np.array([[5, 9]], np.int32), [Segment(5, CAR), Segment(9, CAR, True)])
    assert score((labels_of([[CAR, CAR]]), truth))["per_class"]["car"] == 1


def test_an_annotated_id_that_no_segment_claims_is_void():
    truth = PanopticMap(np.array([[1, 7]], np.int32), SEGMENTS[:1])
    assert score((labels_of([[ROAD, SKY]]), truth))["per_class"]["road"] == 1


def test_without_labels_the_classes_of_the_segments_count():
    ids = np.array([[2, 2, 2, 0], [0, 9, 9, 9], [1, 1, 1, 1]], np.int32)
    fused = Prediction(ids, [Segment(1, ROAD), Segment(2, SKY), Segment(9, CAR)])
    labels = labels_of(fused.semantic(VOID))
    assert score((fused, STREET)) == score((labels, STREET))
    assert score((fused, STREET))["per_class"]["car"] == pytest.approx(3 / 4)


def test_labels_come_before_segments():
    labels = STREET.semantic(VOID)
    both = Prediction(np.full((3, 4), 4, np.int32), [Segment(4, ROAD)], labels)
    assert score((both, STREET))["miou"] == 1


def test_the_largest_ids():
    ids = np.where(STREET.ids > 0, 2**24 - 7 + STREET.ids, 0).astype(np.int32)
    segments = [Segment(2**24 - 7 + segment.id, segment.category) for segment in SEGMENTS]
    results = score((Prediction(ids, segments), PanopticMap(ids, segments)))
    assert results["miou"] == 1


def test_nothing_at_all_is_not_a_number():
    void = PanopticMap(np.zeros((1, 2), np.int32), [])
    for results in (score(), score((labels_of([[ROAD, CAR]]), void))):
        assert all(math.isnan(results[key]) for key in ("miou", "fwiou", "pixel_accuracy"))
        assert all(math.isnan(value) for value in results["per_class"].values())


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (labels_of([[ROAD] * 4]), "1x4 .* 3x4"),
        (Prediction(np.zeros((3, 5), np.int32), []), "3x5 .* 3x4"),
        (Prediction(np.full((3, 4), 8, np.int32), []), "has id 8"),
        (Prediction(np.full((3, 4), 8, np.int32), [Segment(8, 3)]), "category 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(prediction, message):
    with pytest.raises(DataError, match=message):
        score((prediction, STREET))


def random_pair(rng):
    """An annotation and labels that are partly right, some pixels without a class."""
    segments = [
        Segment(index + 1, int(rng.integers(CITYSCAPES.num_classes - 4)), bool(rng.random() < 0.3))
        for index in range(12)
    ]
    ids = np.repeat(rng.integers(0, 13, (24, 4)), 12, axis=1).astype(np.int32)
    truth = PanopticMap(ids, segments)
    noise = rng.integers(0, CITYSCAPES.num_classes - 1, ids.shape)
    labels = np.where(rng.random(ids.shape) < 0.3, noise, truth.semantic(VOID))
    labels[rng.random(ids.shape) < 0.1] = VOID
    return Prediction(np.zeros_like(ids), [], labels.astype(np.uint8)), truth


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    return [random_pair(rng) for _ in range(8)]


def official_results(pairs, folder):
    """What cityscapesscripts says of the same maps as PNGs of its label ids."""
    official_id = np.zeros(256, np.uint8)  # 0, "unlabeled", for void
    official_id[: len(LABEL_IDS)] = LABEL_IDS
    files = []
    for index, (prediction, truth) in enumerate(pairs):
        files.append((str(folder / f"{index}_pred.png"), str(folder / f"{index}_labelIds.png")))
        Image.fromarray(official_id[prediction.labels]).save(files[-1][0])
        Image.fromarray(official_id[truth.semantic(VOID)]).save(files[-1][1])
    args = copy.copy(official_args)
    args.quiet, args.JSONOutput, args.evalInstLevelScore = True, False, False
    predicted, annotated = map(list, zip(*files, strict=True))
    return evaluateImgLists(predicted, annotated, args)


def test_agrees_with_cityscapesscripts(pairs, tmp_path):
    expected = official_results(pairs, tmp_path)
    results = score(*pairs, info=CITYSCAPES)
    assert results["miou"] == pytest.approx(expected["averageScoreClasses"], abs=1e-12)
    for name, iou in results["per_class"].items():
        assert iou == pytest.approx(expected["classScores"][name], abs=1e-12, nan_ok=True)
    # The last class never occurs; those before it are predicted only.
    assert math.isnan(results["per_class"]["bicycle"])
    assert results["per_class"]["motorcycle"] == 0
    assert 0.1 < results["miou"] < 0.9


def test_parts_merged_are_the_whole(pairs):
    whole, merged = SemanticIoU(CITYSCAPES), SemanticIoU(CITYSCAPES)
    for pair in pairs:
        whole.update(*pair)
        part = SemanticIoU(CITYSCAPES)
        part.update(*pair)
        merged.merge(part.state())
    np.testing.assert_array_equal(merged.state()["confusion"], whole.state()["confusion"])
    whole.reset()
    assert not whole.state()["confusion"].any()
