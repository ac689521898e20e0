"""Centers and groups on maps small enough to check by eye, by the sparse form and the plain one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.postprocess import plain, sparse

FORMS = {
    "sparse": sparse,
    "plain": SimpleNamespace(
        find_centers=lambda heatmap, threshold=0.1, nms_kernel=7, top_k=200: plain.find_centers(
            heatmap, threshold, nms_kernel, top_k
        ),
        group_pixels=plain.group_pixels,
    ),
}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> SimpleNamespace:
    return FORMS[request.param]


def heatmap(*peaks: tuple[int, int, float], size: tuple[int, int] = (6, 6)) -> np.ndarray:
    values = np.zeros(size, np.float32)
    for y, x, value in peaks:
        values[y, x] = value
    return values


def test_a_center_has_the_highest_value_in_its_window(form: SimpleNamespace) -> None:
    found = form.find_centers(heatmap((1, 1, 0.9), (1, 2, 0.8), (5, 5, 0.5)), nms_kernel=3)
    assert found.tolist() == [[1, 1], [5, 5]]


def test_the_threshold_must_be_exceeded(form: SimpleNamespace) -> None:
    at = np.float32(0.1)
    above = np.nextafter(at, np.float32(1))
    found = form.find_centers(heatmap((0, 0, at), (3, 3, above)), threshold=float(at), nms_kernel=3)
    assert found.tolist() == [[3, 3]]


def test_a_plateau_is_one_center(form: SimpleNamespace) -> None:
    """The reference returns one center a pixel here: two instances instead of one."""
    found = form.find_centers(heatmap((2, 2, 0.5), (2, 3, 0.5), (3, 2, 0.5)), nms_kernel=3)
    assert found.tolist() == [[2, 2]]


def test_an_equal_value_at_the_left_below_counts_as_later(form: SimpleNamespace) -> None:
    assert form.find_centers(heatmap((2, 3, 0.5), (3, 2, 0.5)), nms_kernel=3).tolist() == [[2, 3]]


def test_top_k_keeps_k_centers(form: SimpleNamespace) -> None:
    """The reference keeps what is strictly above the k-th: with k candidates it loses one."""
    found = form.find_centers(heatmap((0, 0, 0.5), (0, 4, 0.9), (4, 0, 0.7)), nms_kernel=3, top_k=2)
    assert found.tolist() == [[0, 4], [4, 0]]


def test_top_k_on_ties_keeps_the_earlier(form: SimpleNamespace) -> None:
    """The reference loses all of them."""
    found = form.find_centers(heatmap((0, 0, 0.5), (0, 4, 0.5), (4, 0, 0.5)), nms_kernel=3, top_k=2)
    assert found.tolist() == [[0, 0], [0, 4]]


def test_no_center(form: SimpleNamespace) -> None:
    assert form.find_centers(heatmap()).shape == (0, 2)


@pytest.mark.parametrize("arguments", [{"nms_kernel": 4}, {"nms_kernel": 0}, {"top_k": 0}])
def test_wrong_arguments_of_find_centers(arguments: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(arguments))):
        sparse.find_centers(heatmap(), **arguments)


def test_pixels_go_where_their_offset_points(form: SimpleNamespace) -> None:
    offsets = np.zeros((2, 2, 4), np.float32)
    offsets[1, 0, 0] = 3  # points from the left to the right
    things = np.ones((2, 4), bool)
    things[1, 3] = False
    grouped = form.group_pixels(np.array([[0, 0], [0, 3]]), offsets, things)
    assert grouped.tolist() == [[2, 1, 2, 2], [1, 1, 2, 0]]


def test_of_equally_near_centers_the_first_counts(form: SimpleNamespace) -> None:
    grouped = form.group_pixels(
        np.array([[0, 0], [0, 2]]), np.zeros((2, 1, 3), np.float32), np.ones((1, 3), bool)
    )
    assert grouped.tolist() == [[1, 1, 2]]


def test_without_a_center_there_is_no_instance(form: SimpleNamespace) -> None:
    grouped = form.group_pixels(
        np.zeros((0, 2)), np.zeros((2, 1, 3), np.float32), np.ones((1, 3), bool)
    )
    assert not grouped.any()
