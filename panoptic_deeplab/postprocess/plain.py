"""Panoptic-DeepLab's grouping stated plainly: what the fast forms must equal, pixel for pixel.

All maps at full size, a distance map for each center, a mask for each instance
(https://arxiv.org/abs/1911.10194, section 3.2). Tests and benchmarks compare with this page;
nothing that a user calls runs it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import paddle

from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.resample import resize_map
from panoptic_deeplab.structures import Frame, Prediction, Segment, smallest_label_type

Arrays = Mapping[str, np.ndarray]


def predict(outputs: Arrays, frame: Frame, settings: GroupingSettings) -> Prediction:
    """Predict one image, in pixels of the frame's valid box.

    Args:
        outputs: `semantic` [C, h, w], `center` [1, h, w] and `offset` [2, h, w] float32.
        frame: where the image lies in the network's input.
        settings: of the grouping.
    """
    maps = upsample(outputs, frame, settings.align_corners)
    labels = classify(maps["semantic"])
    centers = find_centers(
        maps["center"][0], settings.threshold, settings.nms_kernel, settings.top_k
    )
    instances = group_pixels(centers, maps["offset"], settings.is_thing[labels])
    ids, segments = vote(labels, instances, settings)
    label_type = smallest_label_type(settings.num_classes)
    return Prediction(ids, segments, labels.astype(label_type))


def upsample(outputs: Arrays, frame: Frame, align_corners: bool) -> dict[str, np.ndarray]:
    """Upsample each map [K, h, w] to the input's size and cut it to the valid box: [K, H, W]."""
    top, left, bottom, right = frame.valid_box
    full = {
        name: resize_map(paddle.to_tensor(value[None]), frame.size, align_corners)[0].numpy()
        for name, value in outputs.items()
    }
    return {name: value[:, top:bottom, left:right] for name, value in full.items()}


def classify(logits: np.ndarray) -> np.ndarray:
    """[C, H, W] -> [H, W] the class of the highest logit, the first on ties; NaN is the lowest."""
    return np.where(np.isnan(logits), -np.inf, logits).argmax(axis=0)


def find_centers(heatmap: np.ndarray, threshold: float, nms_kernel: int, top_k: int) -> np.ndarray:
    """Find the centers [K, 2] (y, x) of a heatmap [H, W], in row-major order.

    A center is above the threshold and has no higher value in its window, and no equal value
    earlier in row-major order. The `top_k` highest are kept, on ties the earlier.
    NaN counts as no value.
    """
    values = np.where(heatmap > threshold, heatmap, -np.inf)
    height, width = values.shape
    reach = nms_kernel // 2
    padded = np.pad(values, reach, constant_values=-np.inf)
    is_center = values > -np.inf
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            y, x = reach + down, reach + right
            neighbors = padded[y : y + height, x : x + width]
            comes_earlier = (down, right) < (0, 0)
            is_center &= neighbors < values if comes_earlier else neighbors <= values
    centers = np.argwhere(is_center)
    highest_first = np.argsort(-values[is_center], kind="stable")
    return centers[np.sort(highest_first[:top_k])]


@np.errstate(over="ignore", invalid="ignore")
def group_pixels(centers: np.ndarray, offsets: np.ndarray, is_thing: np.ndarray) -> np.ndarray:
    """Assign each thing pixel to an instance [H, W]: 1 + the center nearest to pixel + offset.

    0 elsewhere and without centers. Squared distances in float32; the first center wins ties, and
    where every distance is NaN.

    Args:
        centers: [K, 2] (y, x).
        offsets: [2, H, W] float32 (y, x).
        is_thing: [H, W] bool.
    """
    target_y, target_x = np.indices(is_thing.shape).astype(np.float32) + offsets
    instances = np.full(is_thing.shape, min(len(centers), 1))
    shortest = np.full(is_thing.shape, np.inf, np.float32)
    for number, (y, x) in enumerate(centers.astype(np.float32), start=1):
        distance = (y - target_y) ** 2 + (x - target_x) ** 2
        is_nearer = distance < shortest
        instances[is_nearer] = number
        shortest[is_nearer] = distance[is_nearer]
    return instances * is_thing


def vote(
    labels: np.ndarray, instances: np.ndarray, settings: GroupingSettings
) -> tuple[np.ndarray, list[Segment]]:
    """Take the majority vote: ids [H, W] and segments, instances in order, then stuff by class.

    Each instance takes the class that most of its pixels have, the lowest on ties.

    Args:
        labels: [H, W] classes.
        instances: [H, W], 0 for none.
        settings: of the grouping.
    """
    ids, segments = np.zeros(labels.shape, np.int32), []

    def add(mask: np.ndarray, category: int) -> None:
        ids[mask] = len(segments) + 1
        is_thing = bool(settings.is_thing[category])
        segments.append(Segment(len(segments) + 1, category, area=mask.sum(), is_thing=is_thing))

    for number in range(1, instances.max(initial=0) + 1):
        mask = instances == number
        if mask.any():
            add(mask, int(np.bincount(labels[mask]).argmax()))
    for category in np.flatnonzero(~settings.is_thing):
        mask = (labels == category) & (instances == 0)
        if mask.sum() >= max(settings.min_stuff_area, 1):
            add(mask, int(category))
    return ids, segments


def scores(
    prediction: Prediction, outputs: Arrays, frame: Frame, settings: GroupingSettings
) -> list[float]:
    """The mean probability of its class over each segment: the softmax of upsampled logits.

    Args:
        prediction: in pixels of the valid box.
        outputs: as `predict` takes them.
        frame: of the image.
        settings: of the grouping.
    """
    logits = upsample({"semantic": outputs["semantic"]}, frame, settings.align_corners)["semantic"]
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=0))
    probabilities = powers / powers.sum(axis=0)
    return [
        float(probabilities[segment.category][prediction.ids == segment.id].mean())
        for segment in prediction.segments
    ]
