"""The steps of the sparse form equal those of the plain statement."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_outputs import CLASSES, frame_of, scene

from panoptic_deeplab.postprocess import find_centers, group_pixels, plain
from panoptic_deeplab.postprocess.sparse.grid import Grid, corners
from panoptic_deeplab.postprocess.sparse.instances import group_upsampled_pixels
from panoptic_deeplab.postprocess.sparse.labels import upsampled_labels
from panoptic_deeplab.postprocess.sparse.nearest_centers import nearest_centers


@pytest.mark.parametrize("scale", [1e-30, 1, 1e6])
def test_logits_that_differ_by_rounding_alone(scale: float) -> None:
    """Interpolating can make equal what was not, and then the lower class wins."""
    rng = np.random.default_rng(0)
    near = scale * (1 + rng.integers(0, 4, (CLASSES, 30, 40)) * 2.0**-23)
    grid_size, logits = (119, 157), near.astype(np.float32)
    for align_corners in (True, False):
        grid = Grid.of((30, 40), grid_size, (0, 0, *grid_size), align_corners)
        resized = plain.upsample({"semantic": logits}, frame_of(grid_size), align_corners)
        labels = upsampled_labels(logits, grid, np.uint8).painted()
        np.testing.assert_array_equal(labels, plain.classify(resized["semantic"]))


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("align_corners", [True, False])
def test_labels_of_larger_maps(smooth: bool, align_corners: bool) -> None:
    """With few borders only these are interpolated, in noise every pixel is."""
    logits, size = scene((65, 97), 5, smooth=smooth, pace=0.1)["semantic"], (257, 385)
    grid = Grid.of((65, 97), size, (3, 0, 257, 380), align_corners)
    resized = plain.upsample({"semantic": logits}, frame_of(size, (3, 0, 257, 380)), align_corners)
    labels = upsampled_labels(logits, grid, np.uint8)
    assert (len(labels.pixels) < 0.4 * labels.painted().size) == smooth
    np.testing.assert_array_equal(labels.painted(), plain.classify(resized["semantic"]))


@pytest.mark.parametrize("align_corners", [True, False])
def test_patches_hold_each_pixel_of_their_cells_once(align_corners: bool) -> None:
    """Interpolating a patch equals interpolating pixel by pixel."""
    rng = np.random.default_rng(0)
    grid = Grid.of((13, 17), (47, 59), (3, 5, 47, 52), align_corners)
    chosen, values = rng.random((13, 17)) < 0.4, rng.random((13, 17), np.float32)
    patches = grid.patches(chosen)
    assert len(patches) > 1, "cells of several sizes"
    pixels = np.concatenate([patch.pixels.ravel() for patch in patches])
    np.testing.assert_array_equal(np.sort(pixels), np.flatnonzero(grid.spread(chosen)))
    for patch in patches:
        around = [values.ravel()[places] for places in corners(patch.cells, (13, 17))]
        (one_by_one,) = grid.at(values[None], patch.pixels.ravel())
        np.testing.assert_array_equal(patch.between(around).ravel(), one_by_one)


@pytest.mark.parametrize("seed", range(5))
def test_centers_with_many_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heatmap = rng.integers(0, 5, (17, 23)).astype(np.float32) / 4
    for kernel, top_k in ((1, 500), (3, 500), (3, 7), (7, 200), (41, 3)):
        found = find_centers(heatmap, threshold=0.2, nms_kernel=kernel, top_k=top_k)
        np.testing.assert_array_equal(found, plain.find_centers(heatmap, 0.2, kernel, top_k))


@pytest.mark.parametrize("count", [1, 2, 10, 200])
@pytest.mark.parametrize("spread", [1, 30, 1000])
def test_groups_with_ties_and_far_aims(count: int, spread: int) -> None:
    """Integer offsets make many points equally near to two centers."""
    rng = np.random.default_rng(count)
    centers = rng.integers(0, (90, 130), (count, 2))
    offsets = rng.integers(-spread, spread + 1, (2, 90, 130)).astype(np.float32)
    things = rng.random((90, 130)) < 0.5
    np.testing.assert_array_equal(
        group_pixels(centers, offsets, things), plain.group_pixels(centers, offsets, things)
    )


def test_groups_of_many_centers() -> None:
    rng = np.random.default_rng(0)
    centers = rng.integers(0, 200, (37, 2))
    offsets = (rng.standard_normal((2, 200, 210)) * 30).astype(np.float32)
    things = rng.random((200, 210)) < 0.4
    np.testing.assert_array_equal(
        group_pixels(centers, offsets, things), plain.group_pixels(centers, offsets, things)
    )


def test_centers_may_lie_outside_of_the_table() -> None:
    rng = np.random.default_rng(0)
    centers = np.float32([[-50, 7], [1e4, 1e4], [30.5, 1e9], [20, 60]])
    y, x = rng.uniform(-40, 140, (2, 5000)).astype(np.float32)
    squared = (centers[:, :1] - y) ** 2 + (centers[:, 1:] - x) ** 2
    nearest, _ = nearest_centers(centers, y, x, (90, 130))
    np.testing.assert_array_equal(nearest, squared.argmin(axis=0))


@pytest.mark.parametrize("align_corners", [True, False])
def test_aims_on_the_bisector_of_two_centers(align_corners: bool) -> None:
    """Rounding decides each pixel, so that the corners of a cell decide nothing."""
    size, centers = (47, 59), np.array([[10, 20], [10, 31]])
    grid = Grid.of((13, 17), size, (0, 0, *size), align_corners)
    away = np.ix_(10 - grid.rows.positions, 25.5 - grid.columns.positions)
    offsets = np.stack(np.broadcast_arrays(*away)).astype(np.float32)
    things = upsampled_labels(np.ones((1, 13, 17), np.float32), grid, np.uint8)
    instances = group_upsampled_pixels(centers, offsets, things, np.array([True])).painted()
    resized = plain.upsample({"offset": offsets}, frame_of(size), align_corners)["offset"]
    expected = plain.group_pixels(centers, resized, np.ones(size, bool))
    assert set(expected.ravel()) == {1, 2}
    np.testing.assert_array_equal(instances, expected)
