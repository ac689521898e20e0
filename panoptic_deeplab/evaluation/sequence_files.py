"""STQ and VPQ of files: folders of label PNGs, a folder a sequence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from panoptic_deeplab.errors import DataError, UsageError, error_context
from panoptic_deeplab.evaluation.files import find_files
from panoptic_deeplab.evaluation.label_pairs import LabelMaps
from panoptic_deeplab.evaluation.tracking_quality import SegmentationTrackingQuality
from panoptic_deeplab.evaluation.video_panoptic_quality import VideoPanopticQuality
from panoptic_deeplab.file_names import frame_order
from panoptic_deeplab.formats.kitti_step import (
    KITTI_STEP,
    MOTCHALLENGE_STEP,
    read_step_maps,
    read_two_channel_maps,
)
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.structures import DatasetInfo

DATA_SETS: dict[str, DatasetInfo] = {
    "kitti_step": KITTI_STEP,
    "motchallenge_step": MOTCHALLENGE_STEP,
}
"""The classes, by the name of the data set."""

PNGS: dict[str, Callable[[Path], LabelMaps]] = {
    "three_channel_png": read_step_maps,
    "two_channel_png": read_two_channel_maps,
}
"""Readers of predictions, by deeplab2's name of the form."""


class _Frame(NamedTuple):
    """Annotation and prediction of a frame, and the sequence that it belongs to."""

    sequence: str
    truth: Path
    prediction: Path


def evaluate_stq_files(
    gt_folder: str | Path,
    pred_folder: str | Path,
    *,
    data_set: str = "kitti_step",
    png: str = "three_channel_png",
    num_workers: int = 0,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Score STQ, as deeplab2 does.

    Args:
        gt_folder: `SEQUENCE/FRAME.png`, R = class, 256 G + B = id, such as `panoptic_maps/val`.
        pred_folder: the same names; what has no annotation is ignored.
        data_set: one of `DATA_SETS`, for the classes.
        png: one of `PNGS`, the form of the predictions.
        num_workers: threads that read ahead.
        show_progress: whether a bar on standard error counts the frames.

    Returns:
        What `SegmentationTrackingQuality.compute()` returns, 0..1.

    Raises:
        DataError: a file is missing or unreadable or has an unknown class, or sizes differ.
        UsageError: data set or form are unknown.
    """
    info, read = _chosen(DATA_SETS, "data_set", data_set), _chosen(PNGS, "png", png)
    frames = _pair_frames(Path(gt_folder), Path(pred_folder))
    return _score(SegmentationTrackingQuality(info), frames, read, num_workers, show_progress)


def evaluate_vpq_files(
    gt_folder: str | Path,
    pred_folder: str | Path,
    *,
    rule: str = "coco",
    data_set: str = "kitti_step",
    png: str = "three_channel_png",
    num_workers: int = 0,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Score VPQ for windows of 1, 2, 3 and 4 frames; arguments and errors as `evaluate_stq_files`.

    Args:
        rule: "coco" or "deeplab2", see `VideoPanopticQuality`.

    Returns:
        What `VideoPanopticQuality.compute()` returns, 0..1.
    """
    info, read = _chosen(DATA_SETS, "data_set", data_set), _chosen(PNGS, "png", png)
    evaluator = VideoPanopticQuality(info, rule)
    frames = _pair_frames(Path(gt_folder), Path(pred_folder))
    return _score(evaluator, frames, read, num_workers, show_progress)


def _chosen(table: dict[str, Any], what: str, name: str) -> Any:
    if name not in table:
        raise UsageError(f"{what} must be one of {', '.join(table)}, got {name!r}")
    return table[name]


def _pair_frames(gt_folder: Path, pred_folder: Path) -> list[_Frame]:
    """Pair each annotated frame, in order, with the prediction of its name."""
    names = [path.relative_to(gt_folder) for path in find_files(gt_folder, ".png")]
    flat = next((name for name in names if len(name.parts) == 1), None)
    if flat is not None:
        raise DataError(
            f"{gt_folder / flat}: lies in no folder of a sequence; expected SEQUENCE/FRAME.png "
            f"below {gt_folder}"
        )
    missing = [name for name in names if not (pred_folder / name).is_file()]
    if missing:
        raise DataError(
            f"{pred_folder / missing[0]}: no such file; predictions are missing for {len(missing)} "
            f"of {len(names)} annotated frames"
        )
    names.sort(key=lambda name: (name.parent.as_posix(), frame_order(name.stem)))
    return [_Frame(name.parent.as_posix(), gt_folder / name, pred_folder / name) for name in names]


def _score(
    evaluator: SegmentationTrackingQuality | VideoPanopticQuality,
    frames: list[_Frame],
    read_prediction: Callable[[Path], LabelMaps],
    num_workers: int,
    show_progress: bool,
) -> dict[str, Any]:
    def read(frame: _Frame) -> tuple[_Frame, LabelMaps, LabelMaps]:
        return frame, read_prediction(frame.prediction), read_step_maps(frame.truth)

    with progress_bar(
        title="scoring", total=len(frames), unit="frames", hidden=not show_progress
    ) as bar:
        for frame, prediction, truth in read_ahead(read, frames, num_workers):
            with error_context(frame.prediction):
                evaluator.update_maps(prediction, truth, frame.sequence)
            bar.update()
    return evaluator.compute()
