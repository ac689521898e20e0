"""A network on its way from Paddle to an ONNX file."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from paddle import nn

from panoptic_deeplab.deployment import MODEL
from panoptic_deeplab.runtimes.conversion import Conversion
from panoptic_deeplab.runtimes.program import NetworkProgram, save_program

OPSET = 17


class Compilation:
    """The network of a model: traced at once, then converted beside this process.

    What it writes is removed with it.

    Args:
        model: with its weights.
        names: of the outputs.

    Raises:
        UsageError: a part of it cannot be traced.
    """

    def __init__(self, model: nn.Layer, names: Sequence[str]) -> None:
        self._start = time.perf_counter()
        self._names = names
        self._folder = Path(tempfile.mkdtemp(prefix="compile-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        save_program(NetworkProgram(model, names), self._folder)
        self._conversion = Conversion(self._folder, OPSET)

    @property
    def is_done(self) -> bool:
        """Whether `finish` need not wait."""
        return self._conversion.is_done

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.perf_counter() - self._start

    def finish(self) -> Path:
        """Wait for the file.

        Raises:
            UsageError: a part of the network has no ONNX form.
            ConverterKilledError: somebody ended the process that converts.
        """
        import onnx  # an extra

        path = self._folder / MODEL
        onnx.save(self._conversion.result(self._names), str(path))
        return path
