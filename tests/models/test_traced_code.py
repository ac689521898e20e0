"""What an export traces keeps to what Paddle can trace."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[2] / "panoptic_deeplab" / "models"


REPLACED = {"zip": "strict", "enumerate": "start"}
"""Functions that Paddle (3.3) replaces in traced code by some without these arguments."""


@pytest.mark.parametrize("path", sorted(MODELS.rglob("*.py")), ids=lambda path: path.name)
def test_forward_gives_no_argument_that_traced_code_does_not_take(path: Path) -> None:
    forwards = [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name in ("forward", "network", "outputs")
    ]
    calls = [node for forward in forwards for node in ast.walk(forward)]
    wrong = [
        f"{call.func.id}(..., {keyword.arg}=) in line {call.lineno}"
        for call in calls
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        for keyword in call.keywords
        if REPLACED.get(call.func.id) == keyword.arg
    ]
    assert not wrong
