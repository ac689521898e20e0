"""A loss or gradient that is not finite stops a training, without a wait in each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.errors import DataError


class FinitenessGuard:
    """Changes nothing from the first step on that is not finite; `check` tells it.

    On a GPU such steps are undone there: nothing is read back to the host until `check`, so a step
    never waits for one. The price is a copy of the weights. On a CPU a look costs nothing, and
    such steps are left out.

    Args:
        parameters: what a step changes.
        undo: whether to undo steps or to leave them out; None: by the device.
    """

    def __init__(self, parameters: Sequence[paddle.Tensor], undo: bool | None = None) -> None:
        self.parameters = [p for p in parameters if not p.stop_gradient]
        self.undo = paddle.device.get_device() != "cpu" if undo is None else undo
        self.reset()

    def reset(self) -> None:
        """Forgets what was seen."""
        self.fine = paddle.to_tensor(True)
        self.bad_terms: dict[str, paddle.Tensor] = {}
        self.seen: list[str] = []

    @paddle.no_grad()
    def step(
        self,
        losses: dict[str, paddle.Tensor],
        gradient_norm: paddle.Tensor | None,
        image_ids: Sequence[str],
        apply: Callable[[], None],
    ) -> None:
        """Has the changes of `apply` made if all has been finite so far.

        Args:
            losses: of this step.
            gradient_norm: over all parameters, or None where overflow is handled elsewhere.
            image_ids: of this step's samples.
            apply: changes the parameters.
        """
        terms = losses if gradient_norm is None else losses | {"gradient": gradient_norm}
        for name, value in terms.items():
            bad = paddle.logical_not(paddle.isfinite(value))
            self.bad_terms[name] = (
                paddle.logical_or(self.bad_terms[name], bad) if name in self.bad_terms else bad
            )
            self.fine = paddle.logical_and(self.fine, paddle.logical_not(bad))
        self.seen.extend(image_ids)
        if self.undo:
            self._apply_or_undo(apply)
        elif bool(self.fine):
            apply()

    def _apply_or_undo(self, apply: Callable[[], None]) -> None:
        before = [parameter.clone() for parameter in self.parameters]
        apply()
        for parameter, old in zip(self.parameters, before, strict=True):
            paddle.assign(paddle.where(self.fine, parameter, old), parameter)

    def check(self, iteration: int) -> None:
        """Looks at all since the last look; the processes look together.

        Raises:
            DataError: on all of them, if anything on any was not finite.
        """
        bad = [name for name, value in self.bad_terms.items() if bool(value)]
        reports = distributed.gather((bad, self.seen if bad else []))
        terms = sorted({name for names, _ in reports for name in names})
        if terms:
            images = sorted({image for _, ids in reports for image in ids})
            raise DataError(
                f"iteration {iteration}: {', '.join(terms)} became infinite or NaN; that step was "
                f"not applied. Images since the last look: {', '.join(images)}. Look at these, "
                "or try a smaller --learning_rate or gradient clipping (optimizer.grad_clip_cfg)"
            )
        self.reset()


@paddle.no_grad()
def gradient_norm(parameters: Sequence[paddle.Tensor]) -> paddle.Tensor:
    """Euclidean norm over the gradients of all parameters that have one."""
    squares = [p.grad.astype("float32").square().sum() for p in parameters if p.grad is not None]
    return paddle.stack(squares).sum().sqrt()
