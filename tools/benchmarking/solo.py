"""SOLOv2's parts: duplicates by matrix NMS against a loop over pairs, and the memory of a step."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarking.comparison import Comparison, DisagreementError, Implementation
from benchmarking.inputs import Size
from benchmarking.processes import Call
from benchmarking.train_step import FEW, MANY, Recipe, prepare_ours

MASKS, MASK_SIZE, CLASSES = 500, (256, 512), 8
FEW_MASKS, SMALL_SIZE = 40, (32, 64)
SIGMA = 2.0
TOLERANCE = 1e-6

SCENES = Recipe("efficientps/efficientps_solov2_b0_scenes.yml", (), (512, 1024))
QUICK_SCENES = SCENES._replace(crop=(64, 128))


def comparisons(folder: Path, quick: bool) -> Iterable[Comparison]:
    """Masks of several classes, of one class, and a step with many instances and with one."""
    count, size = (FEW_MASKS, SMALL_SIZE) if quick else (MASKS, MASK_SIZE)
    for classes in (CLASSES, 1):
        yield Comparison(
            f"matrix NMS, {count} masks {size[1]}x{size[0]}, classes: {classes}",
            Implementation(partial(prepare_matrix_nms, count, size, classes)),
            Implementation(partial(prepare_plain_nms, count, size, classes)),
            "loop over the pairs of a class, numpy",
            goal=None if quick else 20,
            check=same_scores,
        )
    recipe = QUICK_SCENES if quick else SCENES
    height, width = recipe.crop
    yield Comparison(
        f"EfficientPS B0 with SOLOv2, {width}x{height}, {MANY} instances",
        Implementation(partial(prepare_ours, recipe, folder, MANY)),
        Implementation(partial(prepare_ours, recipe, folder, FEW)),
        f"the same, {FEW} instance",
        goal_memory=None if quick else 1.3,
    )


def same_scores(ours: np.ndarray, plain: np.ndarray) -> None:
    """Refuse scores that differ by more than a millionth."""
    difference = float(abs(ours - plain).max())
    if not difference <= TOLERANCE:
        raise DisagreementError(f"a score differs by {difference}")


def prepare_matrix_nms(count: int, size: Size, classes: int) -> Call:
    """The lowered scores by `matrix_nms`."""
    import paddle

    from panoptic_deeplab.models.solo.matrix_nms import matrix_nms

    tensors = [paddle.to_tensor(values) for values in candidates(count, size, classes)]
    return lambda: matrix_nms(*tensors).numpy()


def prepare_plain_nms(count: int, size: Size, classes: int) -> Call:
    """The same pair by pair."""
    return partial(plain_matrix_nms, *candidates(count, size, classes))


def plain_matrix_nms(masks: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[K] the lowered scores, from masks [K, L] bool by descending score."""
    count = len(masks)
    iou = np.zeros((count, count))
    for i in range(count):
        for j in range(i + 1, count):
            if labels[i] == labels[j]:
                union = (masks[i] | masks[j]).sum()
                iou[i, j] = (masks[i] & masks[j]).sum() / max(union, 1)
    lowered = np.array(scores)
    for j in range(count):
        for i in range(j):
            decay = np.exp(-SIGMA * iou[i, j] ** 2) / np.exp(-SIGMA * iou[:, i].max() ** 2)
            lowered[j] = min(lowered[j], scores[j] * decay)
    return lowered


def candidates(count: int, size: Size, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks [K, L] bool of ellipses, labels [K] and descending scores [K] float32.

    Four in a row are of one object, as the cells around its center give them.
    """
    rng = np.random.default_rng(0)
    objects = -(-count // 4)
    middles = rng.uniform(0, size, (objects, 2)).repeat(4, axis=0)[:count]
    middles += rng.normal(0, size[0] / 128, middles.shape)
    half_axes = rng.uniform(size[0] / 32, size[0] / 4, (objects, 2)).repeat(4, axis=0)[:count]
    y, x = np.ogrid[: size[0], : size[1]]
    masks = [
        ((y - row) / a) ** 2 + ((x - column) / b) ** 2 <= 1
        for (row, column), (a, b) in zip(middles, half_axes, strict=True)
    ]
    labels = rng.integers(0, classes, objects).repeat(4)[:count]
    order = rng.permutation(count)
    scores = np.sort(rng.uniform(0.1, 1, count))[::-1].astype(np.float32)
    return np.array(masks).reshape(count, -1)[order], labels[order], scores
