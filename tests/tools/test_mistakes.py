"""Mistakes by kind, on maps of 8 x 8: 0 void, 1 road, 2 sky, 3 and 4 persons, 5 to 7 cars."""

from __future__ import annotations

import numpy as np
import pytest
from comparing.errors import KINDS, ErrorCounts, find_mistakes
from toy_street import CAR, INFO, PERSON, ROAD, SKY

from panoptic_deeplab.evaluation import PanopticQuality
from panoptic_deeplab.structures import PanopticMap, Prediction, Segment

CLASS_OF = {1: ROAD, 2: SKY, 3: PERSON, 4: PERSON, 5: CAR, 6: CAR, 7: CAR}


def segment_map(text: str, crowd: tuple[int, ...] = ()) -> PanopticMap:
    """The map whose rows are the words of a text."""
    ids = np.array([list(row) for row in text.split()], np.int32)
    numbers, areas = np.unique(ids[ids > 0], return_counts=True)
    segments = [
        Segment(n, CLASS_OF[n], iscrowd=n in crowd, area=area)
        for n, area in zip(numbers.tolist(), areas.tolist(), strict=True)
    ]
    return PanopticMap(ids, segments)


def mistakes_of(truth: PanopticMap, predicted: str) -> tuple[dict[int, list[str]], list[int]]:
    """Class -> kinds of its annotated segments that are not found; classes of the false ones."""
    result = segment_map(predicted)
    found = find_mistakes(Prediction(result.ids, result.segments), truth, INFO)
    kinds: dict[int, list[str]] = {}
    for category, kind in found.of_truth:
        if kind:
            kinds.setdefault(category, []).append(kind)
    return kinds, found.false


ROADS = "11111111 " * 4
CASES = {
    "nothing wrong": (ROADS + "55551111 " * 4, ROADS + "55551111 " * 4, {}, []),
    "the car is road": (ROADS + "55551111 " * 4, "11111111 " * 8, {CAR: ["missed"]}, []),
    "two cars are one": (
        ROADS + "55551111 55551111 66661111 66661111",
        ROADS + "55551111 " * 4,
        {CAR: ["merged", "merged"]},
        [],
    ),
    "the small car is part of the large one, which is found": (
        ROADS + "55555561 " * 4,
        ROADS + "55555551 " * 4,
        {CAR: ["merged"]},
        [],
    ),
    "a car in two halves": (
        ROADS + "55555555 " * 4,
        ROADS + "55556666 " * 4,
        {CAR: ["split"]},
        [],
    ),
    "a piece cut off a car that is found": (
        ROADS + "55555555 " * 4,
        ROADS + "55555566 " * 4,
        {},
        [CAR],
    ),
    "a car called person": (
        ROADS + "55551111 " * 4,
        ROADS + "33331111 " * 4,
        {CAR: ["wrong class"]},
        [],
    ),
    "a quarter of the car": (
        ROADS + "55551111 " * 4,
        ROADS + "51111111 " * 4,
        {CAR: ["bad mask"]},
        [],
    ),
    "a sixteenth of the car": (
        ROADS + "55551111 " * 4,
        "11111111 " * 7 + "51111111",
        {CAR: ["missed"]},
        [CAR],
    ),
    "a person where there is road": (ROADS * 2, ROADS + "33111111 " * 4, {}, [PERSON]),
    "a person on void": ("11111100 " * 8, "11111133 " * 8, {}, []),
    "sky that is road": ("22222222 " * 2 + "11111111 " * 6, ROADS * 2, {SKY: ["missed"]}, []),
    "sky where there is road": (ROADS * 2, "22222222 " * 2 + "11111111 " * 6, {}, [SKY]),
    "half of the sky": (
        "22222222 " * 4 + ROADS,
        "22222222 22222222 " + "00000000 " * 2 + ROADS,
        {SKY: ["bad mask"]},
        [],
    ),
    "sky and road exchanged": (
        "22222222 " * 4 + ROADS,
        ROADS + "22222222 " * 4,
        {ROAD: ["wrong class"], SKY: ["wrong class"]},
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_kinds_of_mistakes(case: str) -> None:
    truth, predicted, kinds, false = CASES[case]
    assert mistakes_of(segment_map(truth), predicted) == (kinds, false)


def test_a_crowd_is_not_to_be_found_and_excuses_what_lies_on_it() -> None:
    truth = segment_map(ROADS + "55555555 " * 4, crowd=(5,))
    assert mistakes_of(truth, ROADS + "66775511 " * 4) == ({}, [])


def random_map(seed: int) -> PanopticMap:
    """Rectangles of all segments on void, later ones in front."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((16, 16), np.int32)
    for number in rng.permutation(list(CLASS_OF)):
        top, left = rng.integers(0, 12, 2)
        ids[top : top + rng.integers(2, 14), left : left + rng.integers(2, 14)] = number
    return segment_map("\n".join("".join(map(str, row)) for row in ids), crowd=(7,) * (seed % 2))


def test_the_kinds_add_up_to_the_false_negatives_of_panoptic_quality() -> None:
    scores, counts = PanopticQuality(INFO), ErrorCounts(INFO)
    for seed in range(200):
        truth, result = random_map(seed), random_map(1000 + 2 * seed)
        prediction = Prediction(result.ids, result.segments)
        scores.update(prediction, truth)
        counts.add(find_mistakes(prediction, truth, INFO))
    state, computed = scores.state(), counts.compute()
    for index, category in enumerate(INFO.categories):
        kinds = dict(computed["per_class"][category.name])
        annotated, false = kinds.pop("annotated"), kinds.pop("false")
        assert sum(kinds.values()) == state["fn"][index] > 0
        assert annotated == state["fn"][index] + state["tp"][index]
        assert 0 < false <= state["fp"][index]
    seen = {k for name in ("person", "car") for k, n in computed["per_class"][name].items() if n}
    assert seen == {"annotated", *KINDS}
    assert set(computed["Stuff"]) == {"annotated", "missed", "wrong class", "bad mask", "false"}


def test_the_quality_of_an_image_is_panoptic_quality_with_all_classes_pooled() -> None:
    """Road found with IoU 32 / 48, one car missed: (2 / 3) / (1 + 1 / 2)."""
    truth, result = segment_map(ROADS + "55550000 " * 4), segment_map(ROADS + "11110000 " * 4)
    found = find_mistakes(Prediction(result.ids, result.segments), truth, INFO)
    assert found.quality == pytest.approx(32 / 48 / 1.5)
    assert found.by_kind() == {"missed": 1}
