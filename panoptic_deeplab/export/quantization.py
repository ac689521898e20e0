"""A network in 8-bit integers: ONNX Runtime's static quantization, calibrated on images."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from panoptic_deeplab.deployment import NETWORK_OUTPUTS


def quantized(
    network: onnx.ModelProto, inputs: Iterator[np.ndarray], float_layers: int
) -> onnx.ModelProto:
    """The network with 8-bit weights (one scale for each channel) and activations.

    Args:
        network: from a normalized input to the outputs.
        inputs: normalized batches [1, 3, H, W], which give the ranges of activations.
        float_layers: convolutions before each output that stay in float32.
    """
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    onnxruntime.set_default_logger_severity(3)  # it warns of constants that it folds
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, small = (str(Path(folder) / f"{i}.onnx") for i in range(3))
        onnx.save(network, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            small,
            _Reader(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=last_convolutions(onnx.load(prepared).graph, float_layers),
        )
        return onnx.load(small)


def last_convolutions(graph: onnx.GraphProto, depth: int) -> list[str]:
    """Names of the convolutions with fewer than `depth` others between them and an output."""
    maker = {name: node for node in graph.node for name in node.output}
    found: dict[str, int] = {}
    waiting = [(name, 0) for name in NETWORK_OUTPUTS]
    while waiting:
        name, passed = waiting.pop()
        node = maker.get(name)
        if node is None or passed == depth:
            continue
        if node.op_type == "Conv":
            if found.get(node.name, depth) <= passed:
                continue
            found[node.name] = passed
            passed += 1
        waiting += [(source, passed) for source in node.input]
    return sorted(found)


class _Reader:
    """Batches with the interface of onnxruntime's CalibrationDataReader."""

    def __init__(self, inputs: Iterator[np.ndarray]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, np.ndarray] | None:
        value = next(self._inputs, None)
        return None if value is None else {"image": value}
