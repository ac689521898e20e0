"""What differs between a checkpoint's configuration and a run's."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.engine.checkpoint import changed_sections

BOMB = "a0: &a0 [1]\n" + "".join(f"a{i + 1}: &a{i + 1} [{f'*a{i},' * 10}]\n" for i in range(6))


@pytest.mark.parametrize(
    ("before", "changed"),
    [
        ("iters: 3\nmodel: {type: A}\n", []),
        ("iters: 4\nmodel: {type: A}\nname: x\n", ["iters", "name"]),
        ("- 1", ["configuration"]),
        ("", ["configuration"]),
        ("iters: [", ["configuration"]),
        (BOMB, ["configuration"]),
        ("1: 2\niters: 3\nmodel: {type: A}\n", ["1"]),
    ],
)
def test_sections_that_differ(tmp_path: Path, before: str, changed: list[str]) -> None:
    (tmp_path / "config.yml").write_text(before)
    assert changed_sections(tmp_path, "iters: 3\nmodel: {type: A}\n") == changed


def test_a_checkpoint_without_a_configuration(tmp_path: Path) -> None:
    assert changed_sections(tmp_path, "iters: 3\n") == ["configuration"]
