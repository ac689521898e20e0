"""From an image to the panoptic map: one exported file against dygraph and plain grouping.

All are given the same image, and fewer than one pixel in ten thousand
may belong to another segment than by the baseline. The network alone follows.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarking.comparison import Comparison, DisagreementError, Entry, Implementation
from benchmarking.exported import (
    CENTERS,
    checkpoint,
    configuration,
    export,
    for_one_size,
    installed_runtimes,
    load,
    network_input,
    sample_image,
)
from benchmarking.model import network_comparisons
from benchmarking.processes import Call
from benchmarking.train_step import OWN_CHOICE, QUICK, RESNET, Recipe


def comparisons(folder: Path, quick: bool) -> Iterable[Entry]:
    """One image through each runtime that is installed, and through our predictor."""
    recipe = for_one_size(QUICK if quick else RESNET)
    runtimes = installed_runtimes()
    weights = checkpoint(recipe, folder)
    path = export(recipe, weights, folder / "panoptic", "--with_postprocess")
    ours = {
        f"image to ids in {runtime}": (partial(prepare_exported, runtime, path, recipe), 8)
        for runtime in runtimes
    }
    ours["image to ids by predict.py"] = (partial(prepare_predictor, recipe, weights), None)
    for name, (prepare, goal) in ours.items():
        yield Comparison(
            name,
            Implementation(prepare),
            Implementation(partial(prepare_dygraph, recipe, weights), OWN_CHOICE),
            "dygraph, plain grouping",
            goal=goal,
            goal_memory=1 if goal else None,
            check=same_ids,
            note=f"image {recipe.crop[1]}x{recipe.crop[0]}, random weights, {CENTERS} centers, "
            "a quarter of the pixels things",
        )
    yield from network_comparisons(recipe, weights, folder)


def same_ids(ours: np.ndarray, plain: np.ndarray) -> None:
    """Refuses maps that, whatever their ids are called, differ by more than rounding explains."""
    from panoptic_deeplab.runtimes.differences import MAX_PIXELS, fraction_of_others

    different = fraction_of_others(ours, plain)
    if different > MAX_PIXELS:
        raise DisagreementError(f"{different:.2%} of the pixels belong to another segment")


def prepare_exported(runtime: str, path: Path, recipe: Recipe) -> Call:
    """The ids by the exported file."""
    run, image = load(runtime, path), sample_image(recipe)
    return lambda: run(image[None])[0][0]


def prepare_predictor(recipe: Recipe, weights: Path) -> Call:
    """The ids by the model as `predict.py` runs it."""
    from panoptic_deeplab.engine.predictor import Predictor

    config, image = configuration(recipe, weights), sample_image(recipe)
    parts = (config.preprocess, config.val_transforms, config.postprocessor, config.info)
    predictor = Predictor(config.model, *parts)
    return lambda: predictor.predict([image])[0].ids


def prepare_dygraph(recipe: Recipe, weights: Path) -> Call:
    """The ids by Paddle's dygraph and the reference's grouping."""
    import paddle

    from benchmarking.reference_grouping import panoptic_ids

    config = configuration(recipe, weights)
    settings = config.postprocessor.export_settings()

    def run() -> np.ndarray:
        with paddle.no_grad():
            outputs = config.model(network_input(config, recipe))
            return panoptic_ids(outputs, recipe.crop, settings)

    return run
