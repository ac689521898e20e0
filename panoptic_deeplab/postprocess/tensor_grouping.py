"""The grouping in Paddle's operators: for outputs on a GPU, and inside exported programs.

It gives the ids of `postprocess.plain`. There is no loop over instances or images and no map for
each center; only the distances are computed in blocks. Sizes may be known only when a program
runs; there they are tensors. Operators treat empty inputs differently, so no list of pixels is ever
empty; a top-k may keep any of equal values, so ties are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.resample import resize_map
from panoptic_deeplab.structures import Frame, Prediction, Segment, smallest_label_type

_BLOCK = 1 << 13
"""Thing pixels whose distances to all centers are held at a time in a program."""

_PAIRS = 1 << 25
"""The same outside of one, on a GPU, as pairs of a pixel and a center: 134 MB each time they are
held, for 32 centers blocks of 2^20 pixels."""

Tensor = paddle.Tensor
Size = Sequence[int] | Sequence[Tensor]


class TensorGrouping:
    """Outputs -> panoptic maps, semantic maps and segment tables, all tensors."""

    def __init__(self, settings: GroupingSettings) -> None:
        self.settings = settings
        self.is_thing = settings.is_thing.astype(np.int64)

    def __call__(
        self,
        outputs: Mapping[str, Tensor],
        size: Size,
        box: tuple[int, int, int, int] | None = None,
    ) -> dict[str, Tensor]:
        """Group the outputs of a batch; each segment table has M = top_k + C rows.

        Args:
            outputs: `semantic` [N, C, h, w], `center` [N, 1, h, w] and `offset` [N, 2, h, w].
            size: (height, width) of the network's input.
            box: (top, left, bottom, right) of the images in the input, if they do not fill it.

        Returns:
            `panoptic` [N, H, W] int32, 0 or the id of a segment; `semantic_map` [N, H, W] int32;
            `segment_class` [N, M] int32, `segment_score` [N, M] float32 and `segment_area` [N, M]
            int32, row i of the segment with id i + 1, class -1 where there is none;
            `segment_count` [N] int32.
        """
        logits, heatmap, offsets = (
            resize_map(outputs[name].astype("float32"), size, self.settings.align_corners)
            for name in ("semantic", "center", "offset")
        )
        if box is not None:
            top, left, bottom, right = box
            logits, heatmap, offsets = (
                values[:, :, top:bottom, left:right] for values in (logits, heatmap, offsets)
            )
        labels = logits.argmax(axis=1)  # [N, H, W]
        centers, is_center = self._centers(heatmap[:, 0])
        instances = self._instances(centers, is_center, offsets, labels)
        slots, counts = self._count(instances, labels)
        ids, table = self._vote(counts)
        panoptic = _look_up(ids, slots)
        scores = _scores(panoptic, table, logits)
        return {
            "panoptic": panoptic.astype("int32"),
            "semantic_map": labels.astype("int32"),
            "segment_class": table.category.astype("int32"),
            "segment_score": scores.astype("float32"),
            "segment_area": table.area.astype("int32"),
            "segment_count": table.count.astype("int32"),
        }

    def _centers(self, heatmap: Tensor) -> tuple[Tensor, Tensor]:
        """[N, K, 2] float32 (y, x) of the centers in row-major order; [N, K] bool which exist."""
        width = _shape(heatmap)[2]
        is_peak = self._without_later_equals(heatmap, self._is_highest(heatmap)).flatten(1)
        values = heatmap.flatten(1)
        heatmap = paddle.where(is_peak, values, paddle.full_like(values, -np.inf))
        more = paddle.full_like(heatmap[:, :1], -np.inf).expand([-1, self.settings.top_k])
        kth = paddle.topk(paddle.concat([heatmap, more], axis=1), self.settings.top_k)[0][:, -1:]
        ties = is_peak & (heatmap == kth)
        above = (heatmap > kth).astype("int64").sum(axis=1, keepdim=True)
        kept = (heatmap > kth) | (
            ties & (paddle.cumsum(ties.astype("int64"), axis=1) + above <= self.settings.top_k)
        )
        pixels = _shape(heatmap)[1]
        from_end = kept.astype("int64") * (pixels - paddle.arange(0, pixels, dtype="int64"))
        nothing = paddle.zeros_like(more).astype("int64")
        order = paddle.topk(paddle.concat([from_end, nothing], axis=1), self.settings.top_k)[0]
        place = pixels - order
        centers = paddle.stack([place // width, place % width], axis=2).astype("float32")
        return centers, order > 0

    def _is_highest(self, heatmap: Tensor) -> Tensor:
        """[N, H, W] bool: above the threshold and not below a pixel in the window around it."""
        heatmap = paddle.where(paddle.isnan(heatmap), paddle.full_like(heatmap, -np.inf), heatmap)
        highest = F.max_pool2d(
            heatmap.unsqueeze(1),
            self.settings.nms_kernel,
            stride=1,
            padding=self.settings.nms_kernel // 2,
        )
        return (heatmap > self.settings.threshold) & (heatmap == highest[:, 0])

    def _without_later_equals(self, heatmap: Tensor, is_highest: Tensor) -> Tensor:
        """[N, H, W] bool: the highest pixels with no equal one earlier in their window."""
        reach = self.settings.nms_kernel // 2
        if not reach:
            return is_highest
        sides = [reach, reach, reach, reach]
        bordered = F.pad(heatmap.unsqueeze(1), sides, value=-np.inf)[:, 0]
        width = _shape(bordered)[2]
        flags = F.pad(is_highest.astype("float32").unsqueeze(1), sides)[:, 0]
        flat, keep = bordered.flatten(), flags.flatten()
        places = _where(keep > 0)  # 0, in the border, is among them
        own, first = _look_up(flat, places), paddle.ones_like(places).astype("float32")
        steps = paddle.arange(-reach, reach + 1, dtype="int64")
        for row in range(-reach, 1):
            shifts = row * width + (steps if row else steps[:reach])
            others = _look_up(flat, (places.unsqueeze(1) + shifts).clip(min=0))
            first *= 1 - (others == own.unsqueeze(1)).any(axis=1).astype("float32")
        keep = paddle.scatter(keep, places, first).reshape(_shape(flags))
        return keep[:, reach:-reach, reach:-reach] > 0

    def _instances(
        self, centers: Tensor, is_center: Tensor, offsets: Tensor, labels: Tensor
    ) -> Tensor:
        """[N * H * W] int64: the instance 1..K, 0 where there is no thing or no center."""
        size = _shape(labels)
        width, area = size[2], size[1] * size[2]
        is_thing = _look_up(paddle.assign(self.is_thing), labels.flatten())
        places = _where(is_thing > 0)
        count = _shape(places)[0]
        # [N, 1..K]: an absent center is infinitely far
        max_count = is_center.astype("int64").sum(axis=1).max().clip(min=1)
        if paddle.in_dynamic_mode():
            max_count = int(max_count)
        far = paddle.full_like(centers[:, :max_count, 0], np.inf)
        rows, columns = (
            paddle.where(is_center[:, :max_count], centers[:, :max_count, axis], far)
            for axis in (0, 1)
        )
        down, right = (offsets[:, axis].flatten() for axis in (0, 1))

        def assign(start: int | Tensor, found: Tensor, block: int) -> Tensor:
            here = (start + paddle.arange(block, dtype="int64")).clip(max=count - 1)
            place = places.gather(here)
            image, pixel = place // area, place % area
            y = (pixel // width).astype("float32") + down.gather(place)
            x = (pixel % width).astype("float32") + right.gather(place)
            nearest = _nearest(rows.gather(image), columns.gather(image), y, x)
            return paddle.scatter(found, here, nearest)

        found = _in_blocks(assign, count, max_count, paddle.zeros_like(places))
        instances = paddle.scatter(paddle.zeros_like(is_thing), places, found)
        has_center = is_center[:, :1].astype("int64").expand([-1, area]).flatten()
        return instances * is_thing * has_center

    def _count(self, instances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The slot [N, H, W] of each pixel; how many pixels [N, K + 1, C] each slot has."""
        rows, classes = self.settings.top_k + 1, len(self.is_thing)
        images = _shape(labels)[0]
        image = paddle.arange(0, images, dtype="int64").reshape([-1, 1, 1])
        slots = (image * rows + instances.reshape(_shape(labels))) * classes + labels
        counts = _histogram(slots.flatten(), images * rows * classes)
        return slots, counts.reshape([-1, rows, classes])

    def _vote(self, counts: Tensor) -> tuple[Tensor, _Table]:
        """The majority vote: [N, K + 1, C] id of the pixels in each slot; the segments."""
        classes = len(self.is_thing)
        category = paddle.arange(classes, dtype="int64")
        is_thing = paddle.assign(self.is_thing)
        is_instance = (paddle.arange(self.settings.top_k + 1, dtype="int64") > 0).astype("int64")
        votes = counts * is_thing * is_instance.unsqueeze(1)
        areas = votes.sum(axis=2)
        # the lowest class among those with equally many votes
        winners = classes - 1 - (votes * classes + classes - 1 - category).max(axis=2) % classes
        is_winner = (areas > 0).astype("int64")
        instance_ids = paddle.cumsum(is_winner, axis=1) * is_winner
        stuff_areas = counts[:, 0]
        is_large = (stuff_areas >= max(self.settings.min_stuff_area, 1)).astype("int64")
        kept = is_large * (1 - is_thing)
        stuff_ids = (is_winner.sum(axis=1, keepdim=True) + paddle.cumsum(kept, axis=1)) * kept
        ids = instance_ids.unsqueeze(2) * is_thing + stuff_ids.unsqueeze(1) * (
            1 - is_instance
        ).unsqueeze(1)
        return ids, _Table.of(
            paddle.concat([instance_ids, stuff_ids], axis=1),
            paddle.concat([winners, category.expand_as(stuff_ids)], axis=1),
            paddle.concat([areas, stuff_areas], axis=1),
        )


def predict_one(
    outputs: Mapping[str, Tensor], frame: Frame, settings: GroupingSettings
) -> Prediction:
    """The prediction of one image [1, C, h, w] in its valid box, by one copy to the host."""
    result = TensorGrouping(settings)(outputs, frame.size, frame.valid_box)
    label_type = np.dtype(smallest_label_type(settings.num_classes))
    fits = settings.top_k + settings.num_classes <= np.iinfo(np.int16).max
    narrow = {
        "panoptic": result["panoptic"].astype("int16" if fits else "int32"),
        "semantic_map": result["semantic_map"].astype(label_type.name),
    }
    result = to_host(result | narrow)
    rows = zip(
        *(result[f"segment_{name}"][0].tolist() for name in ("class", "area", "score")),
        strict=True,
    )
    segments = [
        Segment(i, category, area=area, is_thing=category in settings.thing_ids, score=score)
        for i, (category, area, score) in enumerate(rows, start=1)
        if category >= 0
    ]
    ids = result["panoptic"][0].astype(np.int32)
    return Prediction(ids, segments, np.array(result["semantic_map"][0]))


def to_host(result: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The tensors of a result as arrays, by one copy of all their bytes."""
    # the widest numbers first, so that all begin where theirs may
    ordered = sorted(result.items(), key=lambda item: -item[1].element_size())
    flat = paddle.concat([values.flatten().view("uint8") for _, values in ordered]).numpy()
    ends = np.cumsum([values.size * values.element_size() for _, values in ordered])
    return {
        name: part.view(str(values.dtype).removeprefix("paddle.")).reshape(values.shape)
        for part, (name, values) in zip(np.split(flat, ends[:-1]), ordered, strict=True)
    }


@dataclass(frozen=True)
class _Table:
    """The segments of N images in the order of their ids, M rows each.

    Attributes:
        category: [N, M] int64, -1 from row `count` on.
        area: [N, M] int64, 0 from there on.
        count: [N] int64.
    """

    category: Tensor
    area: Tensor
    count: Tensor

    @classmethod
    def of(cls, ids: Tensor, categories: Tensor, areas: Tensor) -> _Table:
        """The table of candidates [N, M + 1]; only candidates with an id are segments."""
        is_segment = (ids > 0).astype("int64")
        nothing = paddle.zeros_like(ids)

        def by_id(values: Tensor) -> Tensor:
            values = values * is_segment
            return paddle.put_along_axis(nothing, ids, values, 1, reduce="add")[:, 1:]

        return cls(by_id(categories + 1) - 1, by_id(areas), is_segment.sum(axis=1))


def _shape(values: Tensor) -> Sequence[Any] | Tensor:
    """The sizes of a tensor: numbers, or in a program, where they are known late, int64."""
    if paddle.in_dynamic_mode():
        return values.shape
    return paddle.shape(values).astype("int64")


def _in_blocks(
    assign: Callable[[Any, Tensor, int], Tensor], count: Any, max_count: Any, found: Tensor
) -> Tensor:
    """`assign(start, found, block)` from each start, one after the other, until `count`.

    Args:
        assign: returns `found` with the pixels from `start` on, `block` of them.
        count: number of pixels, a number or in a program a tensor.
        max_count: number of centers, likewise.
        found: before the first block.
    """
    if paddle.in_dynamic_mode():
        block = min(max(_PAIRS // max_count, 1), count)
        for start in range(0, count, block):
            found = assign(start, found, block)
        return found

    def has_more(start: Tensor, _: Tensor) -> Tensor:
        return start < count

    def step(start: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
        return start + _BLOCK, assign(start, found, _BLOCK)

    return paddle.static.nn.while_loop(has_more, step, [paddle.zeros([], "int64"), found])[1]


def _where(flags: Tensor) -> Tensor:
    """[M + 1] int64: 0, then the indices at which [L] bool is True."""
    return paddle.concat([paddle.zeros([1], "int64"), paddle.nonzero(flags).flatten()])


def _look_up(values: Tensor, places: Tensor) -> Tensor:
    """The values at flat indices of any shape (`paddle.take` is eight times slower)."""
    found = values.flatten().gather(places.flatten())
    return found if places.ndim == 1 else found.reshape(_shape(places))


def _histogram(values: Tensor, length: Tensor) -> Tensor:
    """[length] int64: how often 0..length-1 occur in [M]."""
    zeros = paddle.zeros([length], "int64")
    return paddle.put_along_axis(zeros, values, paddle.ones_like(values), 0, reduce="add")


def _nearest(rows: Tensor, columns: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """[B] int64 1..K: which of the centers [B, K] is the nearest to each point; 1 for NaN."""
    down, right = rows - y.unsqueeze(1), columns - x.unsqueeze(1)
    nearest = (down * down + right * right).argmin(axis=1) + 1
    is_number = paddle.isfinite(y) & paddle.isfinite(x)
    return paddle.where(is_number, nearest, paddle.ones_like(nearest))


def _scores(panoptic: Tensor, table: _Table, logits: Tensor) -> Tensor:
    """[N, M] the mean probability of its class over a segment; logits are at the pixels' size."""
    shape = _shape(logits)
    area = shape[2] * shape[3]
    image = paddle.arange(0, shape[0], dtype="int64").reshape([-1, 1, 1])
    categories = F.pad(table.category, [1, 0], value=0).clip(min=0)  # of id 0 too
    ids = image * _shape(categories)[1] + panoptic
    planes = (image * shape[1] + _look_up(categories, ids)).flatten(1)
    pixels = planes * area + paddle.arange(0, area, dtype="int64")
    own = _look_up(logits, pixels).reshape(_shape(panoptic)).unsqueeze(1)
    # the softmax without a highest logit: where the sum overflows, the probability is 0
    probability = 1 / (logits - own).exp().sum(axis=1)
    probability = paddle.where(
        paddle.isnan(probability), paddle.zeros_like(probability), probability
    )
    sums = paddle.put_along_axis(
        paddle.zeros_like(categories).astype("float64").flatten(),
        ids.flatten(),
        probability.flatten().astype("float64"),
        0,
        reduce="add",
    ).reshape(_shape(categories))[:, 1:]
    return sums / table.area.clip(min=1).astype("float64")
