"""The exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import paddle
from paddle import nn

from panoptic_deeplab.engine.precision import single_precision_weights


class WeightAverage:
    """Moving average of a model: decay * average + (1 - decay) * weights, after each step.

    The decay starts low, (1 + n) / (10 + n) after n steps, so that the first weights soon
    lose their influence. Batch norm's statistics are parameters in Paddle, and averaged too;
    buffers are copied. The average is in float32: in half precision a step of 1 - decay is lost.

    Args:
        model: its weights are averaged.
        optimizer: of the model; it may keep the weights in float32 where the model does not.
        decay: in 0..1.
    """

    def __init__(
        self, model: nn.Layer, optimizer: paddle.optimizer.Optimizer, decay: float = 0.999
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.decay = decay
        self.steps = 0
        self.values = {name: value.clone() for name, value in self._weights().items()}
        self._averaged = {name for name, _ in model.named_parameters()}

    def _weights(self) -> dict[str, paddle.Tensor]:
        return single_precision_weights(self.model, self.optimizer)

    @paddle.no_grad()
    def update(self) -> None:
        """Update the average with the model's weights."""
        self.steps += 1
        rest = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self._weights().items():
            average = self.values[name]
            if name in self._averaged:
                average.add_((value - average) * rest)
            else:
                paddle.assign(value, average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the average as its weights inside the context."""
        own = {name: value.clone() for name, value in self.model.state_dict().items()}
        self._assign(self.values)
        try:
            yield
        finally:
            self._assign(own)

    @paddle.no_grad()
    def _assign(self, values: Mapping[str, paddle.Tensor]) -> None:
        for name, weight in self.model.state_dict().items():
            paddle.assign(values[name].astype(weight.dtype), weight)

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
