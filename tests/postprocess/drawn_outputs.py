"""Outputs of a network that are drawn at random, and how predictions are compared."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import paddle

from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.postprocess import CenterGrouping
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
    """Outputs of a network: waves of logits, a peak at each center, offsets to the nearest."""
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
