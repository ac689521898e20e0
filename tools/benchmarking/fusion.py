"""EfficientPS's fusion: `AdaptiveFusion` against a map of the whole image for every instance."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarking.comparison import Comparison, DisagreementError, Implementation
from benchmarking.inputs import FULL_SIZE, Size, ellipses, network_outputs, size_of
from benchmarking.plain_fusion import plain_fusion
from benchmarking.processes import Call

INSTANCES, FEW = 100, 8
MASK_SIDE = 28
MIN_STUFF_AREA = 2048
MAX_LOGIT = 6.0  # in the middle of a mask


def comparisons(folder: Path, quick: bool) -> Iterable[Comparison]:
    """From the outputs of a network to ids and scores."""
    size = size_of(quick)
    count = INSTANCES if size == FULL_SIZE else FEW
    yield Comparison(
        f"outputs to ids and scores, {count} instances",
        Implementation(partial(prepare_ours, size, count)),
        Implementation(partial(prepare_plain, size, count)),
        "plain statement, numpy",
        goal=5,
        goal_mb=200,
        check=same_ids,
        note="the baseline gives no scores",
    )


def same_ids(ours: np.ndarray, baseline: np.ndarray) -> None:
    """Refuse two id maps that differ anywhere."""
    different = int((ours != baseline).sum())
    if different:
        raise DisagreementError(f"{different} of {ours.size} pixels have another id")


def prepare_ours(size: Size, count: int) -> Call:
    """Panoptic ids by `AdaptiveFusion`."""
    import paddle

    from panoptic_deeplab.formats.cityscapes import CITYSCAPES
    from panoptic_deeplab.postprocess import AdaptiveFusion
    from panoptic_deeplab.structures import Frame

    fusion = AdaptiveFusion(
        CITYSCAPES.num_classes, CITYSCAPES.thing_ids, min_stuff_area=MIN_STUFF_AREA
    )
    outputs = {name: paddle.to_tensor(value) for name, value in outputs_of(size, count).items()}
    return lambda: fusion(outputs, [Frame.whole(*size)])[0].ids


def prepare_plain(size: Size, count: int) -> Call:
    """Panoptic ids by the plain formula, upsampling included."""
    import paddle
    import paddle.nn.functional as F

    from panoptic_deeplab.formats.cityscapes import CITYSCAPES

    outputs = outputs_of(size, count)
    logits = paddle.to_tensor(outputs["semantic"])

    def run() -> np.ndarray:
        full = F.interpolate(logits, size, mode="bilinear").numpy()[0]
        return plain_fusion(
            full,
            *(outputs[name] for name in ("boxes", "scores", "classes", "masks")),
            thing_ids=CITYSCAPES.thing_ids,
            min_stuff_area=MIN_STUFF_AREA,
            strict_reference=False,
        )[0]

    return run


def outputs_of(size: Size, count: int) -> dict[str, Any]:
    """The outputs of EfficientPS for one image with ellipses on it."""
    things = ellipses(size, count, np.random.default_rng(0))
    boxes = [
        [x - b, y - a, x + b, y + a]
        for (y, x), (a, b) in ((thing.middle, thing.half_axes) for thing in things)
    ]
    positions = (np.arange(MASK_SIDE) + 0.5) / MASK_SIDE * 2 - 1
    mask = MAX_LOGIT * (1 - positions[:, None] ** 2 - positions**2)
    return {
        "semantic": network_outputs(size, count)["semantic"],
        "boxes": np.array(boxes, np.float32),
        "scores": np.linspace(1, 0.5, count, dtype=np.float32),
        "classes": np.array([thing.category for thing in things]),
        "masks": np.repeat(mask[None].astype(np.float32), count, axis=0),
        "counts": np.array([count]),
    }
