"""Appends the grouping to an ONNX file of the network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import compose

from panoptic_deeplab.deployment import METADATA_KEY, NETWORK_OUTPUTS, SETTINGS, Deployment
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.export.onnx_grouping import grouping, preparation

_NETWORK = "network/"  # prefix of the network's names in a file with the grouping


def with_grouping(network: onnx.ModelProto, deployment: Deployment) -> onnx.ModelProto:
    """Join preparation, network and grouping to one model from images to ids and segments.

    Where the description says so, settings of the grouping are inputs too.
    """
    opset = network.opset_import[0].version
    before = preparation(deployment.normalization, deployment.min_size, opset)
    after = grouping(deployment.grouping, opset)
    for model in (before, after):
        model.ir_version = network.ir_version
    sizes = ["image_size", "input_size"]
    network = compose.add_prefix(network, _NETWORK)
    prepared = compose.merge_models(
        before,
        network,
        [("network_input", f"{_NETWORK}image")],
        outputs=[*(f"{_NETWORK}{name}" for name in NETWORK_OUTPUTS), *sizes],
    )
    joined = [(f"{_NETWORK}{name}", name) for name in NETWORK_OUTPUTS]
    whole = compose.merge_models(prepared, after, [*joined, *((name, name) for name in sizes)])
    del whole.opset_import[1:]  # the same version, of each part once more
    if deployment.input_shape is not None:
        batch, _, height, width = deployment.input_shape
        _fix_dimensions(whole.graph, {"N": batch, "H": height, "W": width})
    if deployment.takes_settings:
        _make_inputs(whole.graph, SETTINGS)
    return whole


def _make_inputs(graph: onnx.GraphProto, names: Iterable[str]) -> None:
    """Make inputs of constants."""
    constants = {constant.name: constant for constant in graph.initializer}
    for name in names:
        constant = constants[name]
        graph.input.append(
            onnx.helper.make_tensor_value_info(name, constant.data_type, constant.dims)
        )
        graph.initializer.remove(constant)


def _fix_dimensions(graph: onnx.GraphProto, sizes: Mapping[str, int]) -> None:
    """Give the named dimensions of inputs and outputs their sizes."""
    for value in [*graph.input, *graph.output]:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in sizes:
                dimension.dim_value = sizes[dimension.dim_param]


def network_outputs(path: Path, image: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of the network inside a file with the grouping, for images [N, H, W, 3]."""
    import onnxruntime

    model = onnx.load(str(path))
    # which no output of the network depends on
    settings = {v.name: np.ones(1, SETTINGS[v.name]) for v in model.graph.input[1:]}
    names = [f"{_NETWORK}{name}" for name in NETWORK_OUTPUTS]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    content = model.SerializeToString()
    del model  # limits memory to two copies of the weights
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of its own fusions
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return dict(zip(NETWORK_OUTPUTS, session.run(names, {"image": image} | settings), strict=True))


def write_model(model: onnx.ModelProto, deployment: Deployment, path: Path) -> None:
    """Check the model, add its description and write it.

    Raises:
        DataError: it is beyond the two gigabytes that one ONNX file holds.
    """
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(deployment.to_dict())})
    model.producer_name = "panoptic_deeplab"
    if model.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF:
        raise DataError(f"{path.name}: the network is larger than the 2 GB of an ONNX file")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
