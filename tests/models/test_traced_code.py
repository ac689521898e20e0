"""What an export traces keeps to what Paddle can trace."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[2] / "panoptic_deeplab" / "models"


@pytest.mark.parametrize("path", sorted(MODELS.rglob("*.py")), ids=lambda path: path.name)
def test_forward_calls_zip_without_strict(path: Path) -> None:
    """Paddle (3.3) replaces `zip` in traced code by a function without that argument."""
    forwards = [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == "forward"
    ]
    calls = [node for forward in forwards for node in ast.walk(forward)]
    strict = [
        call.lineno
        for call in calls
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "zip"
        and any(keyword.arg == "strict" for keyword in call.keywords)
    ]
    assert not strict
