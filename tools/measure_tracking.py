"""Measure ids that last: the STQ of each step of the tracker, and the time that it takes.

Each frame of the sequences is predicted once; all steps see the same predictions, and their times
are taken in turns with the network's. Sequences come from make_scenes.py or lie in the same layout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument, add_json_argument
from panoptic_deeplab.files import write_json
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.text_table import align

if TYPE_CHECKING:
    from panoptic_deeplab.datasets import CityscapesSequences

_BASELINE = {"iou_threshold": 0.3, "class_change_threshold": None, "use_flow": False}
STEPS: dict[str, dict[str, Any]] = {
    "STEP's baseline": _BASELINE,
    "+ masks move with the optical flow": _BASELINE | {"use_flow": True},
    "+ an IoU of 0.1 is enough": _BASELINE | {"use_flow": True, "iou_threshold": 0.1},
    "+ scores vote on the class": {},
}
"""Name of a step -> arguments of its `Tracker`; each adds to the one before."""
_SCORES = ("stq", "aq", "iou")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and return the exit code."""
    parser = script_parser(
        __doc__,
        "python tools/make_scenes.py --output output/sequences --sequences 20 --seed 200\n"
        "  python tools/measure_tracking.py --model_path panoptic_deeplab_lite_scenes "
        "--dataset_root output/sequences",
    )
    parser.add_argument("--model_path", required=True, help="the model whose predictions count")
    parser.add_argument("--dataset_root", required=True, help="the folder of the sequences")
    parser.add_argument("--mode", default="val", help="their split (default: %(default)s)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "gpu"))
    add_json_argument(parser)
    add_debug_argument(parser)
    return run(_measure, parser.parse_args(argv))


def _measure(arguments: argparse.Namespace) -> None:
    from panoptic_deeplab.datasets import CityscapesSequences
    from panoptic_deeplab.inference.model import load_model

    dataset = CityscapesSequences(arguments.dataset_root, arguments.mode)
    model = load_model(arguments.model_path, arguments.device)
    rows, seconds = measure(dataset, model.predictor)
    print(_table(rows))
    print(_times(rows, seconds))
    if arguments.json is not None:
        write_json(arguments.json, {"steps": rows, "seconds_per_frame": seconds}, indent=2)


def measure(
    dataset: CityscapesSequences, predictor: Any
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Score all steps on all sequences.

    Returns:
        For each of the `STEPS` its `name`, `stq`, `aq`, `iou` (0..1) and `seconds` per frame; and
        the seconds per frame of the model's own steps.
    """
    from panoptic_deeplab.evaluation import SegmentationTrackingQuality
    from panoptic_deeplab.stopwatch import Stopwatch
    from panoptic_deeplab.structures import PanopticMap
    from panoptic_deeplab.tracking import Tracker

    info, watch = dataset.info, Stopwatch()
    trackers = {name: Tracker(info, **arguments) for name, arguments in STEPS.items()}
    scores = {name: SegmentationTrackingQuality(info) for name in STEPS}
    last = None
    for index in progress_bar(
        range(len(dataset)), title="frames", total=len(dataset), unit="frames"
    ):
        sample, sequence = dataset[index], dataset.records[index].sequence
        truth = PanopticMap(sample["panoptic"], sample["segments"], sequence=sequence)
        (prediction,) = predictor.predict([sample["image"]])
        for name, tracker in trackers.items():
            if sequence != last:
                tracker.reset()
            with watch.timing(name):
                tracked = tracker.update(prediction, sample["image"])
            scores[name].update(tracked, truth)
        last = sequence
    rows = [
        {"name": name}
        | {key: score for key, score in scores[name].compute().items() if key in _SCORES}
        | {"seconds": watch.seconds[name] / len(dataset)}
        for name in STEPS
    ]
    seconds = predictor.watch.seconds.items()
    return rows, {step: total / len(dataset) for step, total in seconds}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    texts = [("step", "STQ", "AQ", "IoU", "ms a frame")]
    for row in rows:
        scores = (f"{100 * row[key]:.2f}" for key in _SCORES)
        texts.append((row["name"], *scores, f"{1000 * row['seconds']:.1f}"))
    return align(texts)


def _times(rows: Sequence[dict[str, Any]], seconds: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in seconds.items())
    ratio = rows[-1]["seconds"] / next(iter(seconds.values()))
    return f"a frame: {parts}; tracking takes {100 * ratio:.1f}% of the first"


if __name__ == "__main__":
    sys.exit(main())
