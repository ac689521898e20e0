"""The exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import paddle
from paddle import nn

from panoptic_deeplab.weights import set_weights


class WeightAverage:
    """Moving average of a model: decay * average + (1 - decay) * weights, after each step.

    The decay starts low, (1 + n) / (10 + n) after n steps, so that the first weights soon
    lose their influence. Buffers (batch norm's statistics) and integers are copied.

    Args:
        model: its weights are averaged.
        decay: in 0..1.
    """

    def __init__(self, model: nn.Layer, decay: float = 0.999) -> None:
        self.model = model
        self.decay = decay
        self.steps = 0
        self.values = {name: value.clone() for name, value in model.state_dict().items()}
        self._averaged = {name for name, _ in model.named_parameters()}

    @paddle.no_grad()
    def update(self) -> None:
        """Update the average with the model's weights."""
        self.steps += 1
        rest = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self.model.state_dict().items():
            average = self.values[name]
            if name in self._averaged:
                average.add_((value.astype(average.dtype) - average) * rest)
            else:
                paddle.assign(value, average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the average as its weights inside the context."""
        own = {name: value.numpy() for name, value in self.model.state_dict().items()}
        set_weights(self.model, {name: value.numpy() for name, value in self.values.items()})
        try:
            yield
        finally:
            set_weights(self.model, own)

    def state(self) -> dict[str, np.ndarray]:
        """Return plain arrays, for a checkpoint."""
        return {"steps": np.array(self.steps)} | {
            name: value.numpy() for name, value in self.values.items()
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned.

        Raises:
            KeyError: an entry is missing.
        """
        self.steps = int(state["steps"])
        for name, value in self.values.items():
            value.set_value(paddle.to_tensor(state[name]).astype(value.dtype))
