"""Bottom-up and top-down panoptic segmentation on PaddlePaddle.

`load_model` is where to begin. What computes is imported when it is first asked for.
"""

import importlib
from typing import Any

from panoptic_deeplab.late_imports import import_metrics_late
from panoptic_deeplab.process import keep_freed_memory, prefer_fast_blas

__version__ = "0.1.0"
__all__ = ["Model", "Result", "load_model"]

# Here, so that they come before the first computation of any entry point, and before PaddleSeg.
prefer_fast_blas()
keep_freed_memory()
import_metrics_late()

_HOMES = {"load_model": "inference.model", "Model": "inference.model", "Result": "result"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
