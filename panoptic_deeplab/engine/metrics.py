"""`metrics.jsonl`: the measurements of a training for programs, one JSON object per line.

    {"kind": "train", "iter": 20, "epoch": 1, "loss": 3.2, "losses": {...}, "lr": 0.001,
     "batch_cost": 0.3, "reader_cost": 0.01, "ips": 3.3}
    {"kind": "eval", "iter": 1000, "seconds": 41.0, "results": {...}}

Times are seconds per step, `ips` is samples per second, `results` come from the evaluators.
Undefined values are null.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import as_json, open_file, replacing

METRICS = "metrics.jsonl"

Row = dict[str, Any]


class Done(NamedTuple):
    """Progress of an earlier run.

    Attributes:
        iteration: completed iterations.
        evaluated: whether the evaluation at that iteration, if one is due there, is done too.
    """

    iteration: int = 0
    evaluated: bool = True

    def includes(self, row: Row) -> bool:
        """Return whether a row of metrics was measured by then."""
        last = row["iter"] == self.iteration
        return row["iter"] <= self.iteration and (
            self.evaluated or not last or row["kind"] != "eval"
        )


class MetricsFile:
    """Appends rows to the `metrics.jsonl` of a run; a context, to close it.

    Args:
        folder: of the run.
        done: progress of an earlier run. Later rows, left by a run that was stopped after its
            last checkpoint, are dropped.
    """

    def __init__(self, folder: Path, done: Done) -> None:
        path = folder / METRICS
        if path.exists():
            kept = [row for row in read_metrics(folder) if done.includes(row)]
            with replacing(path) as temporary:
                temporary.write_text("".join(f"{as_json(row)}\n" for row in kept), "utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, iteration: int, **values: Any) -> None:
        """Append a row and flush it, so that it survives a killed run."""
        self._file.write(f"{as_json({'kind': kind, 'iter': iteration, **values})}\n")
        self._file.flush()

    def close(self) -> None:
        """Write the rows to the disk and close the file."""
        os.fsync(self._file.fileno())
        self._file.close()


def read_metrics(folder: Path, kind: str | None = None) -> Iterator[Row]:
    """Yield the rows of a run's `metrics.jsonl`; none where the run has no such file.

    Args:
        folder: of the run.
        kind: "train" or "eval"; None for both.

    Raises:
        DataError: a line is not a row. An incomplete last line, left by a kill, is ignored.
    """
    path = folder / METRICS
    if not path.exists():
        return
    with open_file(path) as file:
        lines = file.read().decode("utf-8", "replace").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            return
        try:
            row = json.loads(line)
            found, _ = row["kind"], int(row["iter"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(
                f"{path}: line {number}: expected a JSON object with kind and iter, got "
                f"{line.strip()!r:.80}; delete the line"
            ) from error
        if kind in (None, found):
            yield row
