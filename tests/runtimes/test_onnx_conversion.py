"""Operators that have an ONNX form, and those that have none."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx")
pytest.importorskip("paddle2onnx")

from panoptic_deeplab.runtimes.conversion import unsupported_operators


def test_operators_without_an_onnx_form_are_named() -> None:
    operators = [
        "1.data",
        "1.conv2d",
        "1.histogram",
        "1.add",
        "1.a_dtype",
        "1.bincount",
        "0.combine",
    ]
    program = ", ".join(f'{{"#":"{name}"}}' for name in operators)
    assert unsupported_operators(program) == ["bincount", "histogram"]
