"""`--help` of every script fits a terminal and comes without loading what computes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in (".", "tools", "tools/deploy")
    for path in (ROOT / folder).glob("*.py")
    if "__main__" in path.read_text()
)
BLOCKED = (
    "import runpy, sys; "
    "sys.modules.update(dict.fromkeys(['paddle', 'paddleseg', 'numpy', 'cv2', 'onnx'])); "
    "script = sys.argv.pop(1); sys.path.insert(0, script.rpartition('/')[0]); "
    "runpy.run_path(script, run_name='__main__')"
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_light_and_fits_80_columns(script: str) -> None:
    command = [sys.executable, "-c", BLOCKED, script, "--help"]
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "usage: " in lines[0]
    assert [line for line in lines if len(line) > 80] == []
