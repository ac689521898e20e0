"""From a picture to the panoptic map: one exported file against dygraph and plain grouping."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarking.contest import Contest, DisagreementError, Way
from benchmarking.exported import RUNTIMES, configuration, export, installed_runtimes
from benchmarking.inputs import annotated_sample
from benchmarking.postprocess import Settings, plain_panoptic
from benchmarking.processes import Call
from benchmarking.train_step import OWN_CHOICE, QUICK, RESNET, Recipe

CENTERS = 60
# what random weights call heat is anything: the hottest peaks are taken, however cold
PEAKS = ("postprocessor.threshold=-1000000", f"postprocessor.top_k={CENTERS}")
# With random weights a rounding may swap the last of the hottest peaks, which has a sixtieth of the
# pixels; `tools/export.py` and the tests hold the exported file to one of ten thousand.
DIFFERENT = 2 / CENTERS
INSTANCES = 30


def contests(folder: Path, quick: bool) -> Iterable[Contest]:
    """One picture through each runtime that is installed."""
    recipe = QUICK if quick else RESNET
    recipe = recipe._replace(changes=(*recipe.changes, *PEAKS))
    runtimes = installed_runtimes()
    path = export(recipe, folder, "--with_postprocess")
    for runtime in runtimes:
        yield Contest(
            f"picture to ids in {runtime}",
            Way(partial(prepare_exported, runtime, path, recipe)),
            Way(partial(prepare_dygraph, recipe), OWN_CHOICE),
            "dygraph, plain grouping",
            goal=8,
            check=nearly_same_ids,
            note=f"picture {recipe.crop[1]}x{recipe.crop[0]}, random weights, {CENTERS} centres",
        )


def nearly_same_ids(ours: np.ndarray, plain: np.ndarray) -> None:
    """Refuses maps that, whatever their ids are called, differ by more than rounding explains."""
    from panoptic_deeplab.export.parity import share_of_others

    different = share_of_others(ours, plain)
    if different > DIFFERENT:
        raise DisagreementError(f"{different:.2%} of the pixels belong to another segment")


def prepare_exported(runtime: str, path: Path, recipe: Recipe) -> Call:
    """The ids by the exported file."""
    run, image = RUNTIMES[runtime](path), _image(recipe)
    return lambda: run(image[None])[0][0]


def prepare_dygraph(recipe: Recipe) -> Call:
    """The ids by Paddle and the plain statement."""
    import paddle

    config, image = configuration(recipe), _image(recipe)
    settings = Settings.of(config.postprocessor)
    box = paddle.to_tensor([[0, 0, *recipe.crop]])

    def run() -> np.ndarray:
        with paddle.no_grad():
            images = config.preprocess(paddle.to_tensor(image[None]), box)
            return plain_panoptic(config.model(images), recipe.crop, settings)

    return run


def _image(recipe: Recipe) -> np.ndarray:
    return annotated_sample(recipe.crop, INSTANCES)["image"]
