"""How far an exported file agrees with its model.

The network's outputs and the grouping are judged separately. Where rounding decides many pixels, as
with untrained weights, ids differ although both are right; a wrong grouping must not hide in that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import paddle
from paddle import nn

from panoptic_deeplab.runtimes.differences import (
    MAX_DEVIATION,
    MAX_PIXELS,
    Outputs,
    deviations,
    fraction_of_others,
)
from panoptic_deeplab.structures import Prediction


@dataclass(frozen=True)
class Agreement:
    """A file against the model on one sample.

    Attributes:
        deviations: of each output of the network, the largest difference over the highest value;
            empty where the file does not give them.
        other_ids: fraction of the pixels whose id differs; None without grouping.
        other_classes: likewise, of the semantic map.
        grouped_otherwise: the fraction of the pixels that the model's own grouping gives another id
            or class, from what the file's network gave; None where that is not known.
    """

    deviations: Mapping[str, float]
    other_ids: float | None = None
    other_classes: float | None = None
    grouped_otherwise: float | None = None

    def reasons(self, *, exact: bool) -> list[str]:
        """What differs by more than rounding.

        Args:
            exact: whether the network must agree; an 8-bit network does not.
        """
        found = []
        if exact:
            found += [
                f"{name} differs by {value:.2g} of its highest value (at most {MAX_DEVIATION})"
                for name, value in self.deviations.items()
                if not value <= MAX_DEVIATION
            ]
        if self.grouped_otherwise is not None and self.grouped_otherwise > MAX_PIXELS:
            found.append(
                f"its grouping gives {_percent(self.grouped_otherwise)} of the pixels another id "
                f"or class from the same outputs (at most {_percent(MAX_PIXELS)})"
            )
        if exact and self.grouped_otherwise is None and self.has_other_pixels:
            found.append(f"{self._other_pixels()} (at most {_percent(MAX_PIXELS)})")
        return found

    @property
    def has_other_pixels(self) -> bool:
        """Whether more pixels than usual have another id or class than the model gives them."""
        return max(self.other_ids or 0, self.other_classes or 0) > MAX_PIXELS

    def __str__(self) -> str:
        parts = [
            f"{name} differs by at most {value:.1e} of its highest value"
            for name, value in self.deviations.items()
        ]
        if self.other_ids is not None:
            parts.append(self._other_pixels())
        if self.grouped_otherwise is not None:
            parts.append(
                f"from the file's own network outputs {_percent(self.grouped_otherwise)} otherwise"
            )
        return "; ".join(parts)

    def _other_pixels(self) -> str:
        return (
            f"{_percent(self.other_ids or 0)} of the pixels have another id, "
            f"{_percent(self.other_classes or 0)} another class"
        )


def agreement_of_maps(
    found: Outputs,
    prediction: Prediction,
    given: Outputs,
    outputs: Outputs,
    regrouped: Prediction | None,
) -> Agreement:
    """The agreement of a file with the grouping.

    Args:
        found: outputs of the file for a batch of the sample alone.
        prediction: of the model.
        given: outputs of the network inside the file; empty where the file does not give them.
        outputs: of the model's network.
        regrouped: the prediction of the model's grouping from `given`.
    """
    ids, labels = found["panoptic"][0], found["semantic_map"][0]

    def others(expected: Prediction) -> tuple[float, float]:
        return fraction_of_others(expected.ids, ids), float((expected.labels != labels).mean())

    return Agreement(
        deviations(outputs, given) if given else {},
        *others(prediction),
        None if regrouped is None else max(others(regrouped)),
    )


def agreement_of_predictions(
    deviating: Mapping[str, float],
    found: Prediction,
    prediction: Prediction,
    regrouped: Prediction,
) -> Agreement:
    """The agreement of files whose grouping is computed after them.

    Args:
        deviating: the deviations of all outputs.
        found: the prediction of the files.
        prediction: of the model.
        regrouped: what the model makes of the outputs of the network's file.
    """

    def others(expected: Prediction) -> tuple[float, float]:
        ids = fraction_of_others(expected.ids, found.ids)
        return ids, 0.0 if found.labels is None else float((expected.labels != found.labels).mean())

    return Agreement(deviating, *others(prediction), max(others(regrouped)))


class Recorder(nn.Layer):
    """A network that keeps its last `outputs`."""

    def __init__(self, model: nn.Layer) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """The outputs of the model."""
        outputs = self.model(images)
        self.outputs = {name: value.numpy() for name, value in outputs.items()}
        return outputs


class Replay(nn.Layer):
    """A network that returns recorded outputs."""

    def __init__(self, outputs: Outputs) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, _: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """The recorded outputs, whatever the images."""
        return {name: paddle.to_tensor(value) for name, value in self.outputs.items()}


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.4g} %"
