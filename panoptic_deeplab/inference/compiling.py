"""Which runtime computes the network of a predictor that came from a checkpoint."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence

import paddle

from panoptic_deeplab.device import on_gpu
from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.runtimes.compiled import CompiledNetwork
from panoptic_deeplab.runtimes.patience import Patience
from panoptic_deeplab.runtimes.sessions import RUNTIMES
from panoptic_deeplab.structures import Frame, Prediction

_log = logging.getLogger(__name__)

_OF_EXPORTABLE_METHODS = ("export_settings", "host_settings")
"""What postprocessors have whose networks can be traced."""


def with_runtime(predictor: Predictor, runtime: str, images: int | None = None) -> Predictor:
    """A predictor whose network the runtime computes; all else stays as it is.

    Args:
        predictor: with its weights loaded.
        runtime: `paddle`; `onnxruntime` or `openvino`; or `auto` for the first of these two that is
            installed, as soon as compiling pays. Where neither can be used, Paddle computes, which
            a line says if one was asked for by name.
        images: how many are to come; None where nobody knows.

    Raises:
        UsageError: a runtime that was asked for by name is not installed.
    """
    name = _installed(runtime)
    if name is None:
        return predictor
    if reason := _why_not(predictor):
        if runtime != "auto":
            _log.info("--runtime %s: Paddle runs the network, as %s", runtime, reason)
        return predictor

    def group(outputs: dict[str, paddle.Tensor], shape: Sequence[int]) -> list[Prediction]:
        frames = [Frame.whole(*shape[2:])] * shape[0]
        return predictor.postprocessor(outputs, frames)

    mine = images and -(-images // distributed.world_size())
    patience = Patience(mine) if runtime == "auto" else None
    return predictor.with_network(CompiledNetwork(predictor.model, name, group, patience))


def _installed(runtime: str) -> str | None:
    """The runtime to use; None for Paddle."""
    if runtime == "paddle":
        return None
    names = list(RUNTIMES) if runtime == "auto" else [runtime]
    found = [name for name in names if importlib.util.find_spec(name) is not None]
    if not found and runtime != "auto":
        raise UsageError(f"--runtime {runtime}: is not installed; pip install {runtime}")
    return found[0] if found else None


def _why_not(predictor: Predictor) -> str | None:
    """Why no other runtime than Paddle can compute the network; None if one can."""
    if on_gpu():
        return "it computes on a GPU (--device cpu for the CPU)"
    if not any(hasattr(predictor.postprocessor, name) for name in _OF_EXPORTABLE_METHODS):
        return f"networks of {type(predictor.postprocessor).__name__} cannot be compiled"
    return None
