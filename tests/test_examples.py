"""The examples in docstrings give what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MODULES = [
    ".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__")
    for top, folder in ((ROOT, "panoptic_deeplab"), (ROOT / "tools", "."))
    for path in sorted((top / folder).rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed
