"""OpenDR's settings of a training, in epochs and mmcv's words, as sections of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panoptic_deeplab.errors import UsageError, nearest

Section = dict[str, Any]

_OPTIMIZERS = {"SGD": "Momentum", "Adam": "Adam", "AdamW": "AdamW"}
"""OpenDR's name -> the configuration's."""


def optimizer_section(
    name: str, momentum: float, weight_decay: float, optimizer_config: Mapping[str, Any]
) -> Section:
    """Describe an optimizer.

    Args:
        name: SGD, Adam or AdamW.
        momentum: of SGD.
        weight_decay: of all.
        optimizer_config: see `clipping`.

    Raises:
        UsageError: there is no such optimizer, or gradients are to be clipped by another norm.
    """
    kind = _known(name, _OPTIMIZERS, "optimizer")
    own = {"momentum": momentum} if kind == "Momentum" else {}
    return {"type": kind, "weight_decay": weight_decay} | own | clipping(optimizer_config)


def clipping(optimizer_config: Mapping[str, Any]) -> Section:
    """Describe how an optimizer clips gradients; empty where it does not.

    Args:
        optimizer_config: `grad_clip`, None or `{max_norm, norm_type: 2}`.

    Raises:
        UsageError: they are to be clipped by another norm.
    """
    clip = _dictionary(optimizer_config, "optimizer_config").get("grad_clip")
    if clip is None:
        return {}
    clip = _dictionary(clip, "grad_clip")
    if clip.get("norm_type", 2) != 2 or "max_norm" not in clip:
        raise UsageError(f"grad_clip: expected max_norm and norm_type 2, got {clip!r:.100}")
    norm = float(clip["max_norm"])
    return {"grad_clip_cfg": {"name": "ClipGradByGlobalNorm", "clip_norm": norm}}


@dataclass(frozen=True)
class Length:
    """How long a training is."""

    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch


def schedule_section(lr: float, schedule: Mapping[str, Any], length: Length) -> Section:
    """Describe a learning rate schedule of mmcv, whose `step` counts epochs.

    Args:
        lr: the learning rate after the warm-up.
        schedule: `policy` (step, poly, CosineAnnealing or fixed) with its settings, and perhaps
            `warmup: linear` with `warmup_iters` and `warmup_ratio`.
        length: of the training.

    Raises:
        UsageError: there is no such policy or warm-up.
    """
    schedule = _dictionary(schedule, "lr_schedule")
    policy = _known(schedule.get("policy"), _POLICIES, "policy of lr_schedule")
    warmup = 0
    if schedule.get("warmup") is not None:
        _known(schedule["warmup"], {"linear": None}, "warmup of lr_schedule")
        warmup = int(schedule.get("warmup_iters", 0))
    section = policy(schedule, length, warmup) | {"learning_rate": lr}
    if warmup:
        start = lr * schedule.get("warmup_ratio", 0.1)
        section |= {"warmup_iters": warmup, "warmup_start_lr": start}
    return section


def _steps(schedule: Mapping[str, Any], length: Length, warmup: int) -> Section:
    """Lower the learning rate after certain epochs, or every so many; never without `step`."""
    epochs = schedule.get("step", [])
    listed = epochs if isinstance(epochs, (list, tuple)) else [epochs]
    if not all(isinstance(epoch, int) and epoch > 0 for epoch in listed):
        raise UsageError(f"step of lr_schedule: expected epochs above 0, got {epochs!r:.50}")
    if isinstance(epochs, int):
        epochs = range(epochs, length.epochs, epochs)
    milestones = increasing([epoch * length.steps_per_epoch - warmup for epoch in epochs])
    return {
        "type": "MultiStepDecay",
        "gamma": schedule.get("gamma", 0.1),
        "milestones": milestones or [length.steps + 1],
    }


def increasing(milestones: Sequence[int]) -> list[int]:
    """Move milestones within the warm-up to its end, each a step after the one before.

    >>> increasing([-200, -100, 50])
    [1, 2, 50]
    """
    moved: list[int] = []
    for milestone in milestones:
        moved.append(max(milestone, 1, moved[-1] + 1 if moved else 1))
    return moved


def _polynomial(schedule: Mapping[str, Any], length: Length, warmup: int) -> Section:
    power, end = float(schedule.get("power", 1)), float(schedule.get("min_lr", 0))
    return {"type": "PolynomialDecay", "power": power, "end_lr": end}


def _cosine(schedule: Mapping[str, Any], length: Length, warmup: int) -> Section:
    return {"type": "CosineAnnealingDecay", "eta_min": float(schedule.get("min_lr", 0))}


_POLICIES: dict[str, Callable[[Mapping[str, Any], Length, int], Section]] = {
    "step": _steps,
    "poly": _polynomial,
    "CosineAnnealing": _cosine,
    "fixed": _steps,
}


def _dictionary(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{what}: expected a dictionary, got {value!r:.50}")
    return value


def _known(name: Any, known: Mapping[str, Any], what: str) -> Any:
    if name not in known:
        hint = nearest(str(name), known)
        raise UsageError(f"{what}: expected {', '.join(known)}, got {name!r:.50}{hint}")
    return known[name]


def configured_schedule(written: Section, lr: float, iters: int, steps: int) -> Section:
    """Return a configuration's own schedule for another learning rate and length.

    Args:
        written: its section `lr_scheduler`.
        lr: the learning rate.
        iters: the steps that the section was written for.
        steps: those of this training.
    """
    section = written | {"learning_rate": lr}
    if "milestones" in section:
        factor = steps / iters
        section["milestones"] = increasing([round(m * factor) for m in section["milestones"]])
    return section
