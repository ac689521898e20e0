"""The checks in their order: a command each, and what verifies what it gave."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpu_checking.verification import (
    Figures,
    agreed,
    learned,
    near,
    nothing,
    passed_tests,
    profiled,
    ran_on_gpu,
    same_ids,
)

WITHOUT_INSTANCE_NORM = (
    "panoptic_deeplab_mobilenetv3_large_os32_cityscapes_1025x513_bs8_90k_lr00005"
)
EXACT = {"NVIDIA_TF32_OVERRIDE": "0"}
"""Float32 that is rounded as on a CPU."""


@dataclass(frozen=True)
class Check:
    """A command and what has to come of it.

    Attributes:
        name: in the report.
        command: arguments of Python.
        verify: the command's output -> figures for the report; raises `DataError`.
        gpus: number of GPUs that it needs.
        package: that it needs, if any.
        environment: variables beside those of this process.
    """

    name: str
    command: Sequence[str]
    verify: Callable[[str], Figures]
    gpus: int = 0
    package: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the command as one types it."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return shlex.join([*variables, "python", *self.command])


def checks_in(folder: Path) -> list[Check]:
    """Return the checks in the order of docs/gpu.md; their results lie in `folder`."""
    in_half = {
        "fp16_o1": ["--precision", "fp16"],
        "fp16_o2": ["--precision", "fp16", "--amp_level", "O2"],
        "bf16_o2": ["--precision", "bf16", "--amp_level", "O2"],
    }
    fp32, best = folder / "fp32", folder / "fp32" / "best_model"
    resumed = ["--resume_model", str(folder / "bf16_o2" / "iter_20")]
    export = {"model_path": best, "format": "onnx"}
    predicted = folder / "prediction_cpu"
    sizes = ["--train", "8", "--val", "4", "--height", "192", "--width", "384"]
    return [
        Check(
            "parity",
            ["-m", "pytest", "-q", "tests/test_parity.py"],
            passed_tests,
            package="pytest",
            environment=EXACT,
        ),
        Check(
            "scenes", ["tools/make_scenes.py", "--output", str(folder / "scenes"), *sizes], nothing
        ),
        Check("fp32", _lite(folder, "fp32"), _of(learned, fp32)),
        *(
            Check(name, _lite(folder, name, *flags), _of(near, folder / name, fp32, 0.1), gpus=1)
            for name, flags in in_half.items()
        ),
        Check(
            "bf16_o2_resumed",
            _lite(folder, "bf16_o2_resumed", *in_half["bf16_o2"], *resumed),
            _of(near, folder / "bf16_o2_resumed", folder / "bf16_o2", 0.03),
            gpus=1,
        ),
        Check(
            "batch_norm",
            _batch_norm(folder, "batch_norm", batch_size=4, gpus=1),
            _of(learned, folder / "batch_norm"),
        ),
        Check(
            "two_gpus",
            _batch_norm(folder, "two_gpus", batch_size=2, gpus=2),
            _of(near, folder / "two_gpus", folder / "batch_norm", 0.02),
            gpus=2,
        ),
        Check("prediction_cpu", _prediction(folder, "prediction_cpu", "cpu", best), nothing),
        Check(
            "prediction",
            _prediction(folder, "prediction", "auto", best, "--profile"),
            lambda output: {**profiled(output), **same_ids(folder / "prediction", predicted)},
            environment=EXACT,
        ),
        Check(
            "export",
            [*_verb("export", **export, save_dir=folder / "export"), "--with_postprocess"],
            agreed,
            package="paddle2onnx",
        ),
        Check(
            "exported_on_gpu",
            _prediction(folder, "exported_on_gpu", "gpu", folder / "export" / "model.onnx"),
            lambda output: {
                **ran_on_gpu(output),
                **same_ids(folder / "exported_on_gpu", predicted),
            },
            gpus=1,
            package="onnxruntime",
            environment=EXACT,
        ),
        Check(
            "efficientps",
            _efficientps(folder, "efficientps", gpus=1),
            _of(learned, folder / "efficientps"),
        ),
        Check(
            "efficientps_two_gpus",
            _efficientps(folder, "efficientps_two_gpus", gpus=2),
            _of(learned, folder / "efficientps_two_gpus"),
            gpus=2,
        ),
    ]


def _of(verify: Callable[..., Figures], *arguments: object) -> Callable[[str], Figures]:
    """`verify(*arguments)`, whatever the command printed."""
    return lambda output: verify(*arguments)


def _verb(verb: str, **flags: object) -> list[str]:
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    return ["-m", "panoptic_deeplab", verb, *words]


def _lite(folder: Path, name: str, *more: str) -> list[str]:
    """Forty steps of the demo's network, which has instance norm."""
    command = _verb(
        "train",
        config="panoptic_deeplab_lite_scenes",
        iters=40,
        batch_size=2,
        log_iters=5,
        save_interval=20,
        save_dir=folder / name,
    )
    opts = ["lr_scheduler.warmup_iters=5"]
    return [*command, "--use_ema", "--do_eval", *more, "--opts", *_roots(folder), *opts]


def _batch_norm(folder: Path, name: str, *, batch_size: int, gpus: int) -> list[str]:
    """Six steps of a network whose batch norms several GPUs share."""
    command = _verb(
        "train",
        config=WITHOUT_INSTANCE_NORM,
        iters=6,
        batch_size=batch_size,
        log_iters=1,
        save_dir=folder / name,
    )
    opts = [
        "model.backbone.pretrained=null",
        "train_dataset.transforms=[{type: RandomPaddingCrop, crop_size: [257, 129]}]",
    ]
    return _launched(folder, name, gpus, [*command, "--opts", *_roots(folder), *opts])


def _efficientps(folder: Path, name: str, *, gpus: int) -> list[str]:
    """Twenty steps of a small EfficientPS with batch norm; its regions differ in number."""
    command = _verb(
        "train",
        config="efficientps_b0_scenes",
        iters=20,
        batch_size=1,
        log_iters=5,
        save_dir=folder / name,
    )
    opts = ["lr_scheduler.warmup_iters=5", "model.instance_norm=false"]
    return _launched(folder, name, gpus, [*command, "--opts", *_roots(folder), *opts])


def _launched(folder: Path, name: str, gpus: int, command: list[str]) -> list[str]:
    """A command of the package under Paddle's launcher, where it is for several GPUs."""
    if gpus == 1:
        return command
    cards = ",".join(map(str, range(gpus)))
    logs = ["--log_dir", str(folder / f"{name}_logs")]
    return ["-m", "paddle.distributed.launch", "--gpus", cards, *logs, "train.py", *command[3:]]


def _roots(folder: Path) -> list[str]:
    return [f"{split}_dataset.dataset_root={folder / 'scenes'}" for split in ("train", "val")]


def _prediction(folder: Path, name: str, device: str, model: Path, *more: str) -> list[str]:
    images = folder / "scenes" / "leftImg8bit" / "val"
    flags = {"model_path": model, "image_path": images, "save_dir": folder / name}
    return [*_verb("predict", **flags, format="coco", device=device), *more]
