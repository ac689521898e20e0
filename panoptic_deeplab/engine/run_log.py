"""Records of a training: log lines, metrics, VisualDL, and how it was started.

Losses are added up on the device and read only when a line is due, so that no step waits for it.
"""

from __future__ import annotations

import logging
import math
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddleseg.utils import calculate_eta
from tqdm.contrib.logging import logging_redirect_tqdm

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.checkpoint import RUN_FILE
from panoptic_deeplab.engine.metrics import Done, MetricsFile
from panoptic_deeplab.engine.plan import TrainingPlan
from panoptic_deeplab.environment import describe_environment
from panoptic_deeplab.files import write_json
from panoptic_deeplab.stopwatch import Stopwatch

_log = logging.getLogger(__name__)
_package_log = logging.getLogger("panoptic_deeplab")


class RunLog:
    """Log lines and records of one training; a context that closes the files.

    Args:
        plan: how often lines are due and where files go.
        config_yaml: the configuration as text.
        steps_per_epoch: for the epoch in the line.
        watch: with the seconds of `reading` (waiting for samples) and `keeping` (checkpoints and
            evaluations, which do not count as time of a step).
        done: progress of an earlier run.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        config_yaml: str,
        steps_per_epoch: int,
        watch: Stopwatch,
        done: Done = Done(),  # noqa: B008
    ) -> None:
        self.plan = plan
        self.done = done
        self.config_yaml = config_yaml
        self.steps_per_epoch = max(steps_per_epoch, 1)
        self.writer: Any = None
        self.metrics: MetricsFile | None = None
        self.totals: dict[str, paddle.Tensor] = {}
        self.steps = 0
        self.watch = watch
        self._last_line = self._times()
        self._contexts = ExitStack()

    def __enter__(self) -> RunLog:
        if distributed.is_main():
            self._describe_run()
            self._contexts.enter_context(_log_file(self.plan.save_dir / "train.log"))
            self.metrics = MetricsFile(self.plan.save_dir, self.done)
            self._contexts.callback(self.metrics.close)
            if self.plan.use_vdl:
                self.writer = _visualdl_writer(self.plan.save_dir)
                self._hyper_parameters()
        self._contexts.enter_context(logging_redirect_tqdm([_package_log]))
        return self

    def __exit__(self, *_: object) -> None:
        self._contexts.close()
        if self.writer is not None:
            self.writer.close()

    def end_step(
        self,
        iteration: int,
        losses: dict[str, paddle.Tensor],
        lr: float,
        gradient_norm: paddle.Tensor | None,
    ) -> None:
        """Count a step and write a line every `log_iters` steps."""
        for name, loss in losses.items():
            self.totals[name] = self.totals.get(name, 0) + loss
        self.steps += 1
        due = iteration % self.plan.log_iters == 0 or iteration == self.plan.iters
        if due:
            means = self._means()  # this waits for the device, so it is timed too
            times = self._times()
            self._write(iteration, means, lr, gradient_norm, times - self._last_line)
            self.totals, self.steps, self._last_line = {}, 0, times

    def evaluation(self, iteration: int, results: dict[str, Any], seconds: float) -> float:
        """Write the results of an evaluation and return PQ, -inf where it is undefined."""
        pq = results.get("All", {}).get("pq", math.nan)
        figures = {
            "PQ": pq,
            "mIoU": results.get("miou", math.nan),
            "mAP": results.get("ap", math.nan),
            "mAP50": results.get("ap50", math.nan),
        }
        line = ", ".join(f"{name}: {value:.4f}" for name, value in figures.items())
        _log.info("[EVAL] iter=%d, %s (%.0f s)", iteration, line, seconds)
        self._measured("eval", iteration, seconds=seconds, results=results)
        for name, value in figures.items():
            self._scalar(f"Evaluate/{name}", value, iteration)
        for name, values in results.get("per_class", {}).items():
            self._scalar(f"Evaluate/PQ of {name}", values.get("pq", math.nan), iteration)
        return -math.inf if math.isnan(pq) else pq

    def images(self, iteration: int, images: Mapping[str, np.ndarray]) -> None:
        """Write images [H, W, 3] uint8 RGB to VisualDL."""
        for name, image in images.items():
            self.writer.add_image(f"Images/{name}", image, iteration)

    def _means(self) -> dict[str, float]:
        """Return the mean losses since the last line, over all processes."""
        local = {name: float(total) / self.steps for name, total in self.totals.items()}
        of_ranks = distributed.gather(local)
        return {name: sum(means[name] for means in of_ranks) / len(of_ranks) for name in local}

    def _times(self) -> np.ndarray:
        """Return [seconds of all steps so far, seconds of waiting for samples in them]."""
        reading, keeping = (self.watch.seconds.get(part, 0.0) for part in ("reading", "keeping"))
        return np.array([time.perf_counter() - keeping, reading])

    def _write(
        self,
        iteration: int,
        means: dict[str, float],
        lr: float,
        gradient_norm: paddle.Tensor | None,
        times: np.ndarray,
    ) -> None:
        loss = sum(means.values())
        batch_cost, reader_cost = (times / self.steps).tolist()
        ips = self.plan.batch_size * self.plan.accumulate_steps / batch_cost
        epoch = (iteration - 1) // self.steps_per_epoch + 1
        _log.info(
            "[TRAIN] epoch=%d, iter=%d/%d, loss=%.4f, lr=%.6f, batch_cost=%.4f, reader_cost=%.5f, "
            "ips=%.4f samples/sec | ETA %s",
            epoch,
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
        self._scalar("Train/ips", ips, iteration)
        norm = None if gradient_norm is None else float(gradient_norm)
        if norm is not None:
            self._scalar("Train/gradient_norm", norm, iteration)
        self._measured(
            "train",
            iteration,
            epoch=epoch,
            loss=loss,
            losses=means,
            lr=lr,
            gradient_norm=norm,
            batch_cost=batch_cost,
            reader_cost=reader_cost,
            ips=ips,
        )

    def _measured(self, kind: str, iteration: int, **values: Any) -> None:
        if self.metrics is not None:
            self.metrics.write(kind, iteration, **values)

    def _scalar(self, tag: str, value: float, iteration: int) -> None:
        if self.writer is not None and math.isfinite(value):
            self.writer.add_scalar(tag, value, iteration)

    def _hyper_parameters(self) -> None:
        if self.writer is not None:
            plan = self.plan
            values = {
                "iters": plan.iters,
                "effective_batch_size": plan.effective_batch_size,
                "seed": plan.seed,
            }
            self.writer.add_hparams(values, ["Train/loss", "Evaluate/PQ"])
            self.writer.add_text("config", self.config_yaml, 0)

    def _describe_run(self) -> None:
        """Write configuration, command and versions beside the checkpoints."""
        folder = self.plan.save_dir
        run = {
            "command": shlex.join([sys.executable, *sys.argv]),
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
            "processes": distributed.world_size(),
            "effective_batch_size": self.plan.effective_batch_size,
            "iters": self.plan.iters,
            "train_seconds": self.plan.train_seconds,
            "step_seconds": self.plan.step_seconds,
            "environment": describe_environment(),
        }
        write_json(folder / RUN_FILE, run, indent=2)  # first: it says whose the others are
        (folder / "config.yml").write_text(self.config_yaml, "utf-8")


def _log_file(path: Path) -> Any:
    """Return a context that appends the package's log to a file."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(
        logging.Formatter("%(asctime)s [%(levelname)s]\t%(message)s", "%Y-%m-%d %H:%M:%S")
    )
    _package_log.addHandler(handler)
    stack = ExitStack()
    stack.callback(handler.close)
    stack.callback(_package_log.removeHandler, handler)
    return stack


def _visualdl_writer(folder: Path) -> Any:
    """Return VisualDL's writer, or None with a warning where it is not installed."""
    try:
        from visualdl import LogWriter
    except ImportError as error:
        _log.warning("No VisualDL record is written: %s; pip install visualdl", error)
        return None
    return LogWriter(str(folder))
