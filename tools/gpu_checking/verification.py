"""What a check's command has to give; all raise `DataError` where it does not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError

Figures = Mapping[str, float | str]
"""For the report, by name."""


def nothing(output: str) -> Figures:
    """Verify nothing but that the command succeeded."""
    return {}


def passed_tests(output: str) -> Figures:
    """Return how many tests passed."""
    return {"tests": int(_found(r"(\d+) passed", output, "no test ran"))}


def agreed(output: str) -> Figures:
    """Return what an export said of its parity."""
    return {"parity": _found(r"parity: (.*)", output, "the export did not say how far it agrees")}


def profiled(output: str) -> Figures:
    """Return the seconds per image of network and grouping, as --profile prints them."""
    return {
        f"{step}_seconds_per_image": float(
            _found(rf"^{step} +\S+ +(\S+)", output, f"the profile does not know the {step}")
        )
        for step in ("network", "grouping")
    }


def ran_on_gpu(output: str) -> Figures:
    """Verify that ONNX Runtime did not say that the CPU computes."""
    if "the CPU computes" in output:
        raise DataError("ONNX Runtime has no GPU: install onnxruntime-gpu in place of onnxruntime")
    return {}


def learned(run: Path) -> Figures:
    """Return the figures of a training whose loss fell."""
    first, *_, last = losses_of(run).values()
    if last >= first:
        raise DataError(f"{run}: the loss rose from {first:.4f} to {last:.4f}")
    return {"first_loss": first} | _end_of(run)


def near(run: Path, other: Path, tolerance: float) -> Figures:
    """Return the figures of a training and its largest relative difference to another.

    Args:
        run: folder of the training.
        other: folder of the other, with log lines of the same iterations.
        tolerance: largest difference of a loss.
    """
    losses, expected = losses_of(run), losses_of(other)
    both = sorted(losses.keys() & expected.keys())
    if not both:
        raise DataError(f"{run}: has no log line in common with {other}")
    difference = max(abs(losses[i] / expected[i] - 1) for i in both)
    if difference > tolerance:
        raise DataError(
            f"{run}: a loss differs by {difference:.2%} from {other}, at most {tolerance:.0%} may; "
            f"{[losses[i] for i in both]} against {[expected[i] for i in both]}"
        )
    return {"largest_difference": difference} | _end_of(run)


def losses_of(run: Path) -> dict[int, float]:
    """Return iteration -> loss of each log line; at least two, all finite."""
    losses = {row["iter"]: row["loss"] for row in _rows(run, "train")}
    if len(losses) < 2 or not all(loss and math.isfinite(loss) for loss in losses.values()):
        raise DataError(f"{run}: expected finite losses, got {losses}")
    return losses


def same_ids(folder: Path, other: Path) -> Figures:
    """Return the fraction of pixels with other ids in two predictions.

    At most 1 in 100: where rounding decides about a center, a whole instance differs.
    """
    import cv2

    files = sorted((folder / "coco" / "panoptic").rglob("*.png"))
    if not files:
        raise DataError(f"{folder}: there is no prediction")
    pairs = [(cv2.imread(str(path)), cv2.imread(str(other / path.relative_to(folder))))
             for path in files]  # fmt: skip
    fraction = float(sum((a != b).any(axis=2).mean() for a, b in pairs) / len(pairs))
    if fraction > 0.01:
        raise DataError(f"{folder}: {fraction:.2%} of the pixels have other ids than in {other}")
    return {"fraction_of_other_ids": fraction}


def _end_of(run: Path) -> dict[str, float]:
    """The last loss, the speed and the last PQ of a training."""
    row, scores = _rows(run, "train")[-1], _rows(run, "eval")
    figures = {"last_loss": row["loss"], "samples_per_second": row["ips"]}
    return figures | ({"pq": scores[-1]["results"]["All"]["pq"]} if scores else {})


def _rows(run: Path, kind: str) -> list[dict[str, Any]]:
    from panoptic_deeplab.engine.metrics import read_metrics

    return list(read_metrics(run, kind))


def _found(pattern: str, output: str, otherwise: str) -> str:
    found = re.search(pattern, output, re.MULTILINE)
    if found is None:
        raise DataError(otherwise)
    return found[1]
