"""An ONNX file loaded into a runtime, without Paddle."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from panoptic_deeplab.errors import reason_of
from panoptic_deeplab.process import has_free_threads

_log = logging.getLogger(__name__)

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_GPU = (_CUDA, "TensorrtExecutionProvider")
"""ONNX Runtime's providers on a GPU; the first runs every operator of a file with the grouping."""

_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}
"""Its default tries all algorithms at the first image of each size, which takes a second or two;
the times after that are the same but for small networks, and the memory was twice as much."""

_NO_GPU = "has no GPU (onnxruntime-gpu has)"
_NO_DRIVER = "finds no NVIDIA driver"
_LIBRARIES = "`pip install 'onnxruntime-gpu[cuda,cudnn]'` brings CUDA's libraries"


class Session(Protocol):
    """A loaded file.

    Attributes:
        metadata: what its exporter wrote into it, by key.
        input_names: names of its inputs, in order.
        output_names: names of its outputs, in order.
    """

    metadata: Mapping[str, str]
    input_names: list[str]
    output_names: list[str]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run the file on its inputs, by name; return all outputs, in order."""


class OnnxRuntimeSession:
    """The file in ONNX Runtime.

    Args:
        path: the file.
        device: `cpu`, or `auto` or `gpu` for a GPU where this ONNX Runtime can use one. A warning
            says why it cannot; for `auto` only where it has one and there is a driver.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_threads()
        options.log_severity_level = 4  # warnings are of its own fusions, errors are raised too
        # Threads that spin while they wait keep others from reading, grouping and scoring: on a
        # busy machine a small network took twice the time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # It plans memory for a size from the second image on, beside what the first one took: 221
        # bytes a pixel in place of 120, and no faster.
        options.enable_mem_pattern = False
        gpu = _gpu_of(onnxruntime.get_available_providers()) if device != "cpu" else None
        problem = _NO_GPU if gpu is None else _NO_DRIVER
        self._session = None
        if gpu is not None and _has_driver():
            self._session, problem = _opened_on_gpu(path, options, gpu)
        if self._session is None:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=[_CPU])
            if device == "gpu" or problem not in (_NO_GPU, _NO_DRIVER):
                _log.warning("--device %s: this ONNX Runtime %s; the CPU computes", device, problem)
        self.metadata = self._session.get_modelmeta().custom_metadata_map
        self.input_names = [value.name for value in self._session.get_inputs()]
        self.output_names = [value.name for value in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        try:
            return self._session.run(None, dict(inputs))
        except Exception as error:  # it has no type of its own for a full memory
            if lack := re.search(r"Failed to allocate memory[^\n]*", str(error)):
                raise MemoryError(lack[0]) from error
            raise


def _gpu_of(available: Sequence[str]) -> str | None:
    """Return the provider to use of those that ONNX Runtime has, None where all are the CPU's."""
    return next((name for name in _GPU if name in available), None)


def _has_driver() -> bool:
    """Return whether NVIDIA's driver is there; where it cannot be told, ONNX Runtime shall try."""
    if sys.platform != "linux":
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _opened_on_gpu(path: Path, options: Any, gpu: str) -> tuple[Any, str]:
    """Open a file on a GPU; return None and what is wrong where that cannot be."""
    import onnxruntime

    if missing := _missing_library():
        return None, f"cannot start its GPU ({missing}); {_LIBRARIES}"
    provider = (gpu, _CUDA_OPTIONS) if gpu == _CUDA else gpu
    try:
        # by itself it would go on with the CPU, and tell so in four lines
        session = onnxruntime.InferenceSession(
            str(path), options, providers=[provider, _CPU], enable_fallback=False
        )
    except Exception as error:  # of several types; a broken file is told of when the CPU opens it
        return None, f"cannot start its GPU ({_failure_in(error)})"
    if gpu not in session.get_providers():
        return None, f"cannot start its GPU; {_LIBRARIES}"
    return session, ""


def _missing_library() -> str:
    """Load CUDA and cuDNN, those that pip installed too; return what is told of a missing one."""
    import onnxruntime

    if not hasattr(onnxruntime, "preload_dlls"):  # before 1.21, which knows the system's alone
        return ""
    with redirect_stdout(io.StringIO()) as told:
        onnxruntime.preload_dlls()
    return told.getvalue().partition("\n")[0].strip()


def _failure_in(error: Exception) -> str:
    """What CUDA says is wrong, out of a message that begins with where in the code it is said."""
    failure = re.search(r"\bCU\w* failure \d+: [^;]*", str(error))
    return failure[0].strip() if failure else reason_of(error)


class OpenVinoSession:
    """The file in OpenVINO, on the CPU, in float32.

    Args:
        path: the file.
        device: for `gpu` a warning says that the CPU computes.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        import openvino

        if device == "gpu":
            _log.warning("--device gpu: OpenVINO is run on the CPU here; the CPU computes")
        options = {"INFERENCE_NUM_THREADS": usable_threads(), "INFERENCE_PRECISION_HINT": "f32"}
        core = openvino.Core()
        model = core.read_model(str(path))
        self._model = core.compile_model(model, "CPU", options)
        notes = model.get_rt_info("framework").value if model.has_rt_info("framework") else {}
        self.metadata = dict(notes)
        # of the model as read; compiling gives an output also the name of what it was cast from
        self.input_names = [value.any_name for value in model.inputs]
        self.output_names = [value.any_name for value in model.outputs]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        results = self._model(dict(inputs))
        return [results[value] for value in self._model.outputs]


RUNTIMES = {"onnxruntime": OnnxRuntimeSession, "openvino": OpenVinoSession}


def usable_threads() -> int:
    """Return OMP_NUM_THREADS, which Paddle obeys as well, else the number of usable cores.

    Where the user has not set it, Paddle sets it to 1 as it is imported, which nobody asked for.
    """
    wanted = "" if has_free_threads() else os.environ.get("OMP_NUM_THREADS", "")
    wanted = wanted.split(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
