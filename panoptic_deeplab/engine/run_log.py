"""What a training says: the reference's log lines and VisualDL scalars.

Losses are added up on the device and read only when a line is due, so that no step waits for it.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import paddle
from paddleseg.utils import calculate_eta
from tqdm.contrib.logging import logging_redirect_tqdm

from panoptic_deeplab.engine import distributed

if TYPE_CHECKING:
    from panoptic_deeplab.engine.trainer import TrainingPlan

_log = logging.getLogger(__name__)


class RunLog:
    """Log lines and scalars of one training; a context, to close the files.

    Args:
        plan: how often lines are due.
        steps_per_epoch: for the epoch in the line.
    """

    def __init__(self, plan: TrainingPlan, steps_per_epoch: int) -> None:
        self.plan = plan
        self.steps_per_epoch = steps_per_epoch
        self.writer = _visualdl_writer(plan) if plan.use_vdl and distributed.is_main() else None
        self.totals: dict[str, paddle.Tensor] = {}
        self.steps = 0
        self.reader_seconds = self.step_seconds = 0.0
        self.waiting_since = self.step_since = time.perf_counter()
        self._contexts = ExitStack()

    def __enter__(self) -> RunLog:
        self._contexts.enter_context(logging_redirect_tqdm([logging.getLogger("panoptic_deeplab")]))
        return self

    def __exit__(self, *_: object) -> None:
        self._contexts.close()
        if self.writer is not None:
            self.writer.close()

    def start_waiting(self) -> None:
        """The step is over; from here on the reader is waited for."""
        self.waiting_since = time.perf_counter()

    def start_step(self) -> None:
        """The batch is there."""
        self.reader_seconds += time.perf_counter() - self.waiting_since

    def end_step(self, iteration: int, losses: dict[str, paddle.Tensor], lr: float) -> None:
        """Counts a step and writes a line every `log_iters`."""
        for name, loss in losses.items():
            self.totals[name] = self.totals[name] + loss if name in self.totals else loss
        self.steps += 1
        if iteration % self.plan.log_iters == 0 or iteration == self.plan.iters:
            means = {name: float(total) / self.steps for name, total in self.totals.items()}
            self.step_seconds += time.perf_counter() - self.waiting_since
            self._write(iteration, means, lr)
            self.totals, self.steps = {}, 0
            self.reader_seconds = self.step_seconds = 0.0
        else:
            self.step_seconds += time.perf_counter() - self.waiting_since

    def evaluation(self, iteration: int, results: dict[str, Any], seconds: float) -> float:
        """Writes the main figures of an evaluation and returns PQ, -inf where it has none."""
        pq = results.get("All", {}).get("pq", math.nan)
        figures = {
            "PQ": pq,
            "mIoU": results.get("miou", math.nan),
            "mAP": results.get("ap", math.nan),
            "mAP50": results.get("ap50", math.nan),
        }
        line = ", ".join(f"{name}: {value:.4f}" for name, value in figures.items())
        _log.info("[EVAL] iter=%d, %s (%.0f s)", iteration, line, seconds)
        for name, value in figures.items():
            self._scalar(f"Evaluate/{name}", value, iteration)
        return -math.inf if math.isnan(pq) else pq

    def _write(self, iteration: int, means: dict[str, float], lr: float) -> None:
        loss = sum(means.values())
        batch_cost, reader_cost = self.step_seconds / self.steps, self.reader_seconds / self.steps
        ips = self.plan.batch_size / batch_cost
        _log.info(
            "[TRAIN] epoch=%d, iter=%d/%d, loss=%.4f, lr=%.6f, batch_cost=%.4f, reader_cost=%.5f, "
            "ips=%.4f samples/sec | ETA %s",
            (iteration - 1) // self.steps_per_epoch + 1,
            iteration,
            self.plan.iters,
            loss,
            lr,
            batch_cost,
            reader_cost,
            ips,
            calculate_eta(self.plan.iters - iteration, batch_cost),
        )
        parts = ", ".join(f"{name}={value:.4f}" for name, value in means.items())
        _log.info("[LOSS] loss=%.4f, %s", loss, parts)
        self._scalar("Train/loss", loss, iteration)
        for i, value in enumerate(means.values()):
            self._scalar(f"Train/loss_{i}", value, iteration)
        self._scalar("Train/lr", lr, iteration)
        self._scalar("Train/batch_cost", batch_cost, iteration)
        self._scalar("Train/reader_cost", reader_cost, iteration)

    def _scalar(self, tag: str, value: float, iteration: int) -> None:
        if self.writer is not None and not math.isnan(value):
            self.writer.add_scalar(tag, value, iteration)


def _visualdl_writer(plan: TrainingPlan) -> Any:
    """VisualDL's writer, or None (said once) where it is not installed."""
    try:
        from visualdl import LogWriter
    except ImportError as error:
        _log.warning("No VisualDL log is written: %s. Install it: pip install visualdl", error)
        return None
    return LogWriter(str(plan.save_dir))
