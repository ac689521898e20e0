"""A network that another runtime than Paddle computes, once it has shown the same results."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import paddle
from paddle import nn

from panoptic_deeplab.deployment import NETWORK_OUTPUTS
from panoptic_deeplab.errors import UserError, one_line, reason_of
from panoptic_deeplab.runtimes.compilation import Compilation
from panoptic_deeplab.runtimes.conversion import ConverterKilledError
from panoptic_deeplab.runtimes.differences import (
    MAX_DEVIATION,
    MAX_PIXELS,
    deviations,
    fraction_of_others,
)
from panoptic_deeplab.runtimes.identity import identity_of
from panoptic_deeplab.runtimes.kept_files import (
    discard,
    failure_path,
    keep,
    keep_failure,
    kept_failure,
    kept_path,
    mark_used,
)
from panoptic_deeplab.runtimes.patience import NoPatience, Patience
from panoptic_deeplab.runtimes.program import network_of
from panoptic_deeplab.runtimes.sessions import RUNTIMES, Session
from panoptic_deeplab.structures import Prediction

_log = logging.getLogger(__name__)

COMPILERS = ("onnx", "paddle2onnx")
"""Packages without which nothing is compiled; what is in the cache needs none of them."""

_MOST_PIXELS = 1 << 24
"""Of an input. A larger one takes a runtime twice the memory of Paddle's bands of rows, or more."""

_PASSING = (OSError, subprocess.SubprocessError, ConverterKilledError)
"""Errors that say nothing of the network."""

Outputs = Mapping[str, paddle.Tensor]
Step = TypeVar("Step")


class CompiledNetwork(nn.Layer):
    """A network as a runtime computes it, and Paddle as long as nothing is compiled.

    What is in the cache is used from the first input on. Else the network is compiled when its
    `patience` is over, by another process beside Paddle, and takes over if its outputs, and the ids
    and classes made of them, agree with Paddle's on an input. If they do not, or the runtime fails,
    Paddle goes on, and a warning says why; what cannot be compiled is not tried again. Inputs of
    more than 16 megapixels are left to Paddle, which needs less memory, unless somebody asked for
    the runtime.

    Args:
        model: as Paddle computes it, with its weights; where only its `network` can be traced, what
            finds the instances stays in Paddle.
        runtime: a name of `RUNTIMES`.
        group: outputs for inputs of the shape (N, 3, H, W) -> the prediction of each.
        patience: when the network is compiled; None for before the first input, which waits for it,
            as somebody asked for this runtime.
    """

    def __init__(
        self,
        model: nn.Layer,
        runtime: str,
        group: Callable[[Outputs, Sequence[int]], list[Prediction]],
        patience: Patience | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.runtime = runtime
        self._names = getattr(model, "network_outputs", NETWORK_OUTPUTS)
        self._group = group
        self._patience = patience or NoPatience()
        self._is_asked_for = patience is None
        self._path = kept_path(identity_of(model, runtime))
        self._session = self._kept_session()
        self._compilation: Compilation | None = None
        self._may_compile = not self.is_compiled and self._can_be_compiled()

    @property
    def is_compiled(self) -> bool:
        """Whether the runtime computes the next input."""
        return self._session is not None

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """Compute [N, 3, H, W] -> the outputs of the model."""
        if not self._is_asked_for and images.shape[2] * images.shape[3] > _MOST_PIXELS:
            return self._finished(network_of(self.model)(images))
        if self._session is not None:
            try:
                return self._finished(self._run(self._session, images))
            except MemoryError:
                raise
            except Exception as error:  # each runtime has exceptions of its own
                self._session = None
                self._tell_paddle(f"it failed: {reason_of(error)}")
        if self._may_compile and self._patience.is_over(len(images)):
            self._may_compile = False
            self._compilation = self._trying(lambda: Compilation(self.model, self._names))
        start = time.perf_counter()
        outputs = network_of(self.model)(images)
        self._patience.note(len(images), time.perf_counter() - start)
        if self._compilation is not None and (self._is_asked_for or self._compilation.is_done):
            self._session = self._trying(lambda: self._checked_session(images, outputs))
            self._compilation = None
        return self._finished(outputs)

    def _run(self, session: Session, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """Compute the traced part of the model in a session."""
        values = session.run({"image": images.numpy()})
        pairs = zip(self._names, values, strict=True)
        return {name: paddle.to_tensor(value) for name, value in pairs}

    def _finished(self, outputs: Outputs) -> Outputs:
        """The outputs of the model, given those of its traced part."""
        find_instances = getattr(self.model, "find_instances", None)
        return outputs if find_instances is None else find_instances(outputs)

    def _kept_session(self) -> Session | None:
        """The network in the cache; a file that cannot be loaded is removed, to be made anew."""
        if not self._path.is_file():
            return None
        try:
            session = RUNTIMES[self.runtime](self._path)
        except Exception as error:  # each runtime has exceptions of its own
            reason = one_line(str(error))[:100]
            _log.warning("%s: made anew, as it cannot be loaded (%s)", self._path, reason)
            discard(self._path)
            return None
        mark_used(self._path)
        _log.info("The network runs in %s, %s", self.runtime, self._path)
        return session

    def _can_be_compiled(self) -> bool:
        """Whether what compiles is there, and has not failed for this network; tells why not."""
        missing = [name for name in COMPILERS if importlib.util.find_spec(name) is None]
        if missing and self._is_asked_for:
            self._tell_paddle(
                f"compiling needs {', '.join(missing)}; pip install 'panoptic-deeplab[deploy]'"
            )
        failure = None if missing else kept_failure(self._path)
        if failure is not None:
            again = f"remove {failure_path(self._path)} to try again"
            self._tell_paddle(f"{failure} (found by an earlier run; {again})")
        return not missing and failure is None

    def _trying(self, step: Callable[[], Step]) -> Step | None:
        """What a step of compiling returns; None where it fails, which is told and noted."""
        try:
            return step()
        except MemoryError:
            raise
        except Exception as error:  # of the converter, of a runtime, of a full disk
            reason = str(error) if isinstance(error, UserError) else reason_of(error)
            self._tell_paddle(reason)
            if not isinstance(error, _PASSING):
                keep_failure(reason, self._path)
            return None

    def _checked_session(self, images: paddle.Tensor, outputs: Outputs) -> Session:
        """The compiled network, kept, once it agrees with Paddle on these outputs.

        Raises:
            UserError: it does not agree, or the network has no ONNX form.
        """
        file = self._compilation.finish()
        session = RUNTIMES[self.runtime](file)
        if reasons := self._differences(self._run(session, images), outputs, images.shape):
            raise UserError("; ".join(reasons))
        _log.info(
            "The network runs in %s from here on, compiled in %.1f s, %s",
            self.runtime,
            self._compilation.seconds,
            self._keep(file),
        )
        return session

    def _keep(self, file: Path) -> str:
        try:
            keep(file, self._path)
        except OSError as error:
            return f"not kept ({error.strerror or error})"
        return f"kept in {self._path}"

    def _differences(self, found: Outputs, outputs: Outputs, shape: Sequence[int]) -> list[str]:
        """What differs by more than rounding, in words."""
        reasons = [
            f"{name} differs by {value:.2g} of its highest value"
            for name, value in deviations(_arrays(outputs), _arrays(found)).items()
            if not value <= MAX_DEVIATION
        ]
        if reasons:
            return reasons
        pairs = zip(
            *(self._group(self._finished(some), shape) for some in (outputs, found)),
            strict=True,
        )
        others = max(_fraction_otherwise(*pair) for pair in pairs)
        if others <= MAX_PIXELS:
            return []
        return [f"rounding gives {100 * others:.2g} % of the pixels another id or class"]

    def _tell_paddle(self, reason: str) -> None:
        _log.warning("Paddle runs the network, and not %s: %s", self.runtime, reason)


def _arrays(outputs: Outputs) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in outputs.items()}


def _fraction_otherwise(first: Prediction, second: Prediction) -> float:
    """The fraction of the pixels with another id or class."""
    ids = fraction_of_others(first.ids, second.ids)
    return ids if first.labels is None else max(ids, float((first.labels != second.labels).mean()))
