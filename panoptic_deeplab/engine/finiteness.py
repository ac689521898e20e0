"""Stop a training at a loss or gradient that is not finite, without waiting in each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import paddle

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.errors import DataError


class FinitenessGuard:
    """Records on the device which losses were not finite; `check` reads the record.

    Nothing is read back to the host in between, so a step never waits for a GPU. Every
    checkpoint and evaluation has to follow a `check`.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the record."""
        self.bad_terms: dict[str, paddle.Tensor] = {}
        self.seen: list[str] = []

    @paddle.no_grad()
    def watch(self, terms: Mapping[str, paddle.Tensor], image_ids: Sequence[str]) -> None:
        """Record the terms of one step.

        Args:
            terms: the losses, and the gradient's norm where an overflow is not handled elsewhere.
            image_ids: of this step's samples.
        """
        for name, value in terms.items():
            bad = paddle.logical_not(paddle.isfinite(value))
            known = self.bad_terms.get(name)
            self.bad_terms[name] = bad if known is None else paddle.logical_or(known, bad)
        self.seen.extend(image_ids)

    def check(self, iteration: int) -> None:
        """Read the record since the last check, on all processes together.

        Raises:
            DataError: on all processes, if a term on any of them was not finite.
        """
        bad = [name for name, value in self.bad_terms.items() if bool(value)]
        reports = distributed.gather((bad, self.seen if bad else []))
        terms = sorted({name for names, _ in reports for name in names})
        if terms:
            images = sorted({image for _, ids in reports for image in ids})
            raise DataError(
                f"iteration {iteration}: {', '.join(terms)} became infinite or NaN; nothing was "
                f"saved since. Images since the last check: {', '.join(images)}. Look at these, "
                "or try a smaller --learning_rate or gradient clipping (optimizer.grad_clip_cfg)"
            )
        self.reset()


def refuse_not_finite(outputs: Mapping[str, paddle.Tensor]) -> None:
    """Refuse a network's outputs that say nothing; grouping would make segments of them.

    Raises:
        DataError: an output holds NaN or infinite numbers.
    """
    finite = {
        name: paddle.isfinite(value).all()
        for name, value in outputs.items()
        if isinstance(value, paddle.Tensor) and value.is_floating_point()
    }
    if finite and not bool(paddle.stack(list(finite.values())).all()):  # one wait for the device
        bad = ", ".join(name for name, value in finite.items() if not bool(value))
        raise DataError(
            f"the network's outputs ({bad}) hold NaN or infinite numbers: its weights are of a "
            "training that diverged, or overflow; take an earlier checkpoint"
        )


@paddle.no_grad()
def gradient_norm(parameters: Sequence[paddle.Tensor]) -> paddle.Tensor:
    """Return the Euclidean norm over the gradients of all parameters that have one."""
    squares = [p.grad.astype("float32").square().sum() for p in parameters if p.grad is not None]
    return paddle.stack(squares).sum().sqrt()
