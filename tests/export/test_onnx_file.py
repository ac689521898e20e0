"""Parts of ONNX files."""

from __future__ import annotations

import pytest

onnx = pytest.importorskip("onnx")

from panoptic_deeplab.export.quantization import last_convolutions  # noqa: E402


def test_the_last_convolutions_are_found() -> None:
    """stem -> body -> head -> offset: the head is one convolution away from its output."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1, 1, 4, 4] image, float[1, 1, 1, 1] w) => (float[1, 1, 4, 4] offset) {
        a = Conv(image, w)  b = Conv(a, w)  c = Relu(b)  d = Conv(c, w)  offset = Mul(d, w) }"""
    graph = onnx.parser.parse_model(text).graph
    for node, name in zip(graph.node, ["stem", "body", "relu", "head", "times"], strict=True):
        node.name = name
    assert last_convolutions(graph, 0) == []
    assert last_convolutions(graph, 1) == ["head"]
    assert last_convolutions(graph, 2) == ["body", "head"]
