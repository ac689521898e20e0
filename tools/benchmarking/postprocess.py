"""From network outputs to the panoptic map: `CenterGrouping` against what it replaces.

The baselines are what the reference's code does, in Paddle (`reference_grouping`). The tensor form
is compared with the plain statement, `panoptic_deeplab.postprocess.plain`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarking.comparison import Comparison, DisagreementError, Implementation
from benchmarking.inputs import QUICK_SIZE, Size, network_outputs, size_of
from benchmarking.processes import Call

CENTERS, FEW, MANY = 60, 10, 200


def comparisons(folder: Path, quick: bool) -> Iterable[Comparison]:
    """The whole step, its growth with the number of centers, and grouping alone."""
    size = size_of(quick)
    ours = Implementation(partial(prepare_ours, size, CENTERS))
    yield Comparison(
        "outputs to ids and scores",
        ours,
        Implementation(partial(prepare_upsampling, size, CENTERS)),
        "Paddle's resize, argmax",
        goal=3,
        goal_mb=100,
        note="the baseline is only the bilinear upsampling and the argmax of the 19 class maps",
    )
    yield Comparison(
        "outputs to ids and scores",
        ours,
        Implementation(partial(prepare_reference, size, CENTERS)),
        "plain statement, Paddle",
        goal=100,
        check=same_ids,
        note="the baseline gives no scores",
    )
    yield Comparison(
        f"outputs to ids, {MANY} centers",
        Implementation(partial(prepare_ours, size, MANY)),
        Implementation(partial(prepare_ours, size, FEW)),
        f"ours, {FEW} centers",
        goal=0.5,
        note="the goal is less than twice the time",
    )
    yield Comparison(
        "grouping alone",
        Implementation(partial(prepare_grouping, size, CENTERS)),
        Implementation(partial(prepare_reference_grouping, size, CENTERS)),
        "all distances, Paddle",
        check=same_ids,
    )
    yield Comparison(
        "outputs to ids, tensor form",
        Implementation(partial(prepare_tensor_form, size, CENTERS)),
        Implementation(partial(prepare_plain, size, CENTERS)),
        "plain statement, numpy",
        check=same_ids,
        note="the form for GPUs and exported files, here on the CPU",
    )


def same_ids(ours: np.ndarray, baseline: np.ndarray) -> None:
    """Refuses two id maps that differ anywhere."""
    different = int((ours != baseline).sum())
    if different:
        raise DisagreementError(f"{different} of {ours.size} pixels have another id")


# --- ours ---


def prepare_ours(size: Size, centers: int) -> Call:
    """Panoptic ids by `CenterGrouping`."""
    run, outputs = _grouping(), _tensors(size, centers)
    run(_tensors(QUICK_SIZE, 1), QUICK_SIZE)  # loads what the libraries load late
    return partial(run, outputs, size)


def _grouping():
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES
    from panoptic_deeplab.postprocess import CenterGrouping
    from panoptic_deeplab.structures import Frame

    postprocessor = CenterGrouping(CITYSCAPES.num_classes, CITYSCAPES.thing_ids)

    def run(outputs, size: Size) -> np.ndarray:
        (prediction,) = postprocessor(outputs, [Frame.whole(*size)])
        return prediction.ids

    return run


def prepare_tensor_form(size: Size, centers: int) -> Call:
    """The same by `TensorGrouping`, up to the one copy to numpy."""
    from panoptic_deeplab.postprocess.tensor_grouping import TensorGrouping

    grouping = TensorGrouping(_settings())
    outputs = _tensors(size, centers)
    return lambda: grouping(outputs, size)["panoptic"][0].numpy()


def prepare_grouping(size: Size, centers: int) -> Call:
    """`group_pixels` on maps at full size."""
    from panoptic_deeplab.postprocess import group_pixels

    peaks, offsets, things = _full_maps(size, centers)
    return partial(group_pixels, peaks, offsets, things)


# --- what it is compared with ---


def prepare_upsampling(size: Size, centers: int) -> Call:
    """What a library does first: class maps at full size and their argmax."""
    import paddle.nn.functional as F

    logits = _tensors(size, centers)["semantic"]

    def run() -> np.ndarray:
        full = F.interpolate(logits, size, mode="bilinear", align_corners=True)
        return full.argmax(axis=1).numpy()

    return run


def prepare_plain(size: Size, centers: int) -> Call:
    """Panoptic ids by the plain statement."""
    from panoptic_deeplab.postprocess import plain
    from panoptic_deeplab.structures import Frame

    outputs = {name: value[0] for name, value in network_outputs(size, centers).items()}
    frame, settings = Frame.whole(*size), _settings()
    return lambda: plain.predict(outputs, frame, settings).ids


def prepare_reference(size: Size, centers: int) -> Call:
    """Panoptic ids as the reference finds them."""
    from benchmarking.reference_grouping import panoptic_ids

    return partial(panoptic_ids, _tensors(size, centers), size, _settings())


def prepare_reference_grouping(size: Size, centers: int) -> Call:
    """All distances of all pixels, on maps at full size."""
    import paddle

    from benchmarking.reference_grouping import nearest_centers

    peaks, offsets, things = map(paddle.to_tensor, _full_maps(size, centers))
    return lambda: (nearest_centers(peaks, offsets) * things.astype("int64")).numpy()


# --- inputs ---


def _settings():
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES
    from panoptic_deeplab.grouping_settings import GroupingSettings

    return GroupingSettings(CITYSCAPES.num_classes, CITYSCAPES.thing_ids)


def _tensors(size: Size, centers: int):
    import paddle

    outputs = network_outputs(size, centers)
    return {name: paddle.to_tensor(value) for name, value in outputs.items()}


def _full_maps(size: Size, centers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centers [K, 2], offsets [2, H, W] and where things are [H, W], of one image."""
    from panoptic_deeplab.postprocess import find_centers, plain
    from panoptic_deeplab.structures import Frame

    outputs = {name: value[0] for name, value in network_outputs(size, centers).items()}
    maps = plain.upsample(outputs, Frame.whole(*size), align_corners=True)
    things = _settings().is_thing[plain.classify(maps["semantic"])]
    return find_centers(maps["center"][0]), maps["offset"], things
