"""Boxes are computed in single precision, whatever the heads are."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import paddle

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_single_precision(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`function` outside of automatic mixed precision.

    Half precision cannot tell pixels apart beyond 2048.
    """

    @wraps(function)
    def computed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with paddle.amp.auto_cast(enable=False):
            return function(*args, **kwargs)

    return computed
