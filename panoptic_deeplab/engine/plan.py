"""Settings of a training: its length, its files and its precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from panoptic_deeplab.engine import distributed


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of one training that are not part of its recipe.

    Attributes:
        iters: steps of the whole training.
        batch_size: samples of a forward pass on each process.
        save_dir: where checkpoints and logs go.
        accumulate_steps: forward passes whose gradients make one step.
        save_interval: steps between checkpoints (and evaluations). None: 1000, or with
            `train_seconds` a tenth of the training.
        keep_checkpoint_max: newest checkpoints kept, 0 for all.
        log_iters: steps between log lines.
        num_workers: processes that read ahead on each process.
        seed: of the random draws for weights and samples.
        use_vdl: write VisualDL records.
        do_eval: evaluate at each checkpoint and keep the best.
        resume: a checkpoint's folder to resume from; "auto": the newest in `save_dir`, if any.
        init: weights of the same network to start from, trained for any classes: a file, the folder
            of a checkpoint, an https URL or the name of a published model. Where a checkpoint is
            resumed they are not used.
        allow_partial: load what fits of pretrained weights and list what does not.
        scale_lr: scale learning rate and iterations to this run's effective batch size.
        precision: fp32, fp16 or bf16.
        amp_level: O1 or O2.
        ema_decay: of a moving average of the weights; None keeps none.
        profile: log at the end how much time each part of a step took.
        train_seconds: time of all steps. A trial then chooses how many fit, in place of `iters`.
        step_seconds: as the trial measured; None before it, and where there is none.
    """

    iters: int
    batch_size: int
    save_dir: Path
    accumulate_steps: int = 1
    save_interval: int | None = None
    keep_checkpoint_max: int = 5
    log_iters: int = 10
    num_workers: int = 0
    seed: int = 0
    use_vdl: bool = False
    do_eval: bool = False
    resume: str | Path | None = None
    init: str | None = None
    allow_partial: bool = False
    scale_lr: bool = False
    precision: str = "fp32"
    amp_level: str = "O1"
    ema_decay: float | None = None
    profile: bool = False
    train_seconds: float | None = None
    step_seconds: float | None = None

    @property
    def effective_batch_size(self) -> int:
        """Samples per step, over all processes."""
        return self.batch_size * self.accumulate_steps * distributed.world_size()

    @property
    def checkpoint_interval(self) -> int:
        """Steps between checkpoints."""
        if self.save_interval is not None:
            return self.save_interval
        return 1000 if self.train_seconds is None else -(-self.iters // 10)
