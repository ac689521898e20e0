"""The majority vote: which class an instance takes, which stuff is kept."""

from __future__ import annotations

import numpy as np
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion import majority_vote, vote_from_counts
from panoptic_deeplab.structures import Segment

ROAD, SKY, CAR, BUS = 0, 1, 2, 3
THINGS = (CAR, BUS)


def test_an_instance_takes_the_class_most_of_its_thing_pixels_have() -> None:
    semantic = np.array([[CAR, CAR, BUS, ROAD, ROAD]])
    instances = np.array([[1, 1, 1, 1, 0]])
    panoptic = majority_vote(semantic, instances, thing_ids=THINGS, min_stuff_area=1)
    # the road pixel inside the instance belongs to nobody
    assert panoptic.tolist() == [[2001, 2001, 2001, 255, 0]]


def test_instances_are_numbered_in_each_class() -> None:
    semantic = np.array([[CAR, BUS, CAR]])
    panoptic = majority_vote(
        semantic, np.array([[1, 2, 3]]), thing_ids=THINGS, min_stuff_area=1, label_divisor=10
    )
    assert panoptic.tolist() == [[21, 31, 22]]


def test_on_a_tie_the_lower_class_wins() -> None:
    panoptic = majority_vote(
        np.array([[BUS, CAR]]), np.array([[1, 1]]), thing_ids=THINGS, min_stuff_area=1
    )
    assert panoptic.tolist() == [[2001, 2001]]


def test_thing_pixels_of_no_instance_are_void() -> None:
    panoptic = majority_vote(
        np.array([[CAR, ROAD]]), np.array([[0, 0]]), thing_ids=THINGS, min_stuff_area=1
    )
    assert panoptic.tolist() == [[255, 0]]


def test_small_stuff_is_void_and_its_area_counts_pixels_of_no_instance() -> None:
    semantic = np.array([[ROAD, ROAD, SKY, SKY, SKY]])
    instances = np.array([[0, 0, 1, 0, 0]])
    panoptic = majority_vote(semantic, instances, thing_ids=THINGS, min_stuff_area=2)
    assert panoptic.tolist() == [[0, 0, 255, 1, 1]]
    panoptic = majority_vote(semantic, instances, thing_ids=THINGS, min_stuff_area=3)
    assert (panoptic == 255).all()


def test_more_instances_than_the_divisor_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="label_divisor 2 cannot number 2 instances"):
        majority_vote(
            np.array([[CAR, CAR]]),
            np.array([[1, 2]]),
            thing_ids=THINGS,
            min_stuff_area=1,
            label_divisor=2,
        )


def test_an_instance_without_thing_pixels_gets_no_number() -> None:
    """The first instance has a pixel of road, the second one of car."""
    table, segments = vote_from_counts(
        np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]), THINGS, 1
    )
    assert table.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]]
    assert segments == [Segment(1, CAR, area=1, is_thing=True)]


def test_stuff_only_and_things_only() -> None:
    stuff, _ = vote_from_counts(np.array([[1, 1]]), (), 1)
    assert stuff.tolist() == [[1, 2]]
    things, _ = vote_from_counts(np.array([[0, 0], [1, 1]]), (0, 1), 1)
    assert things.tolist() == [[0, 0], [1, 1]]


def test_stuff_with_the_usual_number_of_void_is_a_class() -> None:
    """Only a map of classes has void pixels; counts are of classes alone."""
    table, segments = vote_from_counts(np.full((1, 300), 2), (), 1)
    assert [segment.category for segment in segments] == list(range(300))
    assert table.tolist() == [list(range(1, 301))]
