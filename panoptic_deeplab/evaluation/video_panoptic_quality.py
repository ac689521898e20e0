"""Video panoptic quality (Kim et al., "Video Panoptic Segmentation", CVPR 2020)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.evaluation.label_pairs import (
    LabelMaps,
    LabelPairs,
    Labels,
    classes_of,
    ids_of,
    pairs_of_maps,
    pairs_of_segments,
    refuse_shared,
    sequence_of,
)
from panoptic_deeplab.evaluation.overlaps import mean_of_known, ratio
from panoptic_deeplab.evaluation.panoptic_quality import IGNORED_FRACTION, MATCHING_IOU
from panoptic_deeplab.registry import EVALUATORS
from panoptic_deeplab.structures import PanopticMap, Prediction

WINDOW_SIZES = (1, 2, 3, 4)
_COUNTS = ("iou", "tp", "fp", "fn")
_GROUPS = ("all", "things", "stuff")


def _void_and_crowds_of_coco(labels: np.ndarray, info: Labels) -> tuple[np.ndarray, np.ndarray]:
    classes = classes_of(labels)
    is_crowd = np.isin(classes, list(info.thing_ids)) & (ids_of(labels) == 0)
    return classes == info.ignore_index, is_crowd


def _void_and_crowds_of_deeplab2(labels: np.ndarray, info: Labels) -> tuple[np.ndarray, np.ndarray]:
    is_void = (classes_of(labels) == info.ignore_index) & (ids_of(labels) == 0)
    return is_void, np.zeros(labels.shape, bool)


RULES: dict[str, Callable[[np.ndarray, Labels], tuple[np.ndarray, np.ndarray]]] = {
    "coco": _void_and_crowds_of_coco,
    "deeplab2": _void_and_crowds_of_deeplab2,
}
"""Which annotated labels are void and which are crowds, by rule."""


@EVALUATORS.add_component
class VideoPanopticQuality:
    """VPQ, SQ and RQ: panoptic quality of the tubes in all windows of k consecutive frames.

    In a window, a segment is all pixels of one class and id. Windows never cover two sequences, and
    a sequence has max(0, T - k + 1) of them. The frames of a sequence come in their order; several
    sequences may come in turn.

    Args:
        info: the classes; a `DatasetInfo`, or a `LabelSpace` where there are but numbers.
        rule: "coco", as panopticapi scores the frames of a window side by side: crowds (annotated
            things with id 0) neither match nor count. "deeplab2", as its
            `video_panoptic_quality.py`: a crowd is a segment as others are, and void with an id
            above 0 stays in the unions. They agree where the annotation has neither.
        window_sizes: k, in annotated frames; the mean over these is the score.

    Raises:
        UsageError: the rule is unknown, or a window has no frame.
    """

    def __init__(
        self, info: Labels, rule: str = "coco", window_sizes: Sequence[int] = WINDOW_SIZES
    ) -> None:
        if rule not in RULES:
            raise UsageError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
        if not window_sizes or min(window_sizes) < 1 or len(set(window_sizes)) < len(window_sizes):
            raise UsageError(
                f"window_sizes must be different numbers of at least 1, got {list(window_sizes)}"
            )
        self.info = info
        self.window_sizes = tuple(window_sizes)
        self._void_and_crowds = RULES[rule]
        self.reset()

    def reset(self) -> None:
        """Forget all sequences."""
        self._counts: dict[str, np.ndarray] = {}  # [K, 4, C] each
        self._frames: dict[str, int] = {}
        self._latest: dict[str, deque[LabelPairs]] = {}

    def update(self, prediction: Prediction, truth: PanopticMap) -> None:
        """Count the windows that end with a frame of `truth.sequence`.

        The id of a thing is its `track_id`, else its id in the map.

        Raises:
            DataError: the annotation names no sequence, or the two cannot be compared.
        """
        self._add(sequence_of(truth), pairs_of_segments(prediction, truth, self.info))

    def update_maps(self, prediction: LabelMaps, truth: LabelMaps, sequence: str) -> None:
        """Count the windows that end with a frame, from label maps.

        Args:
            prediction, truth: (classes, ids), [H, W] whole numbers each.
            sequence: the sequence's name.

        Raises:
            DataError: the maps differ in size, or a class or an id is out of range.
        """
        self._add(sequence, pairs_of_maps(prediction, truth, self.info))

    def _add(self, sequence: str, frame: LabelPairs) -> None:
        if sequence in self._counts and sequence not in self._latest:
            raise DataError(
                f"sequence {sequence!r} was counted by another evaluator; give all its frames to "
                "one"
            )
        latest = self._latest.setdefault(sequence, deque(maxlen=max(self.window_sizes)))
        latest.appendleft(frame)
        counts = self._counts.setdefault(sequence, self._zeros())
        self._frames[sequence] = self._frames.get(sequence, 0) + 1
        windows = accumulate(latest, lambda window, earlier: LabelPairs.sum([window, earlier]))
        for size, window in enumerate(windows, 1):
            if size in self.window_sizes:
                counts[self.window_sizes.index(size)] += self._count_window(window)

    def _count_window(self, pairs: LabelPairs) -> np.ndarray:
        """[4, C] the sum of matched IoUs, and tp, fp, fn of a window."""
        truth, row = np.unique(pairs.truth, return_inverse=True)
        predicted, column = np.unique(pairs.prediction, return_inverse=True)
        categories, predicted_categories = classes_of(truth), classes_of(predicted)
        is_void, is_crowd = self._void_and_crowds(truth, self.info)
        ignore = self.info.ignore_index
        counts = (categories != ignore) & ~is_crowd  # [G]
        same_class = categories[row] == predicted_categories[column]

        def predicted_pixels(chosen: np.ndarray) -> np.ndarray:
            return np.bincount(column, pairs.pixels * chosen)

        areas = np.bincount(row, pairs.pixels)
        predicted_areas = np.bincount(column, pairs.pixels)
        on_void = predicted_pixels(is_void[row])
        on_crowd = predicted_pixels(is_crowd[row] & same_class)

        unions = areas[row] + (predicted_areas - on_void)[column] - pairs.pixels
        comparable = counts[row] & same_class
        iou = np.divide(pairs.pixels, unions, out=np.zeros(unions.shape), where=comparable)
        matches = iou > MATCHING_IOU
        missed, wrong = counts.copy(), predicted_categories != ignore
        missed[row[matches]] = False
        wrong[column[matches]] = False
        wrong &= (on_void + on_crowd) / predicted_areas <= IGNORED_FRACTION
        matched = categories[row[matches]]
        return np.stack(
            [
                np.bincount(matched, iou[matches], self.info.num_classes),
                np.bincount(matched, minlength=self.info.num_classes),
                np.bincount(predicted_categories[wrong], minlength=self.info.num_classes),
                np.bincount(categories[missed], minlength=self.info.num_classes),
            ]
        )

    def _zeros(self) -> np.ndarray:
        return np.zeros((len(self.window_sizes), len(_COUNTS), self.info.num_classes))

    def state(self) -> dict[str, np.ndarray]:
        """Return the counts: `sequences` and `frames` [S]; `counts` [S, K, 4, C], for each window
        size and class the sum of matched IoUs, and tp, fp, fn."""
        counts = np.array(list(self._counts.values())).reshape(-1, *self._zeros().shape)
        return {
            "sequences": np.array(list(self._counts), str),
            "frames": np.array(list(self._frames.values()), np.int64),
            "counts": counts,
        }

    def merge(self, state: Mapping[str, np.ndarray]) -> None:
        """Add the counts of another process, on other sequences; none can be continued here.

        Raises:
            DataError: both have counted frames of one sequence.
        """
        names = state["sequences"].tolist()
        refuse_shared(self._counts, names)
        for name, frames, counts in zip(names, state["frames"], state["counts"], strict=True):
            self._counts[name], self._frames[name] = counts.copy(), int(frames)

    def compute(self) -> dict[str, Any]:
        """Compute the scores of all sequences so far, 0..1.

        Returns:
            `vpq`, the mean over the window sizes; `vpq_mean`: the same as `all`, `things`, `stuff`;
            `vpq_by_window`: by window size `all`, `things`, `stuff`, dicts of `vpq`, `sq`, `rq` and
            `n`, the means over the n classes that occurred, `per_class`, by class name `vpq`, `sq`,
            `rq`, `iou` (the sum of matched ones), `tp`, `fp`, `fn`, and `windows`, how many were
            counted; `per_sequence`: by name `frames`, `vpq`, and `vpq_1` and so on by window size.
            NaN for what never occurred, and for a mean where a window size has no score.
        """
        total = sum(self._counts.values(), self._zeros())
        by_window = {
            str(size): self._scores(counts)
            | {"windows": sum(max(0, frames - size + 1) for frames in self._frames.values())}
            for size, counts in zip(self.window_sizes, total, strict=True)
        }
        mean = {
            group: float(np.mean([scores[group]["vpq"] for scores in by_window.values()]))
            for group in _GROUPS
        }
        return {
            "vpq": mean["all"],
            "vpq_mean": mean,
            "vpq_by_window": by_window,
            "per_sequence": {
                name: {"frames": self._frames[name]} | self._of_sequence(counts)
                for name, counts in self._counts.items()
            },
        }

    def _of_sequence(self, counts: np.ndarray) -> dict[str, float]:
        values = [self._scores(one)["all"]["vpq"] for one in counts]
        by_window = {
            f"vpq_{size}": value for size, value in zip(self.window_sizes, values, strict=True)
        }
        return by_window | {"vpq": float(np.mean(values))}

    def _scores(self, counts: np.ndarray) -> dict[str, Any]:
        """The scores of one window size by its counts [4, C]."""
        iou, tp, fp, fn = counts
        whole = tp + fp / 2 + fn / 2
        occurred = whole > 0
        values = {
            "vpq": ratio(iou, whole),
            "sq": np.where(occurred, iou / np.maximum(tp, 1), np.nan),  # 0 if never found
            "rq": ratio(tp, whole),
        }
        is_thing = np.isin(np.arange(self.info.num_classes), list(self.info.thing_ids))
        groups = zip(_GROUPS, (np.ones_like(is_thing), is_thing, ~is_thing), strict=True)
        scores: dict[str, Any] = {
            group: {key: mean_of_known(value[chosen]) for key, value in values.items()}
            | {"n": int(occurred[chosen].sum())}
            for group, chosen in groups
        }
        scores["per_class"] = {
            name: {key: float(value[i]) for key, value in values.items()}
            | {"iou": float(iou[i]), "tp": int(tp[i]), "fp": int(fp[i]), "fn": int(fn[i])}
            for name, i in self.info.index_of_name.items()
        }
        return scores
