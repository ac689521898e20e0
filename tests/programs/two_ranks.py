"""Train a small network without batch norm; run alone or under paddle.distributed.launch.

    two_ranks.py OUTPUT BATCH_SIZE KIND

KIND is `plain`, `no_instance` (every second image has none) or `broken` (every second cannot be
read). The last losses and weights of rank 0 go to OUTPUT as an .npz file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import paddle

from panoptic_deeplab.datasets import PanopticDataset, Record
from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.plan import TrainingPlan
from panoptic_deeplab.engine.run_log import RunLog
from panoptic_deeplab.engine.trainer import Trainer
from panoptic_deeplab.errors import DataError, UserError
from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.losses import PanopticDeepLabLoss
from panoptic_deeplab.preprocess import Preprocess
from panoptic_deeplab.structures import Frame, Segment
from panoptic_deeplab.targets import CenterOffsetTargets

SIZE = (24, 32)


class MadeUp(PanopticDataset):
    """Eight images; what is odd about every second is the kind."""

    def __init__(self, kind: str) -> None:
        super().__init__([Record(str(i), Path(f"{i}.png")) for i in range(8)], CITYSCAPES)
        self.kind = kind

    def load(self, index: int) -> dict:
        if self.kind == "broken" and index % 2:
            raise DataError(f"{index}.png: not a readable image")
        rng = np.random.default_rng(index)
        ids = np.full(SIZE, 1, np.int32)
        if not (self.kind == "no_instance" and index % 2):
            y, x = rng.integers(0, 12, 2)
            ids[y : y + 10, x : x + 12] = 2
        return {
            "image": rng.integers(0, 256, (*SIZE, 3), np.uint8),
            "panoptic": ids,
            "segments": [Segment(1, 0), Segment(2, 13)],
            "frame": Frame.whole(*SIZE),
            "image_id": str(index),
        }


class Small(paddle.nn.Layer):
    """Two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = paddle.nn.Conv2D(3, 8, 3, padding=1)
        self.heads = paddle.nn.LayerList(paddle.nn.Conv2D(8, n, 1) for n in (19, 1, 2))

    def forward(self, images: paddle.Tensor, targets: object = None) -> dict[str, paddle.Tensor]:
        hidden = paddle.nn.functional.relu(self.first(images))
        return {
            name: head(hidden)
            for name, head in zip(("semantic", "center", "offset"), self.heads, strict=True)
        }


def main(output: str, batch_size: int, kind: str) -> None:
    distributed.start("cpu")
    paddle.seed(0)
    model = Small()
    plan = TrainingPlan(4, batch_size, Path(output).parent / "run", log_iters=1)
    schedule = paddle.optimizer.lr.StepDecay(1e-3, step_size=100)
    trainer = Trainer(
        model=model,
        criterion=PanopticDeepLabLoss(top_k_percent_pixels=0.3),
        preprocess=Preprocess(),
        optimizer=paddle.optimizer.SGD(schedule, model.parameters()),
        schedule=schedule,
        dataset=MadeUp(kind),
        targets=CenterOffsetTargets(CITYSCAPES.thing_ids, sigma=2),
        postprocessor=lambda outputs, frames: [],
        info=CITYSCAPES,
        config_yaml="",
        plan=plan,
    )
    lines: list[list[float]] = []
    mean_losses = RunLog._means

    def remember(log: RunLog) -> dict[str, float]:
        means = mean_losses(log)
        lines.append(list(means.values()))
        return means

    RunLog._means = remember
    trainer.run()
    if distributed.is_main():
        weights = {name: value.numpy() for name, value in model.state_dict().items()}
        np.savez(output, losses=np.array(lines), **weights)


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
