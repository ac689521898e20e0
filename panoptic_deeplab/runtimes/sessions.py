"""An ONNX file loaded into a runtime, without Paddle."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from panoptic_deeplab.process import has_free_threads

_log = logging.getLogger(__name__)

_CPU = "CPUExecutionProvider"
_GPU = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
"""ONNX Runtime's providers on a GPU; the first runs every operator of a file with the grouping."""


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
        device: `cpu`, or `auto` or `gpu` for a GPU where this ONNX Runtime can use one; for `gpu`
            a warning says where it cannot.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_threads()
        options.log_severity_level = 3  # warnings are of its own fusions
        # Threads that spin while they wait keep others from reading, grouping and scoring: on a
        # busy machine a small network took twice the time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # It plans memory for a size from the second image on, beside what the first one took: 221
        # bytes a pixel in place of 120, and no faster.
        options.enable_mem_pattern = False
        wanted = _on_gpu(onnxruntime.get_available_providers()) if device != "cpu" else []
        self._session = onnxruntime.InferenceSession(str(path), options, providers=[*wanted, _CPU])
        if device == "gpu" and not set(wanted) & set(self._session.get_providers()):
            _log.warning(
                "--device gpu: this ONNX Runtime %s; the CPU computes",
                "cannot start its GPU" if wanted else "has no GPU (onnxruntime-gpu has)",
            )
        self.metadata = self._session.get_modelmeta().custom_metadata_map
        self.input_names = [value.name for value in self._session.get_inputs()]
        self.output_names = [value.name for value in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return self._session.run(None, dict(inputs))


def _on_gpu(available: Sequence[str]) -> list[str]:
    """Return the provider to use of those that ONNX Runtime has, none where all are the CPU's."""
    return [name for name in _GPU if name in available][:1]


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
