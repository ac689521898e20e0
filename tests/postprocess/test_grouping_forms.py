"""The fast forms of the grouping equal a plain statement of it, pixel for pixel."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import paddle
import pytest

from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.postprocess import CenterGrouping, find_centers, group_pixels, plain
from panoptic_deeplab.postprocess.sparse.grid import Grid, corners
from panoptic_deeplab.postprocess.sparse.instances import group_upsampled_pixels
from panoptic_deeplab.postprocess.sparse.labels import upsampled_labels
from panoptic_deeplab.postprocess.sparse.nearest_centers import nearest_centers
from panoptic_deeplab.postprocess.tensor_grouping import TensorGrouping, to_host
from panoptic_deeplab.structures import Frame, Prediction

CLASSES, THINGS = 7, (4, 5, 6)
Arrays = dict[str, np.ndarray]


def settings(align_corners: bool = True) -> GroupingSettings:
    return GroupingSettings(
        CLASSES,
        THINGS,
        threshold=0.1,
        nms_kernel=5,
        top_k=20,
        min_stuff_area=9,
        align_corners=align_corners,
    )


def scene(
    size: tuple[int, int], seed: int, centers: int = 4, smooth: bool = True, pace: float = 1
) -> Arrays:
    """Outputs of a network: fields for the classes, bumps of heat, offsets to the nearest."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(size).astype(np.float32)
    places = rng.uniform(0, size, (centers, 2))
    if smooth:
        waves = rng.uniform(-pace, pace, (3, CLASSES, 1, 1))
        logits = 3 * np.sin(waves[0] * y + waves[1] * x + 9 * waves[2])
    else:
        logits = rng.standard_normal((CLASSES, *size))
    away = places[:, :, None, None] - np.stack([y, x])
    squared = (away**2).sum(axis=1)
    offsets = np.take_along_axis(away, squared.argmin(axis=0)[None, None], axis=0)[0]
    return {
        "semantic": logits.astype(np.float32),
        "center": np.exp(-squared / 4).max(axis=0, keepdims=True).astype(np.float32),
        "offset": (4 * offsets + rng.standard_normal((2, *size))).astype(np.float32),
    }


def tensors(*outputs: Arrays) -> dict[str, paddle.Tensor]:
    return {n: paddle.to_tensor(np.stack([o[n] for o in outputs])) for n in outputs[0]}


def grouping(align_corners: bool) -> CenterGrouping:
    return CenterGrouping(**asdict(settings(align_corners)))


def frame_of(size: tuple[int, int], box: tuple[int, int, int, int] | None = None) -> Frame:
    top, left, bottom, right = box = box or (0, 0, *size)
    return Frame((bottom - top, right - left), size, (1.0, 1.0), box)


def assert_same_map(prediction: Prediction, expected: Prediction) -> None:
    np.testing.assert_array_equal(prediction.labels, expected.labels)
    np.testing.assert_array_equal(prediction.ids, expected.ids)
    facts = [[(s.id, s.category, s.area, s.is_thing) for s in p.segments]
             for p in (prediction, expected)]  # fmt: skip
    assert facts[0] == facts[1]


def assert_both_forms_equal(outputs: Arrays, frame: Frame, align_corners: bool) -> Prediction:
    """What the numpy form predicts, after comparing it and the tensor form with the plain one."""
    expected = plain.predict(outputs, frame, settings(align_corners))
    postprocessor = grouping(align_corners)
    (prediction,) = postprocessor(tensors(outputs), [frame])
    on_device = postprocessor._predict_on_device(tensors(outputs), frame)
    assert_same_map(prediction, expected)
    assert_same_map(on_device, expected)
    for one, other in zip(prediction.segments, on_device.segments, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-6)
    return prediction


GEOMETRIES = {
    # the network's size, the input's, the image in it
    "4 n + 1": ((9, 13), (33, 49), None),
    "4 n": ((8, 12), (32, 48), None),
    "stride 2, odd": ((13, 9), (25, 17), None),
    "no whole ratio": ((7, 10), (29, 31), None),
    "513 to 1025 in small": ((17, 5), (33, 9), (0, 0, 30, 9)),
    "the same size": ((20, 24), (20, 24), None),
    "the same size, padded": ((20, 24), (20, 24), (2, 3, 17, 20)),
    "padded": ((9, 13), (33, 49), (0, 0, 30, 41)),
    "padded on all sides": ((8, 12), (32, 48), (3, 5, 27, 39)),
    "smaller than the network's": ((12, 12), (7, 5), None),
    "one pixel of the network": ((1, 1), (5, 6), None),
    "one row": ((1, 9), (1, 33), None),
    "one pixel": ((1, 1), (1, 1), None),
    "one pixel of many": ((5, 6), (1, 1), None),
}


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_geometry(geometry: str, align_corners: bool) -> None:
    coarse, size, box = GEOMETRIES[geometry]
    frame = frame_of(size, box)
    for seed in range(3):
        outputs = scene(coarse, seed)
        prediction = assert_both_forms_equal(outputs, frame, align_corners)
        expected = plain.scores(prediction, outputs["semantic"], frame)
        np.testing.assert_allclose([s.score for s in prediction.segments], expected, atol=1e-6)


def changed(**maps: object) -> Arrays:
    """A scene with some of its maps filled or replaced."""
    outputs = scene((9, 13), 0)
    return {n: np.broadcast_to(np.float32(maps.get(n, v)), v.shape) for n, v in outputs.items()}


def spoilt(name: str, value: float, share: float) -> Arrays:
    """A scene in one map of which some numbers are replaced."""
    outputs, rng = scene((9, 13), 1), np.random.default_rng(0)
    outputs[name] = np.where(rng.random(outputs[name].shape) < share, np.float32(value),
                             outputs[name])  # fmt: skip
    return outputs


STRANGE = {
    "no center": changed(center=0),
    "all classes equal": changed(semantic=1.5),
    "no thing": changed(semantic=np.eye(CLASSES)[1][:, None, None]),
    "one thing class": changed(semantic=np.eye(CLASSES)[5][:, None, None]),
    "a plateau of heat": changed(center=0.5),
    "noise": scene((9, 13), 2, centers=12, smooth=False),
    "offsets that point far outside": changed(offset=-3000),
    "offsets that overflow": changed(offset=1e30),
    "all offsets NaN": changed(offset=np.nan),
    "some offsets NaN": spoilt("offset", np.nan, 0.1),
    "some offsets infinite": spoilt("offset", np.inf, 0.1),
    "heat NaN": changed(center=np.nan),
    "some heat NaN": spoilt("center", np.nan, 0.1),
    "some heat infinite": spoilt("center", np.inf, 0.05),
    "negative heat": changed(center=-1),
    "top-k with equal heat": {**scene((9, 13), 0), "center": np.tile(
        np.float32([[0, 0.5], [0, 0]]), (5, 7))[None, :9, :13]},
    "heat just around the threshold": {**scene((9, 13), 0), "center": np.nextafter(
        np.float32(0.1), np.random.default_rng(0).random((1, 9, 13)) > 0.5, dtype=np.float32)},
}  # fmt: skip


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("case", STRANGE)
def test_strange_outputs(case: str, align_corners: bool) -> None:
    assert_both_forms_equal(STRANGE[case], frame_of((33, 49)), align_corners)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("align_corners", [True, False])
def test_logits_that_are_no_numbers(value: float, align_corners: bool) -> None:
    """NaN is lower than every number, and no score is one."""
    outputs, frame = spoilt("semantic", value, 0.05), frame_of((33, 49))
    (prediction,) = grouping(align_corners)(tensors(outputs), [frame])
    assert_same_map(prediction, plain.predict(outputs, frame, settings(align_corners)))
    assert all(0 <= segment.score <= 1 for segment in prediction.segments)


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
    """With few borders only these are interpolated, in noise everything is."""
    logits, size = scene((65, 97), 5, smooth=smooth, pace=0.1)["semantic"], (257, 385)
    grid = Grid.of((65, 97), size, (3, 0, 257, 380), align_corners)
    resized = plain.upsample({"semantic": logits}, frame_of(size, (3, 0, 257, 380)), align_corners)
    labels = upsampled_labels(logits, grid, np.uint8)
    assert (len(labels.pixels) < 0.4 * labels.painted().size) == smooth
    np.testing.assert_array_equal(labels.painted(), plain.classify(resized["semantic"]))


# --- single steps ---


@pytest.mark.parametrize("align_corners", [True, False])
def test_patches_hold_each_pixel_of_their_cells_once(align_corners: bool) -> None:
    """And between the corners of a cell lies what interpolating pixel by pixel gives."""
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
def test_centers_of_heat_with_many_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heat = rng.integers(0, 5, (17, 23)).astype(np.float32) / 4
    for kernel, top_k in ((1, 500), (3, 500), (3, 7), (7, 200), (41, 3)):
        found = find_centers(heat, threshold=0.2, nms_kernel=kernel, top_k=top_k)
        np.testing.assert_array_equal(found, plain.find_centers(heat, 0.2, kernel, top_k))


@pytest.mark.parametrize("count", [1, 2, 10, 200])
@pytest.mark.parametrize("spread", [1, 30, 1000])
def test_groups_with_ties_and_far_aims(count: int, spread: int) -> None:
    """Whole offsets make many points equally near to two centers."""
    rng = np.random.default_rng(count)
    centers = rng.integers(0, (90, 130), (count, 2))
    offsets = rng.integers(-spread, spread + 1, (2, 90, 130)).astype(np.float32)
    things = rng.random((90, 130)) < 0.5
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
    """Rounding decides each pixel: what the corners of a cell say does not count."""
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


@pytest.mark.parametrize("centers", [0, 40])
def test_a_batch_equals_its_images_in_both_forms(centers: int) -> None:
    frames = [frame_of((33, 49), (0, 0, 30, 40)), frame_of((33, 49)), frame_of((33, 49))]
    outputs = [scene((9, 13), seed, max(centers, 1)) for seed in range(3)]
    outputs[1]["center"] *= 0 if centers == 0 else 1
    together = grouping(True)(tensors(*outputs), frames)
    for prediction, one, frame in zip(together, outputs, frames, strict=True):
        assert_same_map(prediction, plain.predict(one, frame, settings()))
    form = TensorGrouping(settings())
    result = to_host(form(tensors(*outputs[1:]), (33, 49)))
    for i, prediction in enumerate(together[1:]):
        np.testing.assert_array_equal(result["panoptic"][i], prediction.ids)
        assert result["segment_count"][i] == len(prediction.segments)
        rows = result["segment_class"][i]
        assert rows[rows >= 0].tolist() == [s.category for s in prediction.segments]


# --- as a program ---


class Program(paddle.nn.Layer):
    """The tensor form behind a network that cuts its input into outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = self.create_parameter([1], is_bias=True)
        self.grouping = TensorGrouping(settings())

    def forward(self, maps: paddle.Tensor) -> list[paddle.Tensor]:
        size = 4 * (paddle.shape(maps)[2:] - 1) + 1
        parts = {
            "semantic": maps[:, :CLASSES] + self.bias,
            "center": maps[:, CLASSES : CLASSES + 1],
            "offset": maps[:, CLASSES + 1 :],
        }
        result = self.grouping(parts, [size[0], size[1]])
        return [result["panoptic"], result["segment_class"], result["segment_score"]]


@pytest.mark.filterwarnings("ignore:Tensor do not have 'place'")
def test_the_tensor_form_is_a_program_for_any_size_and_batch(tmp_path: Path) -> None:
    spec = paddle.static.InputSpec([None, CLASSES + 3, None, None], "float32", "maps")
    program = Program()
    program.eval()
    paddle.jit.save(program, str(tmp_path / "program"), input_spec=[spec])
    loaded = paddle.jit.load(str(tmp_path / "program"))
    for count, coarse in ((1, (9, 13)), (2, (5, 6)), (3, (1, 1))):
        outputs = [scene(coarse, seed) for seed in range(count)]
        maps = np.stack([np.concatenate(list(one.values())) for one in outputs])
        panoptic, categories, scores = (v.numpy() for v in loaded(paddle.to_tensor(maps)))
        size = tuple(4 * (side - 1) + 1 for side in coarse)
        for i, one in enumerate(outputs):
            (prediction,) = grouping(True)(tensors(one), [frame_of(size)])
            np.testing.assert_array_equal(panoptic[i], prediction.ids)
            assert categories[i][categories[i] >= 0].tolist() == [
                s.category for s in prediction.segments
            ]
            expected = [s.score for s in prediction.segments]
            np.testing.assert_allclose(scores[i][: len(expected)], expected, atol=1e-6)
