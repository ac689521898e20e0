"""Converts a Paddle program to an ONNX file of the network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

from panoptic_deeplab.deployment import NETWORK_OUTPUTS
from panoptic_deeplab.errors import UsageError, one_line
from panoptic_deeplab.runtimes.program import PROGRAM

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


def convert_program(
    folder: Path, opset: int, outputs: Sequence[str] = NETWORK_OUTPUTS, name: str = PROGRAM
) -> onnx.ModelProto:
    """Convert the program `name` in `folder` to ONNX; its `outputs` get their names.

    Raises:
        UsageError: an operator has no ONNX form; the message names it.
    """
    file = folder / "network.onnx"
    program, weights = folder / f"{name}.json", folder / f"{name}.pdiparams"
    words = map(str, [program, weights, file, opset])
    done = subprocess.run(
        [sys.executable, "-c", _CONVERT, *words],
        env=os.environ | _NO_INSTALLING,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode or not file.exists():
        unknown = unsupported_operators(program.read_text("utf-8"))
        reason = (
            f"paddle2onnx has no ONNX form for the operators {', '.join(unknown)}"
            if unknown
            else _reason(done.stdout + done.stderr)
        )
        raise UsageError(f"the network cannot be made ONNX: {reason}")
    model = onnx.load(str(file))
    file.unlink()
    _set_misread(model.graph, program.read_text("utf-8"))
    return _renamed(model, outputs)


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
