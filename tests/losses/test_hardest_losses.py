"""The mean of the hardest losses is that of a top-k over all processes, ties included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from panoptic_deeplab.losses.across_ranks import hardest_mean_of

ROOT = Path(__file__).parents[2]


def losses_of(ranks: int, kind: str) -> list[list[float]]:
    """Forty losses on each of some processes."""
    rng = np.random.default_rng([ranks, len(kind)])
    losses = {
        "different": rng.exponential(size=(ranks, 40)),
        "ties": rng.integers(0, 4, (ranks, 40)) / 4,
        "mostly zero": rng.exponential(size=(ranks, 40)) * (rng.random((ranks, 40)) < 0.1),
        "on one process": rng.exponential(size=(ranks, 40)) + 100 * np.eye(ranks)[:, :1],
        "of all sizes": 10.0 ** rng.uniform(-40, 38, (ranks, 40)),
    }[kind]
    return losses.astype(np.float32).tolist()


KINDS = ["different", "ties", "mostly zero", "on one process", "of all sizes"]
FRACTIONS = [0.01, 0.25, 1.0]


def kept_of(losses: list[list[float]], fraction: float) -> list[float]:
    """What a top-k over all processes keeps, the largest first."""
    count = max(int(fraction * 40 * len(losses)), 1)
    return sorted((loss for part in losses for loss in part), reverse=True)[:count]


def check(losses: list[list[float]], fraction: float, mean: float, gradients: np.ndarray) -> None:
    """The mean is that of the kept losses, each of which has an equal part in the gradient."""
    kept = kept_of(losses, fraction)
    assert mean == pytest.approx(np.mean(kept, dtype=np.float64), rel=1e-5)
    parts, values = np.array(gradients) * len(kept), np.array(losses)
    assert parts.sum() == pytest.approx(len(kept), rel=1e-5)
    np.testing.assert_allclose(parts[values > kept[-1]], 1, rtol=1e-5)
    assert not parts[values < kept[-1]].any()
    ties = parts[values == kept[-1]]
    np.testing.assert_allclose(ties[ties > 0], ties.max(), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_on_one_process(kind: str, fraction: float) -> None:
    (own,) = losses_of(1, kind)
    losses = paddle.to_tensor(own, stop_gradient=False)
    mean = hardest_mean_of(lambda places: losses.gather(places), 40, fraction)
    mean.backward()
    check([own], fraction, float(mean), [losses.grad.numpy()])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("ranks", [2, 3])
def test_on_several_processes(ranks: int, tmp_path: Path) -> None:
    cases = [
        {"losses": losses_of(ranks, kind), "fraction": fraction}
        for kind in KINDS
        for fraction in FRACTIONS
    ]
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    words = ["-m", "paddle.distributed.launch", "--nproc_per_node", ranks, "--log_dir", tmp_path]
    words += [ROOT / "tests/programs/hardest_losses.py", tmp_path / "cases.json", tmp_path / "out"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, words)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=200)
    found = json.loads((tmp_path / "out").read_text())
    for case, result in zip(cases, found, strict=True):
        check(**case, mean=result["mean"], gradients=result["gradients"])


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_among_the_hardest(bad: float) -> None:
    losses = paddle.to_tensor([1.0, 2.0, bad, 3.0])
    mean = hardest_mean_of(lambda places: losses.gather(places), 4, 0.25)
    assert not np.isfinite(float(mean))
