"""Training: one loop over the contracts of model, criterion, targets and data set."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddle.optimizer.lr import LRScheduler

from panoptic_deeplab.device import on_gpu
from panoptic_deeplab.engine import checkpoint, distributed
from panoptic_deeplab.engine.averaging import WeightAverage
from panoptic_deeplab.engine.checkpoint import Position, TrainingState
from panoptic_deeplab.engine.evaluator import evaluate
from panoptic_deeplab.engine.finiteness import FinitenessGuard, gradient_norm
from panoptic_deeplab.engine.interruption import Interruption, StoppedError
from panoptic_deeplab.engine.loading import (
    TrainingOrder,
    TrainingSamples,
    explaining_dead_workers,
    training_batches,
)
from panoptic_deeplab.engine.metrics import Done
from panoptic_deeplab.engine.plan import TrainingPlan
from panoptic_deeplab.engine.precision import Precision
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.engine.preview import preview
from panoptic_deeplab.engine.run_log import RunLog
from panoptic_deeplab.engine.synchronization import synchronize_batch_norms
from panoptic_deeplab.preprocess import Preprocess
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import DatasetInfo

_log = logging.getLogger(__name__)

Losses = dict[str, paddle.Tensor]
Batch = dict[str, paddle.Tensor]


@dataclass(frozen=True)
class Validation:
    """Data set and evaluators of `--do_eval`."""

    dataset: Any
    evaluators: Sequence[Any]


class Trainer:
    """Trains a model and writes checkpoints.

    Args:
        model: images and targets -> outputs.
        criterion: outputs and targets -> named losses.
        preprocess: uint8 images -> normalized images.
        optimizer: over the model's parameters.
        schedule: the optimizer's learning rate.
        dataset: the training split.
        targets: sample -> sample with targets.
        postprocessor: outputs and frames -> predictions, for evaluation and the preview.
        info: the classes, for the checkpoints.
        config_yaml: the configuration as text, for the checkpoints.
        plan: how long, how often, where to.
        precision: how to compute.
        ema_decay: of a weight average that evaluation uses; None keeps none.
        validation: what to evaluate with at each checkpoint, if at all.
        watch: takes the time of reading, forward, losses, backward, update, logging and keeping
            (checkpoints and evaluation).
    """

    def __init__(
        self,
        *,
        model: nn.Layer,
        criterion: Callable[..., Losses],
        preprocess: Preprocess,
        optimizer: paddle.optimizer.Optimizer,
        schedule: LRScheduler,
        dataset: Any,
        targets: Callable[..., Any],
        postprocessor: Callable[..., Any],
        info: DatasetInfo,
        config_yaml: str,
        plan: TrainingPlan,
        precision: Precision | None = None,
        ema_decay: float | None = None,
        validation: Validation | None = None,
        watch: Stopwatch | None = None,
    ) -> None:
        precision = precision or Precision()
        if distributed.world_size() > 1 and on_gpu():
            synchronize_batch_norms(model)  # no such kernel on a CPU
        model, optimizer = precision.prepare(model, optimizer)
        average = None if ema_decay is None else WeightAverage(model, optimizer, ema_decay)
        self.state = TrainingState(model, optimizer, precision, average)
        self.schedule = schedule
        self.criterion = criterion
        self.preprocess = preprocess
        self.dataset = dataset
        self.targets = targets
        self.postprocessor = postprocessor
        self.info = info
        self.config_yaml = config_yaml
        self.plan = plan
        self.validation = validation
        self.watch = watch or Stopwatch()
        self.position = Position(seed=plan.seed, effective_batch_size=plan.effective_batch_size)
        self.resumed: Path | None = None
        self.guard = FinitenessGuard()

    def resume(self, folder: str | Path) -> None:
        """Resume from a checkpoint."""
        self.position = checkpoint.resume(folder, self.state)
        self.resumed = Path(folder)
        if self.position.effective_batch_size != self.plan.effective_batch_size:
            _log.warning(
                "%s was trained with an effective batch size of %d, this run has %d: it goes on, "
                "but not as if it had never stopped",
                folder,
                self.position.effective_batch_size,
                self.plan.effective_batch_size,
            )
        changed = checkpoint.changed_sections(folder, self.config_yaml)
        if changed:
            _log.warning("%s was trained with another %s", folder, ", ".join(changed))
        _log.info("Resumed from %s at iteration %d", folder, self.position.iteration)

    def run(self) -> None:
        """Train from the current position to the last step.

        Raises:
            DataError: a file cannot be used, a loss is not finite, or a process that reads samples
                was killed.
            StoppedError: by Ctrl-C or SIGTERM, after saving.
        """
        plan, first = self.plan, self.position.iteration
        evaluation_is_due = self._lacks_evaluation()
        if first >= plan.iters and not evaluation_is_due:
            _log.info("Nothing to do: %d of %d iterations are done", first, plan.iters)
            return
        checkpoint.refuse_blocked(plan.save_dir, first)
        order = self._order()
        self.state.model.train()
        network = self._network()
        with (
            explaining_dead_workers(),
            Interruption() as interruption,
            self._run_log(order, evaluation_is_due) as log,
            closing(self._steps(order)) as steps,  # ends the workers, whatever ends the loop
            progress_bar(
                title="training", total=plan.iters, unit="steps", hidden=not _has_terminal()
            ) as bar,
        ):
            bar.update(first)
            if evaluation_is_due:
                self._evaluate(log)
            for batches, image_ids in self.watch.waiting("reading", steps):
                losses, norm = self._step(network, batches, image_ids)
                self._count_step()
                with self.watch.timing("logging"):
                    log.end_step(self.position.iteration, losses, self.schedule(), norm)
                    self.schedule.step()
                    bar.update()
                with self.watch.timing("keeping"):
                    self._after_step(log, interruption)

    def timed_rounds(self, steps: int) -> Generator[float, None, None]:
        """Train in rounds of so many steps, at most to the plan's end; yield the seconds of each.

        Nothing is checked, logged or saved.
        """
        self.state.model.train()
        network = self._network()
        with explaining_dead_workers(), closing(self._steps(self._order())) as batches:
            start = time.perf_counter()
            for step_batches, image_ids in batches:
                losses, _ = self._step(network, step_batches, image_ids)
                self._count_step()
                self.schedule.step()
                if self.position.iteration % steps == 0:
                    float(sum(losses.values()))  # waits for the device
                    yield time.perf_counter() - start
                    start = time.perf_counter()

    def _lacks_evaluation(self) -> bool:
        """Return whether a run was stopped between saving this position and its evaluation."""
        if self.validation is None or self.resumed is None:
            return False
        done = self.position.iteration
        return self._is_milestone(done) and checkpoint.read_score(self.resumed) is None

    def _is_milestone(self, done: int) -> bool:
        return done % self.plan.checkpoint_interval == 0 or done == self.plan.iters

    def _order(self) -> TrainingOrder:
        plan = self.plan
        return TrainingOrder(
            len(self.dataset),
            plan.batch_size,
            self.position.seed,
            self.position.iteration * plan.accumulate_steps,
            plan.iters * plan.accumulate_steps,
            distributed.rank(),
            distributed.world_size(),
        )

    def _run_log(self, order: TrainingOrder, evaluation_is_due: bool) -> RunLog:
        steps_per_epoch = order.steps_per_epoch // self.plan.accumulate_steps
        done = Done(self.position.iteration, not evaluation_is_due)
        return RunLog(self.plan, self.config_yaml, steps_per_epoch, self.watch, done)

    def _network(self) -> Callable[..., dict[str, paddle.Tensor]]:
        model = self.state.model
        return paddle.DataParallel(model) if distributed.world_size() > 1 else model

    def _steps(self, order: TrainingOrder) -> Generator[tuple[list[Batch], list[str]], None, None]:
        """Yield the batches and image ids of each step."""
        samples = TrainingSamples(self.dataset, self.targets, self.position.seed)
        batches = training_batches(samples, order, self.plan.num_workers)
        places = iter(order)
        while step := list(islice(batches, self.plan.accumulate_steps)):
            chosen = [index for batch in islice(places, len(step)) for _, index in batch]
            yield step, [self.dataset.records[index].image_id for index in chosen]

    def _step(
        self, network: Any, batches: Sequence[Batch], image_ids: Sequence[str]
    ) -> tuple[Losses, paddle.Tensor | None]:
        """Run the batches forward and backward, update once; return mean losses, gradient norm."""
        precision = self.state.precision
        paddle.seed(self._step_seed())
        total: Losses = {}
        for i, batch in enumerate(batches):
            alone = i + 1 < len(batches) and distributed.world_size() > 1
            with network.no_sync() if alone else nullcontext():
                losses = self._losses(network, batch)
                with self.watch.timing("backward"):
                    precision.backward(sum(losses.values()) / len(batches))
            for name, loss in losses.items():
                total[name] = total.get(name, 0) + loss.detach() / len(batches)
        with self.watch.timing("update"):
            return total, self._update(total, image_ids)

    def _update(self, losses: Losses, image_ids: Sequence[str]) -> paddle.Tensor | None:
        """Apply and clear the gradients; return their norm, None under loss scaling."""
        precision, optimizer = self.state.precision, self.state.optimizer
        if precision.overflow_is_handled:
            norm, terms = None, losses
        else:
            norm = gradient_norm(self.state.model.parameters())
            terms = losses | {"gradient": norm}
        self.guard.watch(terms, image_ids)
        precision.step(optimizer)
        optimizer.clear_grad(set_to_zero=False)  # no gradients held through the next forward pass
        if self.state.average is not None:
            self.state.average.update()
        return norm

    def _losses(self, network: Any, batch: Batch) -> Losses:
        with self.watch.timing("forward"):
            images = self.preprocess(batch["image"], batch["valid_box"])
            outputs = self.state.precision.run(network, images, batch)
        with self.watch.timing("losses"):
            return self.criterion(outputs, batch)

    def _step_seed(self) -> int:
        """Return the seed of dropout, derived from the step so that resuming repeats its draws."""
        key = (self.position.seed, self.position.iteration, distributed.rank())
        return int(np.random.default_rng(key).integers(1 << 31))

    def _count_step(self) -> None:
        self.position = replace(self.position, iteration=self.position.iteration + 1)

    def _after_step(self, log: RunLog, interruption: Interruption) -> None:
        """Do what is due after a step: check, checkpoint, evaluation, stop on a signal.

        Processes talk to each other only at log lines and checkpoints, so that no step waits.
        """
        done, plan = self.position.iteration, self.plan
        milestone = self._is_milestone(done)
        look = milestone or done % plan.log_iters == 0
        if look:
            self.guard.check(done)
        if milestone:
            self._save()
            self._evaluate(log)
        if look or distributed.world_size() == 1:
            number = interruption.agreed()
            if number is not None and done < plan.iters:
                self.guard.check(done)
                folder = self._save()
                raise StoppedError(number, f"all is saved: go on with --resume_model {folder}")

    @property
    def _folder(self) -> Path:
        """Where the current position is saved."""
        return self.plan.save_dir / f"iter_{self.position.iteration}"

    def _save(self) -> Path:
        folder = self._folder
        if distributed.is_main():
            checkpoint.save_checkpoint(
                folder, self.state, self.position, self.info, self.config_yaml
            )
            checkpoint.prune_checkpoints(
                self.plan.save_dir, self.plan.keep_checkpoint_max, self.position.iteration
            )
        return folder

    def _evaluate(self, log: RunLog) -> None:
        """Score the model, or its average, and save it if it is the best so far."""
        average = self.state.average
        with average.applied() if average is not None else nullcontext():
            predictor = Predictor(
                self.state.model,
                self.preprocess,
                (),
                self.postprocessor,
                self.info,
                precision=self.state.precision,
                refuses_not_finite=False,
            )
            if log.writer is not None:
                images = preview(predictor, self._shown_dataset(), self.info)
                log.images(self.position.iteration, images)
            if self.validation is not None:
                self._score(log, predictor, self.validation)
        self.state.model.train()

    def _shown_dataset(self) -> Any:
        return self.dataset if self.validation is None else self.validation.dataset

    def _score(self, log: RunLog, predictor: Predictor, validation: Validation) -> None:
        start = time.perf_counter()
        results = evaluate(
            predictor, validation.dataset, validation.evaluators, self.plan.num_workers
        )
        pq = log.evaluation(self.position.iteration, results, time.perf_counter() - start)
        if distributed.is_main():
            self._keep_best(pq)
            checkpoint.write_score(self._folder, pq)

    def _keep_best(self, pq: float) -> None:
        """Save the model if none of this run was better."""
        folder = self.plan.save_dir / checkpoint.BEST_FOLDER
        best = checkpoint.read_score(folder)
        if best is None or pq > best:
            best = pq
            weights = self.state.evaluated_weights()
            checkpoint.save_best(folder, weights, self.info, self.config_yaml, pq)
        _log.info("[EVAL] The best validation PQ so far is %.4f", best)


def _has_terminal() -> bool:
    """Return whether a progress bar is shown; in a file, the log lines show the progress."""
    return distributed.is_main() and sys.stderr.isatty()
