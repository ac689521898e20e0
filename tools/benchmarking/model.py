"""The network alone: the exported file in its runtimes against Paddle's dygraph."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarking.contest import Contest, DisagreementError, Way
from benchmarking.exported import RUNTIMES, configuration, export, installed_runtimes
from benchmarking.processes import Call
from benchmarking.train_step import OWN_CHOICE, QUICK, RESNET, Recipe

BASELINE = "dygraph, MKL's choice"
TOLERANCE = 1e-3  # of an output's largest value


def contests(folder: Path, quick: bool) -> Iterable[Contest]:
    """One picture through each runtime that is installed."""
    recipe = QUICK if quick else RESNET
    runtimes = installed_runtimes()
    path = export(recipe, folder)
    dygraph = partial(prepare_dygraph, recipe)
    reference = Way(dygraph, OWN_CHOICE)
    yield Contest(
        "network in Paddle, MKL as ours", Way(dygraph), reference, BASELINE, check=same_outputs
    )
    for runtime in runtimes:
        yield Contest(
            f"network in {runtime}",
            Way(partial(prepare_exported, runtime, path, recipe)),
            reference,
            BASELINE,
            goal=5,
            check=same_outputs,
            note=f"picture {recipe.crop[1]}x{recipe.crop[0]}",
        )


def same_outputs(ours: list[np.ndarray], dygraph: list[np.ndarray]) -> None:
    """Refuses outputs, paired by their number of channels, that differ."""
    pairs = zip(
        *(sorted(values, key=lambda v: v.shape[1]) for values in (ours, dygraph)), strict=True
    )
    for output, expected in pairs:
        error = np.abs(output - expected).max() / np.abs(expected).max()
        if not error < TOLERANCE:
            raise DisagreementError(f"an output is off by {error:.2e} of its largest value")


def prepare_exported(runtime: str, path: Path, recipe: Recipe) -> Call:
    """The exported network."""
    return partial(RUNTIMES[runtime](path), _picture(recipe))


def prepare_dygraph(recipe: Recipe) -> Call:
    """The network in Paddle."""
    import paddle

    model, images = configuration(recipe).model, paddle.to_tensor(_picture(recipe))

    def run() -> list[np.ndarray]:
        with paddle.no_grad():
            return [value.numpy() for value in model(images).values()]

    return run


def _picture(recipe: Recipe) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (1, 3, *recipe.crop)).astype(np.float32)
