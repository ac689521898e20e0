"""An optimizer's state and its schedule, by the model's own names, to a checkpoint and back."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddle.base import framework

from panoptic_deeplab.weights import listed

_log = logging.getLogger(__name__)

_LARGEST = 1e30
"""Of what a training can reach; its square still fits float32's range for a few steps."""
_NEVER_NEGATIVE = re.compile(r"moment2|square|inf_norm|_pow")


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert tensors to arrays."""
    return {
        name: np.asarray(value) if isinstance(value, paddle.Tensor) else value
        for name, value in content.items()
    }


def slots_of(optimizer: paddle.optimizer.Optimizer, model: nn.Layer) -> dict[str, Any]:
    """Return what an optimizer keeps for each parameter: 'head.weight|_moment1_0' -> array.

    Paddle's names count the layers of the process (conv2d_7.w_0) and differ from run to run.
    """
    slots = optimizer.state_dict()
    owners = {parameter.name: name for name, parameter in model.named_parameters()}
    slots.pop("LR_Scheduler", None)
    masters = slots.pop("master_weights", {})
    structured = {f"{owners[key]}|": value for key, value in masters.items()}
    for key, value in slots.items():
        owner = max((name for name in owners if key.startswith(name + "_")), key=len, default=None)
        if owner is not None:
            structured[f"{owners[owner]}|{key[len(owner) :]}"] = value
    return plain(structured)


def restore_slots(
    optimizer: paddle.optimizer.Optimizer,
    model: nn.Layer,
    saved: Any,
    schedule: Mapping[str, Any],
) -> None:
    """Give an optimizer, before its first step, what `slots_of` returned, and its schedule's state.

    Raises:
        ValueError: they are of another optimizer or network, or no numbers that it could keep.
    """
    _check_slots(saved, dict(model.named_parameters()))
    slots = _by_parameter_names(saved, model)
    optimizer.set_state_dict(slots | ({"LR_Scheduler": schedule} if schedule else {}))
    owners = {key.partition("|")[0] for key in saved}
    trained = {name: p for name, p in model.named_parameters() if not p.stop_gradient}
    fresh = [name for name in trained if name not in owners]
    _take_slots(optimizer, [trained[name] for name in trained if name in owners or not saved])
    if optimizer._accumulators_holder or (optimizer._accumulators and not saved):
        kinds = sorted({_kind(key) for key in saved if not key.endswith("|")})
        raise ValueError(
            f"it holds {', '.join(kinds) or 'nothing'} of each weight, which is not what "
            f"{type(optimizer).__name__} keeps"
        )
    if fresh and optimizer._accumulators:
        _log.warning("It has no optimizer state for %s, which start anew", listed(fresh))


@paddle.no_grad()
def _take_slots(optimizer: paddle.optimizer.Optimizer, parameters: list[paddle.Tensor]) -> None:
    """Let the optimizer take its slots now: Paddle does at the first step, and fails there."""
    block = framework.default_main_program().global_block()
    try:
        optimizer._create_accumulators(block, parameters)
    except AssertionError as error:
        raise ValueError(
            f"it lacks what {type(optimizer).__name__} keeps of each weight, or has it in another "
            "shape"
        ) from error


def _check_slots(saved: Any, parameters: Mapping[str, paddle.Tensor]) -> None:
    if not isinstance(saved, dict):
        raise ValueError(f"expected the optimizer's arrays, got {type(saved).__name__}")
    for key, value in saved.items():
        name = str(key).partition("|")[0]
        if name not in parameters:
            raise ValueError(f"it is of another network, with {name!r:.100}")
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise ValueError(f"{key:.100} is no array of numbers, but {type(value).__name__}")
        if not (np.abs(value) <= _LARGEST).all():  # False for NaN, too
            raise ValueError(f"{key:.100} holds NaN, infinite or huge numbers")
        if _NEVER_NEGATIVE.search(_kind(key)) and (value < 0).any():
            raise ValueError(f"{key:.100} holds negative numbers")


def _kind(key: str) -> str:
    """Return the name of a slot without its parameter: 'head.weight|_moment1_0' -> 'moment1'."""
    return key.partition("|")[2].strip("_").removesuffix("_0")


def _by_parameter_names(structured: Mapping[str, np.ndarray], model: nn.Layer) -> dict[str, Any]:
    """Name slots as Paddle does in this process; invert the renaming of `slots_of`."""
    names = {name: parameter.name for name, parameter in model.named_parameters()}
    slots: dict[str, Any] = {}
    masters: dict[str, Any] = {}
    for key, value in structured.items():
        name, _, slot = key.partition("|")
        target, where = (slots, names[name] + slot) if slot else (masters, names[name])
        target[where] = paddle.to_tensor(value)
    for name, master in masters.items():
        master.name = f"{name}_fp32_master_0"  # from which Paddle makes the names of its slots
    return slots | ({"master_weights": masters} if masters else {})


def check_like(saved: Any, own: Any, what: str) -> None:
    """Refuse a saved state of numbers that has other entries than this process's own.

    Args:
        saved: numbers by name, perhaps nested.
        own: the same of the running training.
        what: name of the state, for the message.

    Raises:
        ValueError: entries are missing or too many, or hold anything but finite numbers from 0 on,
            whole where the own ones are.
    """
    if isinstance(own, dict):
        if not isinstance(saved, dict) or set(saved) != set(own):
            names = ", ".join(map(str, own))
            raise ValueError(f"its {what} is another one; expected {names}")
        for name, value in own.items():
            check_like(saved[name], value, f"{what}.{name}")
        return
    expected = (int,) if type(own) is int else (int, float) if type(own) is float else (type(own),)
    is_array = isinstance(saved, np.ndarray) and saved.size == np.size(own) == 1
    number = saved.item() if is_array else saved
    if not is_array and type(saved) not in expected:
        raise ValueError(f"its {what} is no number, but {type(saved).__name__}")
    if own is not None and not 0 <= number < math.inf:
        raise ValueError(f"its {what} is {number!r:.40}, expected a finite number from 0 on")
