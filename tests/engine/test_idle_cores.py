"""A training says where a second thread would help, and takes none unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.cli import train
from panoptic_deeplab.engine import training

LINE = "OMP_NUM_THREADS=2 trains 1.1 to 1.3 times as fast"


@pytest.fixture
def trained(tiny_config: Path, tmp_path: Path, monkeypatch, capsys):
    """Train to a step, with so many idle cores; what was told."""

    def run(idle: float, is_chosen: bool = False, iters: int = 1) -> str:
        monkeypatch.setattr(training, "idle_cores", lambda: idle)
        monkeypatch.setattr(training, "has_free_threads", lambda: not is_chosen)
        flags = ["--config", tiny_config, "--save_dir", tmp_path / "run", "--iters", iters]
        flags += ["--device", "cpu", "--resume_model", "auto"]
        assert train.main([str(flag) for flag in flags]) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("idle", "is_chosen", "is_told"), [(1.9, False, True), (1.2, False, False), (1.9, True, False)]
)
def test_it_is_told_where_a_core_is_idle_and_nobody_chose(
    trained, idle: float, is_chosen: bool, is_told: bool
) -> None:
    assert (LINE in trained(idle, is_chosen)) == is_told


def test_a_resumed_training_does_not_ask_for_another_number_of_threads(trained) -> None:
    assert LINE in trained(1.9)
    assert LINE not in trained(1.9, iters=2)
