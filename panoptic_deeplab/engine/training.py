"""Training a configuration in one call."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import paddle

from panoptic_deeplab.device import on_gpu
from panoptic_deeplab.engine import checkpoint, distributed
from panoptic_deeplab.engine.plan import TrainingPlan
from panoptic_deeplab.engine.precision import Precision
from panoptic_deeplab.engine.time_budget import TRIAL_STEPS, Fit, fit_of_run, measure_fit
from panoptic_deeplab.engine.trainer import Trainer, Validation
from panoptic_deeplab.environment import idle_cores
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.process import has_free_threads
from panoptic_deeplab.stopwatch import Stopwatch, format_profile
from panoptic_deeplab.weights import load_first_weights, refuse_other_classes

AUTO = "auto"
_CORES_FOR_TWO_THREADS = 1.5
"""Idle ones; this process itself has been at work for some seconds."""

_log = logging.getLogger(__name__)


def train(config: Any, plan: TrainingPlan) -> None:
    """Build and train the model of a configuration.

    Args:
        config: a `panoptic_deeplab.config.Config`, or anything that has its parts.
        plan: the settings of this run.

    Raises:
        UsageError: the plan is impossible, or does not fit the configuration.
        DataError: a file cannot be used, or a loss is not finite.
        StoppedError: by Ctrl-C or SIGTERM, after saving.
    """
    with checkpoint.claimed_run(plan.save_dir) if distributed.is_main() else nullcontext():
        _train(config, plan)


def _train(config: Any, plan: TrainingPlan) -> None:
    folder = checkpoint.latest(plan.save_dir) if plan.resume == AUTO else plan.resume
    _refuse_unusable(plan, folder)
    if plan.train_seconds is None:
        plan = _with_fitting_recipe(config, plan)
    else:
        config, plan = _fitted_to_time(config, plan, folder)
    trainer = _build_trainer(config, plan, folder)
    if folder:
        trainer.resume(folder)
        if plan.init is not None:
            _log.info("Resumed from %s, --init is not used", folder)
    else:
        _tell_of_idle_cores()
    _run(trainer)


def _build_trainer(config: Any, plan: TrainingPlan, folder: str | Path | None) -> Trainer:
    """Build what trains, with pretrained weights where there is no checkpoint to resume from."""
    precision = Precision(plan.precision, plan.amp_level)
    paddle.seed(plan.seed)
    dataset = config.train_dataset
    validation = Validation(config.val_dataset, config.evaluators) if plan.do_eval else None
    if folder:
        hint = f"to start from its weights: --init {folder}"
        refuse_other_classes(folder, config.info, hint)
    else:
        load_first_weights(config, plan.allow_partial, plan.init)
    return Trainer(
        model=config.model,
        criterion=config.criterion,
        preprocess=config.preprocess,
        optimizer=config.optimizer,
        schedule=config.lr_scheduler,
        dataset=dataset,
        targets=config.targets,
        postprocessor=config.postprocessor,
        info=config.info,
        config_yaml=config.to_yaml(),
        plan=plan,
        precision=precision,
        ema_decay=plan.ema_decay,
        validation=validation,
        watch=_watch(plan),
    )


def _fitted_to_time(
    config: Any, plan: TrainingPlan, folder: str | Path | None
) -> tuple[Any, TrainingPlan]:
    """Return recipe and plan of the steps that fit into the plan's time, found by a trial.

    A run that is resumed keeps what its own trial found.
    """
    fit = _measured_fit(config, plan) if folder is None else fit_of_run(Path(folder).parent, plan)
    factor = config.recipe_factor(plan.effective_batch_size) if plan.scale_lr else 1
    _log.info(
        "%d iterations of %.4g s fit into %g s; the schedule, made for %d, is brought to them",
        fit.iters,
        fit.step_seconds,
        plan.train_seconds,
        config.iters,
    )
    fitted = replace(plan, iters=fit.iters, step_seconds=fit.step_seconds)
    return config.for_iters(fit.iters, factor), fitted


def _measured_fit(config: Any, plan: TrainingPlan) -> Fit:
    """Train for a few steps with parts of their own, which leave nothing behind."""
    _log.info("A trial tells how long a step takes")
    trial = replace(plan, iters=TRIAL_STEPS, do_eval=False)
    with paddle.utils.unique_name.guard():  # names of layers then count as without a trial
        return measure_fit(_build_trainer(config.for_iters(TRIAL_STEPS), trial, None), plan)


def _with_fitting_recipe(config: Any, plan: TrainingPlan) -> TrainingPlan:
    """Scale the recipe to this run's batch size with --scale_lr; otherwise log what would fit."""
    samples = plan.effective_batch_size
    factor = config.recipe_factor(samples)
    if factor == 1:
        return plan
    rate = config.tree["lr_scheduler"]["learning_rate"]
    fitting = f"learning rate {rate * factor:g} and {round(config.iters / factor)} iterations"
    if not plan.scale_lr:
        _log.info(
            "The recipe is for an effective batch size of %d, this run has %d: %s would go with it "
            "(--scale_lr takes them)",
            round(samples / factor),
            samples,
            fitting,
        )
        return plan
    config.scale_recipe(factor)
    _log.info("Scaled to an effective batch size of %d: %s", samples, fitting)
    return replace(plan, iters=config.iters)


def _refuse_unusable(plan: TrainingPlan, folder: str | Path | None) -> None:
    """Refuse a checkpoint or a folder that cannot be used."""
    if plan.init is not None and plan.resume not in (None, AUTO):
        raise UsageError(
            "--init starts a training and --resume_model goes on with one; give one of them, or "
            f"--resume_model {AUTO} to go on where there is a checkpoint"
        )
    if folder:
        checkpoint.refuse_no_checkpoint(folder)
    checkpoint.refuse_another_run(plan.save_dir, folder)
    checkpoint.read_score(plan.save_dir / checkpoint.BEST_FOLDER)  # now, not after an evaluation


def _watch(plan: TrainingPlan) -> Stopwatch:
    """Return a stopwatch, which waits for the GPU if a profile is wanted."""
    wait = plan.profile and on_gpu()
    return Stopwatch(paddle.device.synchronize) if wait else Stopwatch()


def _tell_of_idle_cores() -> None:
    """Say what two threads would gain where Paddle computes in one because nobody chose a number.

    They are not taken unasked: the last digits of a loss depend on their number, so a run that is
    resumed on a busier machine would not repeat itself, and there two threads take far longer than
    one.
    """
    is_alone = distributed.world_size() == 1 and not on_gpu()
    if is_alone and has_free_threads() and idle_cores() >= _CORES_FOR_TWO_THREADS:
        _log.info(
            "Paddle computes in one thread, and other cores are idle: while they stay so, "
            "OMP_NUM_THREADS=2 trains 1.1 to 1.3 times as fast"
        )


def _run(trainer: Trainer) -> None:
    """Train, and log the profile if wanted, however the training ends."""
    first, start = trainer.position.iteration, time.perf_counter()
    try:
        trainer.run()
    finally:
        if trainer.plan.profile:
            total, steps = time.perf_counter() - start, trainer.position.iteration - first
            _log.info(
                "%d steps:\n%s", steps, format_profile(trainer.watch.seconds, total, steps, "step")
            )
