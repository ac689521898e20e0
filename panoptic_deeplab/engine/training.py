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
from panoptic_deeplab.engine.trainer import Trainer, Validation
from panoptic_deeplab.stopwatch import Stopwatch, format_profile
from panoptic_deeplab.weights import load_first_weights, refuse_other_classes

AUTO = "auto"

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
    precision = Precision(plan.precision, plan.amp_level)
    plan = _with_fitting_recipe(config, plan)
    paddle.seed(plan.seed)
    dataset = config.train_dataset
    validation = Validation(config.val_dataset, config.evaluators) if plan.do_eval else None
    folder = checkpoint.latest(plan.save_dir) if plan.resume == AUTO else plan.resume
    _load_first_weights(config, plan, folder)
    watch = _watch(plan)
    trainer = Trainer(
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
        watch=watch,
    )
    if folder:
        trainer.resume(folder)
    _run(trainer, watch)


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


def _load_first_weights(config: Any, plan: TrainingPlan, folder: str | Path | None) -> None:
    """Refuse a checkpoint or a folder that cannot be used; without one load pretrained weights."""
    if folder:
        checkpoint.refuse_no_checkpoint(folder)
    checkpoint.refuse_another_run(plan.save_dir, folder)
    checkpoint.read_score(plan.save_dir / checkpoint.BEST_FOLDER)  # now, not after an evaluation
    if folder:
        weights = f"--opts model.pretrained={folder}/model.pdparams"
        hint = f"to start from its weights: {weights} --allow_partial"
        refuse_other_classes(folder, config.info, hint)
        return
    load_first_weights(config, plan.allow_partial)


def _watch(plan: TrainingPlan) -> Stopwatch:
    """Return a stopwatch, which waits for the GPU if a profile is wanted."""
    wait = plan.profile and on_gpu()
    return Stopwatch(paddle.device.synchronize) if wait else Stopwatch()


def _run(trainer: Trainer, watch: Stopwatch) -> None:
    """Train, and log the profile if wanted, however the training ends."""
    first, start = trainer.position.iteration, time.perf_counter()
    try:
        trainer.run()
    finally:
        if trainer.plan.profile:
            total, steps = time.perf_counter() - start, trainer.position.iteration - first
            _log.info("%d steps:\n%s", steps, format_profile(watch.seconds, total, steps, "step"))
