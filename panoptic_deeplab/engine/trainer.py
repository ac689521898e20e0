"""Training: one loop over the contracts of model, criterion, targets and data set."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from panoptic_deeplab.engine import checkpoint, distributed
from panoptic_deeplab.engine.checkpoint import Position
from panoptic_deeplab.engine.evaluator import evaluate
from panoptic_deeplab.engine.loading import TrainingOrder, TrainingSamples, training_batches
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.engine.run_log import RunLog
from panoptic_deeplab.files import usable_folder
from panoptic_deeplab.preprocess import Preprocess
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.structures import DatasetInfo

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingPlan:
    """How long, how often and where to.

    Attributes:
        iters: steps of the whole training.
        batch_size: samples of a step on each process.
        save_dir: where checkpoints and logs go.
        save_interval: steps between checkpoints (and evaluations).
        keep_checkpoint_max: newest checkpoints kept, 0 for all.
        log_iters: steps between log lines.
        num_workers: processes that read ahead on each process.
        seed: of the weights' and the samples' draws.
        use_vdl: write VisualDL scalars.
    """

    iters: int
    batch_size: int
    save_dir: Path
    save_interval: int = 1000
    keep_checkpoint_max: int = 5
    log_iters: int = 10
    num_workers: int = 0
    seed: int = 0
    use_vdl: bool = False


@dataclass(frozen=True)
class Validation:
    """What `--do_eval` measures with."""

    dataset: Any
    postprocessor: Callable[..., Any]
    evaluators: list[Any]


class Trainer:
    """Trains a model and leaves checkpoints.

    Args:
        model: images and targets -> outputs.
        criterion: outputs and targets -> named losses.
        preprocess: pictures -> images.
        optimizer: over the model's parameters.
        dataset: the training split.
        targets: sample -> sample with targets.
        info: the classes, for the checkpoints.
        config_yaml: the configuration as text, for the checkpoints.
        plan: how long, how often, where to.
        validation: what to evaluate with at each checkpoint, if at all.
    """

    def __init__(
        self,
        *,
        model: nn.Layer,
        criterion: Callable[..., dict[str, paddle.Tensor]],
        preprocess: Preprocess,
        optimizer: paddle.optimizer.Optimizer,
        dataset: Any,
        targets: Callable[..., Any],
        info: DatasetInfo,
        config_yaml: str,
        plan: TrainingPlan,
        validation: Validation | None = None,
    ) -> None:
        self.model = model
        self.criterion = criterion
        self.preprocess = preprocess
        self.optimizer = optimizer
        self.dataset = dataset
        self.targets = targets
        self.info = info
        self.config_yaml = config_yaml
        self.plan = plan
        self.validation = validation
        self.position = Position(seed=plan.seed)

    def resume(self, folder: str | Path) -> None:
        """Goes on from a checkpoint."""
        self.position = checkpoint.resume(folder, self.model, self.optimizer)
        _log.info("Resumed from %s at iteration %d", folder, self.position.iteration)

    def run(self) -> None:
        """Trains from the current position to the last step."""
        plan, first = self.plan, self.position.iteration
        if first >= plan.iters:
            _log.info("Nothing to do: %d of %d iterations are done", first, plan.iters)
            return
        usable_folder(plan.save_dir)
        order = TrainingOrder(
            len(self.dataset),
            plan.batch_size,
            self.position.seed,
            first,
            plan.iters,
            distributed.rank(),
            distributed.world_size(),
        )
        samples = TrainingSamples(self.dataset, self.targets, self.position.seed)
        network = self._distributed_model()
        with (
            RunLog(plan, order.steps_per_epoch) as log,
            progress_bar(
                title="training", total=plan.iters, unit="steps", hidden=not _has_terminal()
            ) as bar,
        ):
            bar.update(first)
            log.start_waiting()
            for batch in training_batches(samples, order, plan.num_workers):
                log.start_step()
                losses = self._step(network, batch)
                self.position = replace(self.position, iteration=self.position.iteration + 1)
                log.end_step(self.position.iteration, losses, self.optimizer.get_lr())
                self._advance_schedule()
                bar.update()
                if self._is_milestone():
                    self._save()
                    self._evaluate(log)
                log.start_waiting()

    def _distributed_model(self) -> Callable[..., dict[str, paddle.Tensor]]:
        self.model.train()
        return paddle.DataParallel(self.model) if distributed.world_size() > 1 else self.model

    def _step(
        self, network: Callable[..., dict[str, paddle.Tensor]], batch: dict[str, paddle.Tensor]
    ) -> dict[str, paddle.Tensor]:
        """One forward, backward and update; the losses, detached."""
        images = self.preprocess(batch["image"], batch["valid_box"])
        losses = self.criterion(network(images, batch), batch)
        sum(losses.values()).backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        return {name: loss.detach() for name, loss in losses.items()}

    def _advance_schedule(self) -> None:
        scheduler = self.optimizer._learning_rate
        if isinstance(scheduler, paddle.optimizer.lr.LRScheduler):
            scheduler.step()

    def _is_milestone(self) -> bool:
        done = self.position.iteration
        return done % self.plan.save_interval == 0 or done == self.plan.iters

    def _save(self) -> None:
        if distributed.is_main():
            checkpoint.save_checkpoint(
                self.plan.save_dir / f"iter_{self.position.iteration}",
                self.model,
                self.optimizer,
                self.position,
                self.info,
                self.config_yaml,
            )
            checkpoint.prune_checkpoints(self.plan.save_dir, self.plan.keep_checkpoint_max)

    def _evaluate(self, log: RunLog) -> None:
        """Scores the model as it is and keeps it if no earlier one was better."""
        if self.validation is None:
            return
        predictor = Predictor(self.model, self.preprocess, (), self.validation.postprocessor)
        start = time.perf_counter()
        results = evaluate(
            predictor, self.validation.dataset, self.validation.evaluators, self.plan.num_workers
        )
        self.model.train()
        pq = log.evaluation(self.position.iteration, results, time.perf_counter() - start)
        if pq > self.position.best_pq:
            self.position = replace(self.position, best_pq=pq)
            if distributed.is_main():
                best = self.plan.save_dir / "best_model"
                checkpoint.save_model(best, self.model, self.info, self.config_yaml)
        _log.info("[EVAL] The best validation PQ so far is %.4f", self.position.best_pq)


def _has_terminal() -> bool:
    """In a file the log lines tell the progress."""
    return distributed.is_main() and sys.stderr.isatty()
