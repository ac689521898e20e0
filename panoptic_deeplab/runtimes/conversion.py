"""Converts a Paddle program to an ONNX file of the network."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from panoptic_deeplab.deployment import NETWORK_OUTPUTS
from panoptic_deeplab.errors import UsageError, UserError, one_line
from panoptic_deeplab.runtimes.program import PROGRAM

if TYPE_CHECKING:
    import onnx

# In a process of its own: the converter exits where it does not know an operator, and would
# install packages if its optimizer were not turned off.
_CONVERT = """
import sys, paddle2onnx
program, weights, file, opset = sys.argv[1:]
paddle2onnx.export(program, weights, file, opset_version=int(opset), auto_upgrade_opset=False,
                   optimize_tool="None", enable_onnx_checker=True)
"""
_NO_INSTALLING = {"POLYGRAPHY_INSTALL_CMD": "/bin/false", "POLYGRAPHY_AUTOINSTALL_DEPS": "0"}
_SECONDS = 1800
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

_OPERATOR = re.compile(r'"#":"1\.(?![at]_)([^"]+)"')
_KNOWN_UNDER_OTHER_NAMES = {
    *("add", "subtract", "multiply", "divide", "floor_divide", "remainder", "maximum", "minimum"),
    *("batch_norm_", "data", "fetch"),
}
_MISREAD = {
    ("InstanceNormalization", "epsilon"): {
        "1.group_norm": "epsilon",
        "1.instance_norm": "epsilon",
    },
    ("LeakyRelu", "alpha"): {"1.leaky_relu": "negative_slope"},
}
"""Attribute in ONNX -> by operator of the program the attribute that it comes from. The converter
does not read those in double precision, and leaves whatever lay there.
"""


class ConverterKilledError(UserError):
    """The process that converts was ended from outside, for want of memory for example."""


class Conversion:
    """A program on its way to ONNX, in a process of its own, which ends with this object.

    Args:
        folder: has the program, and gets what the process writes.
        opset: version of ONNX's operators.
        name: of the program's files.
    """

    def __init__(self, folder: Path, opset: int, name: str = PROGRAM) -> None:
        self._program = folder / f"{name}.json"
        self._file = folder / "network.onnx"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (ends with this object)
        words = [self._program, folder / f"{name}.pdiparams", self._file, opset]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CONVERT, *map(str, words)],
            env=os.environ | _NO_INSTALLING,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        weakref.finalize(self, _end, self._process, self._log)

    @property
    def is_done(self) -> bool:
        """Whether `result` need not wait."""
        return self._process.poll() is not None

    def result(self, outputs: Sequence[str] = NETWORK_OUTPUTS) -> onnx.ModelProto:
        """Wait for the program as ONNX; its `outputs` get their names.

        Raises:
            UsageError: an operator has no ONNX form; the message names it.
            ConverterKilledError: somebody ended the process.
        """
        import onnx  # an extra

        code = self._process.wait(_SECONDS)
        if -code in _FROM_OUTSIDE:
            raise ConverterKilledError(
                f"the converter to ONNX was ended by {signal.Signals(-code).name}"
            )
        program = self._program.read_text("utf-8")
        if code or not self._file.exists():
            unknown = unsupported_operators(program)
            reason = (
                f"paddle2onnx has no ONNX form for the operators {', '.join(unknown)}"
                if unknown
                else _reason(self._read_log())
            )
            raise UsageError(f"the network cannot be made ONNX: {reason}")
        model = onnx.load(str(self._file))
        self._file.unlink()
        _set_misread(model.graph, program)
        return _renamed(model, outputs)

    def _read_log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    process.kill()
    process.wait()
    log.close()


def convert_program(
    folder: Path, opset: int, outputs: Sequence[str] = NETWORK_OUTPUTS, name: str = PROGRAM
) -> onnx.ModelProto:
    """Convert the program `name` in `folder` to ONNX, as `Conversion` does; wait for the result."""
    return Conversion(folder, opset, name).result(outputs)


def _set_misread(graph: onnx.GraphProto, program: str) -> None:
    """Give the numbers of `_MISREAD` their values in the program; operators keep its order."""
    block = json.loads(program)["program"]["regions"][0]["blocks"][0]
    for (kind, name), sources in _MISREAD.items():
        values = [
            attribute["AT"]["D"]
            for operator in block["ops"]
            if operator["#"] in sources
            for attribute in operator["A"]
            if attribute["N"] == sources[operator["#"]]
        ]
        nodes = [node for node in graph.node if node.op_type == kind]
        for node, value in zip(nodes, values, strict=True):
            for attribute in node.attribute:
                if attribute.name == name:
                    attribute.f = value


def unsupported_operators(program: str) -> list[str]:
    """The operators in the text of an `inference.json` that the converter does not know, sorted.

    The converter itself does not name them.
    """
    from paddle2onnx import paddle2onnx_cpp2py_export

    known = set(paddle2onnx_cpp2py_export.get_all_supported_operators_pir())
    return sorted(set(_OPERATOR.findall(program)) - known - _KNOWN_UNDER_OTHER_NAMES)


def _renamed(model: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """Name the outputs, instead of fetch_name_k, and the dimensions N, H, W.

    Those of an output have names of its own: a runtime takes equal names for equal sizes.
    """
    graph = model.graph
    new = dict(zip([output.name for output in graph.output], outputs, strict=True))
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    for value, name in zip(graph.output, outputs, strict=True):
        value.name = name
        _name_dimensions(value, ("N", f"{name}_h", f"{name}_w"))
    _name_dimensions(graph.input[0], ("N", "H", "W"))
    del graph.value_info[:]
    return _without_unused(model)


def _name_dimensions(value: onnx.ValueInfoProto, names: Sequence[str]) -> None:
    dimensions = value.type.tensor_type.shape.dim
    for place, name in zip((0, 2, 3) if len(dimensions) == 4 else (0,), names, strict=False):
        if dimensions[place].dim_value < 1:  # else it is fixed
            dimensions[place].dim_param = name


def _without_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the unused constants that the converter leaves; ONNX Runtime warns of each."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [constant for constant in model.graph.initializer if constant.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def _reason(log: str) -> str:
    """The lines of the converter's log that say what it cannot do."""
    log = re.sub(r"\x1b\[[0-9;]*m", "", log)
    telling = [line for line in log.splitlines() if re.search(r"not support|Error|error", line)]
    return one_line(" ".join(telling[:2] or log.splitlines()[-2:]))[:300]
