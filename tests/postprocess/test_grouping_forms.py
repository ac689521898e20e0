"""The sparse form and the tensor form equal the plain statement, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_outputs import (
    CLASSES,
    Arrays,
    assert_same_map,
    frame_of,
    grouping,
    scene,
    settings,
    tensors,
)

from panoptic_deeplab.postprocess import plain
from panoptic_deeplab.postprocess.sparse import scores
from panoptic_deeplab.structures import Frame, Prediction


def assert_both_forms_equal(outputs: Arrays, frame: Frame, align_corners: bool) -> Prediction:
    """What the numpy form predicts, after comparing it and the tensor form with the plain one."""
    expected = plain.predict(outputs, frame, settings(align_corners))
    postprocessor = grouping(align_corners)
    (prediction,) = postprocessor(tensors(outputs), [frame])
    on_device = postprocessor._predict_on_device(tensors(outputs), frame)
    assert_same_map(prediction, expected)
    assert_same_map(on_device, expected)
    for one, other in zip(prediction.segments, on_device.segments, strict=True):
        assert one.score == pytest.approx(other.score, abs=5e-3)
    return prediction


GEOMETRIES = {
    # size of the feature map, of the input, box of the image in it
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
        assert_both_forms_equal(outputs, frame, align_corners)


def changed(**maps: object) -> Arrays:
    """A scene with some of its maps filled or replaced."""
    outputs = scene((9, 13), 0)
    return {n: np.broadcast_to(np.float32(maps.get(n, v)), v.shape) for n, v in outputs.items()}


def spoilt(name: str, value: float, fraction: float) -> Arrays:
    """A scene with some values of one map replaced."""
    outputs, rng = scene((9, 13), 1), np.random.default_rng(0)
    outputs[name] = np.where(rng.random(outputs[name].shape) < fraction, np.float32(value),
                             outputs[name])  # fmt: skip
    return outputs


STRANGE = {
    "no center": changed(center=0),
    "all classes equal": changed(semantic=1.5),
    "no thing": changed(semantic=np.eye(CLASSES)[1][:, None, None]),
    "one thing class": changed(semantic=np.eye(CLASSES)[5][:, None, None]),
    "a plateau of the heatmap": changed(center=0.5),
    "noise": scene((9, 13), 2, centers=12, smooth=False),
    "offsets that point far outside": changed(offset=-3000),
    "offsets that overflow": changed(offset=1e30),
    "all offsets NaN": changed(offset=np.nan),
    "some offsets NaN": spoilt("offset", np.nan, 0.1),
    "some offsets infinite": spoilt("offset", np.inf, 0.1),
    "heatmap NaN": changed(center=np.nan),
    "some of the heatmap NaN": spoilt("center", np.nan, 0.1),
    "some of the heatmap infinite": spoilt("center", np.inf, 0.05),
    "negative heatmap": changed(center=-1),
    "top-k with equal values": {**scene((9, 13), 0), "center": np.tile(
        np.float32([[0, 0.5], [0, 0]]), (5, 7))[None, :9, :13]},
    "values just around the threshold": {**scene((9, 13), 0), "center": np.nextafter(
        np.float32(0.1), np.random.default_rng(0).random((1, 9, 13)) > 0.5, dtype=np.float32)},
}  # fmt: skip


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("case", STRANGE)
def test_strange_outputs(case: str, align_corners: bool) -> None:
    assert_both_forms_equal(STRANGE[case], frame_of((33, 49)), align_corners)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("align_corners", [True, False])
def test_logits_that_are_no_numbers(value: float, align_corners: bool) -> None:
    """NaN is below every number, and every score is a number."""
    outputs, frame = spoilt("semantic", value, 0.05), frame_of((33, 49))
    (prediction,) = grouping(align_corners)(tensors(outputs), [frame])
    assert_same_map(prediction, plain.predict(outputs, frame, settings(align_corners)))
    assert all(0 <= segment.score <= 1 for segment in prediction.segments)


def scores_of(prediction: Prediction) -> list[float]:
    return [segment.score for segment in prediction.segments]


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_scores_are_the_softmax_of_upsampled_logits(
    geometry: str, align_corners: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly, where no probability is interpolated; else within less than interpolation may do."""
    coarse, size, box = GEOMETRIES[geometry]
    frame, postprocessor = frame_of(size, box), grouping(align_corners)
    for seed in range(3):
        outputs = scene(coarse, seed)
        (usual,) = postprocessor(tensors(outputs), [frame])
        expected = plain.scores(usual, outputs, frame, settings(align_corners))
        np.testing.assert_allclose(scores_of(usual), expected, atol=5e-3)
        on_device = postprocessor._predict_on_device(tensors(outputs), frame)
        np.testing.assert_allclose(scores_of(on_device), expected, atol=1e-6)
        with monkeypatch.context() as patch:
            patch.setattr(scores, "_TOLERANCE", -1)
            (exact,) = postprocessor(tensors(outputs), [frame])
        np.testing.assert_allclose(scores_of(exact), expected, atol=1e-6)
