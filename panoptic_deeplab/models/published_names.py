"""Names of the state dict as in published checkpoints of PyTorch frameworks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import paddle
from paddle import nn


class PublishedNames(nn.Layer):
    """A network whose state dict calls batch norm's statistics as the published checkpoints do.

    They are `running_mean` and `running_var` instead of Paddle's `_mean` and `_variance`, also with
    synchronized batch norm.
    """

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, paddle.Tensor]:
        """Name -> the network's own tensors."""
        return _renamed(super().state_dict(*args, **kwargs), _PUBLISHED)

    def set_state_dict(
        self, state_dict: Mapping[str, Any], use_structured_name: bool = True
    ) -> tuple[list[str], list[str]]:
        """Inverse of `state_dict`; returns the missing and the unexpected names."""
        own = {there: here for here, there in _PUBLISHED.items()}
        missing, unexpected = super().set_state_dict(_renamed(state_dict, own), use_structured_name)
        return [_rename(n, _PUBLISHED) for n in missing], [
            _rename(n, _PUBLISHED) for n in unexpected
        ]


_PUBLISHED = {"_mean": "running_mean", "_variance": "running_var"}


def _renamed(state: Mapping[str, Any], table: Mapping[str, str]) -> dict[str, Any]:
    return {_rename(name, table): value for name, value in state.items()}


def _rename(name: str, table: Mapping[str, str]) -> str:
    """Replace the last part of `name` by the table."""
    path, dot, last = name.rpartition(".")
    return path + dot + table.get(last, last)
