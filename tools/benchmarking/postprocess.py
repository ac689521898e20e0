"""From network outputs to the panoptic map: `CenterGrouping` against what it replaces.

`plain_panoptic` states the method as the reference implementations run it, in Paddle, picture by
picture and mask by mask.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarking.contest import Contest, DisagreementError, Way
from benchmarking.inputs import QUICK_SIZE, Size, network_outputs, size_of
from benchmarking.processes import Call

CENTERS, FEW, MANY = 60, 10, 200


class Settings(NamedTuple):
    """The settings of `CenterGrouping`, as the reference has them."""

    threshold: float = 0.1
    nms_kernel: int = 7
    top_k: int = 200
    min_stuff_area: int = 2048
    align_corners: bool = True

    @classmethod
    def of(cls, postprocessor: Any) -> Settings:
        """Those of a configured one."""
        return cls(*(getattr(postprocessor, name) for name in cls._fields))


REFERENCE = Settings()


def contests(folder: Path, quick: bool) -> Iterable[Contest]:
    """The whole step, its growth with the number of centres, and grouping alone."""
    size = size_of(quick)
    ours = Way(partial(prepare_ours, size, CENTERS))
    yield Contest(
        "outputs to ids and scores",
        ours,
        Way(partial(prepare_upsampling, size, CENTERS)),
        "Paddle's resize, argmax",
        goal=3,
        goal_mb=100,
        note="the baseline is only the bilinear upsampling and the argmax of the 19 class maps",
    )
    yield Contest(
        "outputs to ids and scores",
        ours,
        Way(partial(prepare_plain, size, CENTERS)),
        "plain statement, Paddle",
        goal=100,
        check=same_ids,
        note="the baseline gives no scores",
    )
    yield Contest(
        f"outputs to ids, {MANY} centres",
        Way(partial(prepare_ours, size, MANY)),
        Way(partial(prepare_ours, size, FEW)),
        f"ours, {FEW} centres",
        goal=0.5,
        note="the goal is less than twice the time",
    )
    yield Contest(
        "grouping alone",
        Way(partial(prepare_grouping, size, CENTERS)),
        Way(partial(prepare_plain_grouping, size, CENTERS)),
        "all distances, Paddle",
        check=same_ids,
    )
    yield Contest(
        "outputs to ids, tensor form",
        Way(partial(prepare_tensor_form, size, CENTERS)),
        Way(partial(prepare_plain, size, CENTERS)),
        "plain statement, Paddle",
        check=same_ids,
        note="the form for GPUs and exported files, here on the CPU",
    )


def same_ids(ours: np.ndarray, baseline: np.ndarray) -> None:
    """Refuses two id maps that differ anywhere."""
    different = int((ours != baseline).sum())
    if different:
        raise DisagreementError(f"{different} of {ours.size} pixels have another id")


# --- our way ---


def prepare_ours(size: Size, centers: int) -> Call:
    """Panoptic ids by `CenterGrouping`."""
    run, outputs = _grouping(), _tensors(size, centers)
    run(_tensors(QUICK_SIZE, 1), QUICK_SIZE)  # loads what the libraries load late
    return partial(run, outputs, size)


def _grouping():
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES
    from panoptic_deeplab.postprocess import CenterGrouping
    from panoptic_deeplab.structures import Frame

    postprocessor = CenterGrouping(
        CITYSCAPES.num_classes, CITYSCAPES.thing_ids, **REFERENCE._asdict()
    )

    def run(outputs, size: Size) -> np.ndarray:
        (prediction,) = postprocessor(outputs, [Frame.whole(*size)])
        return prediction.ids

    return run


def prepare_tensor_form(size: Size, centers: int) -> Call:
    """The same by `TensorGrouping`, up to the one copy to numpy."""
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES
    from panoptic_deeplab.postprocess.tensor_grouping import TensorGrouping

    grouping = TensorGrouping(CITYSCAPES.num_classes, CITYSCAPES.thing_ids, **REFERENCE._asdict())
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
    """Panoptic ids as the reference finds them."""
    return partial(plain_panoptic, _tensors(size, centers), size)


def prepare_plain_grouping(size: Size, centers: int) -> Call:
    """All distances of all pixels, on maps at full size."""
    import paddle

    peaks, offsets, things = map(paddle.to_tensor, _full_maps(size, centers))

    def run() -> np.ndarray:
        return (plain_grouping(peaks, offsets) * things.astype("int64")).numpy()

    return run


def plain_panoptic(outputs, size: Size, settings: Settings = REFERENCE) -> np.ndarray:
    """[H, W] ids: instances in the order of their centres, then stuff by class.

    Everything at full size, a distance map for each centre, a mask for each instance and each stuff
    class.
    """
    import paddle
    import paddle.nn.functional as F

    from panoptic_deeplab.formats.cityscapes import CITYSCAPES

    full = {
        name: F.interpolate(value, size, mode="bilinear", align_corners=settings.align_corners)[0]
        for name, value in outputs.items()
    }
    labels = full["semantic"].argmax(axis=0)
    is_thing = paddle.zeros(size, "bool")
    for category in CITYSCAPES.thing_ids:
        is_thing = is_thing | (labels == category)
    nearest = plain_grouping(plain_centers(full["center"][0], settings), full["offset"])
    instances = nearest * is_thing.astype("int64")
    ids = np.zeros(size, np.int32)
    for number in range(1, int(instances.max()) + 1):
        mask = instances == number
        if mask.any():
            ids[mask.numpy()] = ids.max() + 1
    for category in CITYSCAPES.stuff_ids:
        mask = (labels == category) & (instances == 0)
        if int(mask.sum()) >= settings.min_stuff_area:
            ids[mask.numpy()] = ids.max() + 1
    return ids


def plain_centers(heat, settings: Settings):
    """[K, 2] (y, x) of the peaks of a heat map [H, W], in row-major order."""
    import paddle
    import paddle.nn.functional as F

    kernel, k = settings.nms_kernel, settings.top_k
    highest = F.max_pool2d(heat[None, None], kernel, stride=1, padding=kernel // 2)[0, 0]
    peaks = paddle.nonzero((heat == highest) & (heat > settings.threshold))
    if len(peaks) > k:
        kept = paddle.gather_nd(heat, peaks).topk(k)[1].sort()
        peaks = peaks.gather(kept)
    return peaks


def plain_grouping(centers, offsets):
    """[H, W] number of the centre nearest to each pixel's aim, by [K, H, W] distances."""
    import paddle

    height, width = offsets.shape[1:]
    if not len(centers):
        return paddle.zeros([height, width], "int64")
    rows = paddle.arange(height, dtype="float32").reshape([-1, 1]) + offsets[0]
    columns = paddle.arange(width, dtype="float32") + offsets[1]
    y, x = centers.astype("float32").reshape([-1, 2, 1, 1]).unbind(axis=1)
    return ((y - rows) ** 2 + (x - columns) ** 2).argmin(axis=0) + 1


# --- inputs ---


def _tensors(size: Size, centers: int):
    import paddle

    outputs = network_outputs(size, centers)
    return {name: paddle.to_tensor(value) for name, value in outputs.items()}


def _full_maps(size: Size, centers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres [K, 2], offsets [2, H, W] and where things are [H, W], of one picture."""
    import paddle.nn.functional as F

    from panoptic_deeplab.formats.cityscapes import CITYSCAPES
    from panoptic_deeplab.postprocess import find_centers

    semantic, heat, offsets = (
        F.interpolate(value, size, mode="bilinear", align_corners=True)[0].numpy()
        for value in _tensors(size, centers).values()
    )
    things = np.isin(semantic.argmax(axis=0), CITYSCAPES.thing_ids)
    return find_centers(heat[0]), offsets, things
