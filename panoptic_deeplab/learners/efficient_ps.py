"""OpenDR's EfficientPsLearner."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from panoptic_deeplab.learners.base import TEMP_PATH, PanopticLearner

_LR_SCHEDULE = {
    "policy": "step",
    "warmup": "linear",
    "warmup_iters": 500,
    "warmup_ratio": 1 / 3,
    "step": [120, 144],
}
_OPTIMIZER_CONFIG = {"grad_clip": {"max_norm": 35, "norm_type": 2}}
_OPENDR_FILES = {
    "singlegpu_cityscapes.py": "efficientps_b5_cityscapes",
    "singlegpu_sample.py": "efficientps_b5_cityscapes",  # its name before
    "singlegpu_kitti.py": "efficientps_b5_kitti",
}
"""OpenDR's configurations -> those here."""

_OLD_ORDER = (
    "lr",
    "iters",
    "batch_size",
    "optimizer",
    "lr_schedule",
    "momentum",
    "weight_decay",
    "optimizer_config",
    "checkpoint_after_iter",
    "temp_path",
    "device",
    "num_workers",
    "seed",
    "config_file",
)


def _taking_the_old_order(init: Callable[..., None]) -> Callable[..., None]:
    """Take arguments by position as OpenDR 1 has them too: the learning rate first."""

    @wraps(init)
    def either(self: Any, *args: Any, **kwargs: Any) -> None:
        if args and isinstance(args[0], (int, float)):
            names = _OLD_ORDER[: len(args)]
            init(self, **dict(zip(names, args, strict=True)), **kwargs)
        else:
            init(self, *args, **kwargs)

    return either


def known_config(config_file: str) -> str:
    """Return the configuration here that a file of OpenDR's stands for; any other as it is."""
    return _OPENDR_FILES.get(os.path.basename(config_file), config_file)


class EfficientPsLearner(PanopticLearner):
    """EfficientPS (https://arxiv.org/abs/2004.02307) with OpenDR's arguments and defaults.

    With `config_file="efficientps_solov2_b5_cityscapes"` its instance head is SOLOv2, whose
    learning rate is a seventh. KITTI's configuration is `efficientps_b5_kitti`. The names of
    OpenDR's own files, such as `singlegpu_kitti.py`, stand for the configurations here.

    `PanopticLearner` tells the arguments. Here what is not given is as in OpenDR, whatever the
    configuration says; so are `lr_schedule` and `optimizer_config` that are None.
    """

    method = "efficient_ps"
    default_config = "efficientps_b5_cityscapes"
    default_epochs = 160
    published = {"cityscapes": "efficientps_b5_cityscapes", "kitti": "efficientps_b5_kitti"}

    @_taking_the_old_order
    def __init__(
        self,
        config_file: str = default_config,
        lr: float = 0.07,
        iters: int = 160,
        batch_size: int = 1,
        optimizer: str = "SGD",
        lr_schedule: Mapping[str, Any] | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0001,
        optimizer_config: Mapping[str, Any] | None = None,
        checkpoint_after_iter: int = 1,
        temp_path: str = TEMP_PATH,
        device: str = "cuda:0",
        num_workers: int = 1,
        seed: float | None = None,
    ) -> None:
        super().__init__(
            known_config(config_file or self.default_config),
            lr,
            iters,
            batch_size,
            optimizer,
            _LR_SCHEDULE if lr_schedule is None else lr_schedule,
            momentum,
            weight_decay,
            _OPTIMIZER_CONFIG if optimizer_config is None else optimizer_config,
            checkpoint_after_iter,
            temp_path,
            device,
            num_workers,
            seed,
        )
