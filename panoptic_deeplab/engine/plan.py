"""How long, how often and where to a training goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from panoptic_deeplab.engine import distributed


@dataclass(frozen=True)
class TrainingPlan:
    """How long, how often and where to.

    Attributes:
        iters: steps of the whole training.
        batch_size: samples of a forward pass on each process.
        save_dir: where checkpoints and logs go.
        accumulate_steps: forward passes whose gradients make one step.
        save_interval: steps between checkpoints (and evaluations).
        keep_checkpoint_max: newest checkpoints kept, 0 for all.
        log_iters: steps between log lines.
        num_workers: processes that read ahead on each process.
        seed: of the weights' and the samples' draws.
        use_vdl: write VisualDL records.
    """

    iters: int
    batch_size: int
    save_dir: Path
    accumulate_steps: int = 1
    save_interval: int = 1000
    keep_checkpoint_max: int = 5
    log_iters: int = 10
    num_workers: int = 0
    seed: int = 0
    use_vdl: bool = False

    @property
    def samples_a_step(self) -> int:
        """Samples that one step sees, over all processes."""
        return self.batch_size * self.accumulate_steps * distributed.world_size()
