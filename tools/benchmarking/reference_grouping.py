"""The grouping as the reference computes it, in Paddle: what the speed of ours is measured against.

Everything at full size, a distance map for each center, a mask for each instance and each stuff
class, as PaddleSeg's contrib/PanopticDeepLab has it. What is right is stated in
`panoptic_deeplab.postprocess.plain`; this page only costs what the reference's code costs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.grouping_settings import GroupingSettings


def panoptic_ids(
    outputs: Mapping[str, paddle.Tensor], size: tuple[int, int], settings: GroupingSettings
) -> np.ndarray:
    """[H, W] ids of one image: instances in the order of their centers, then stuff by class."""
    full = {
        name: F.interpolate(value, size, mode="bilinear", align_corners=settings.align_corners)[0]
        for name, value in outputs.items()
    }
    labels = full["semantic"].argmax(axis=0)
    is_thing = paddle.zeros(size, "bool")
    for category in np.flatnonzero(settings.is_thing).tolist():
        is_thing = is_thing | (labels == category)
    nearest = nearest_centers(find_centers(full["center"][0], settings), full["offset"])
    instances = nearest * is_thing.astype("int64")
    ids = np.zeros(size, np.int32)
    for number in range(1, int(instances.max()) + 1):
        mask = instances == number
        if mask.any():
            ids[mask.numpy()] = ids.max() + 1
    for category in np.flatnonzero(~settings.is_thing).tolist():
        mask = (labels == category) & (instances == 0)
        if int(mask.sum()) >= settings.min_stuff_area:
            ids[mask.numpy()] = ids.max() + 1
    return ids


def find_centers(heatmap: paddle.Tensor, settings: GroupingSettings) -> paddle.Tensor:
    """[K, 2] (y, x) of the peaks of a heatmap [H, W], in row-major order."""
    kernel, k = settings.nms_kernel, settings.top_k
    highest = F.max_pool2d(heatmap[None, None], kernel, stride=1, padding=kernel // 2)[0, 0]
    peaks = paddle.nonzero((heatmap == highest) & (heatmap > settings.threshold))
    if len(peaks) > k:
        peaks = peaks.gather(paddle.gather_nd(heatmap, peaks).topk(k)[1].sort())
    return peaks


def nearest_centers(centers: paddle.Tensor, offsets: paddle.Tensor) -> paddle.Tensor:
    """[H, W] number of the center nearest to pixel + offset, by [K, H, W] distances."""
    height, width = offsets.shape[1:]
    if not len(centers):
        return paddle.zeros([height, width], "int64")
    rows = paddle.arange(height, dtype="float32").reshape([-1, 1]) + offsets[0]
    columns = paddle.arange(width, dtype="float32") + offsets[1]
    y, x = centers.astype("float32").reshape([-1, 2, 1, 1]).unbind(axis=1)
    return ((y - rows) ** 2 + (x - columns) ** 2).argmin(axis=0) + 1
