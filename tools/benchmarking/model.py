"""The network alone: the exported file in its runtimes against Paddle's dygraph.

And the file in 8 bits against the one in float32, whose outputs it only resembles: with random
weights nothing can be said of its scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarking import exported
from benchmarking.comparison import Comparison, DisagreementError, Entry, Implementation
from benchmarking.processes import Call
from benchmarking.train_step import OWN_CHOICE, QUICK, RESNET, Recipe
from panoptic_deeplab.normalization import Normalization

BASELINE = "dygraph, MKL's choice"
TOLERANCE = 1e-3  # of an output's largest value


def comparisons(folder: Path, quick: bool) -> Iterable[Entry]:
    """One image through each runtime that is installed."""
    recipe = exported.for_one_size(QUICK if quick else RESNET)
    return network_comparisons(recipe, exported.checkpoint(recipe, folder), folder)


def network_comparisons(recipe: Recipe, weights: Path, folder: Path) -> Iterable[Entry]:
    """The same for weights that are there; exports go to `folder`."""
    runtimes = exported.installed_runtimes()
    size = f"{recipe.crop[1]}x{recipe.crop[0]}"
    path = exported.export(recipe, weights, folder / "network")
    dygraph = partial(prepare_dygraph, recipe, weights)
    reference = Implementation(dygraph, OWN_CHOICE)
    yield Comparison(
        "network in Paddle, MKL as ours",
        Implementation(dygraph),
        reference,
        BASELINE,
        check=same_outputs,
    )
    for runtime in runtimes:
        yield Comparison(
            f"network in {runtime}",
            Implementation(partial(prepare_exported, runtime, path, recipe)),
            reference,
            BASELINE,
            goal=5,
            check=same_outputs,
            note=f"image {size}, float32 in, three outputs",
        )
    small = export_in_int8(recipe, weights, folder)
    sizes = [file.stat().st_size / 1e6 for file in (small, path)]
    for runtime in runtimes:
        yield Comparison(
            f"network in 8 bits, {runtime}",
            Implementation(partial(prepare_exported, runtime, small, recipe)),
            Implementation(partial(prepare_exported, runtime, path, recipe)),
            "the float32 file",
            note=f"image {size}; files of {sizes[0]:.1f} and {sizes[1]:.1f} MB",
        )


def export_in_int8(recipe: Recipe, weights: Path, folder: Path) -> Path:
    """The network in 8 bits, calibrated on the image that is measured."""
    from panoptic_deeplab.formats.images import write_image

    images = folder / "images"
    images.mkdir()
    write_image(images / "image.png", exported.sample_image(recipe))
    return exported.export(recipe, weights, folder / "int8", "--int8", "--calibration", str(images))


def same_outputs(ours: list[np.ndarray], dygraph: list[np.ndarray]) -> None:
    """Refuse outputs that differ."""
    for output, expected in zip(ours, dygraph, strict=True):
        error = np.abs(output - expected).max() / np.abs(expected).max()
        if not error < TOLERANCE:
            raise DisagreementError(f"an output is off by {error:.2e} of its largest value")


def prepare_exported(runtime: str, path: Path, recipe: Recipe) -> Call:
    """The exported network."""
    normalization = Normalization.of()
    mean, std = (np.float32(values) for values in (normalization.mean, normalization.std))
    values = (exported.sample_image(recipe) / np.float32(255) - mean) / std
    return partial(
        exported.load(runtime, path), np.ascontiguousarray(values.transpose(2, 0, 1)[None])
    )


def prepare_dygraph(recipe: Recipe, weights: Path) -> Call:
    """The network in Paddle."""
    import paddle

    from panoptic_deeplab.deployment import NETWORK_OUTPUTS

    config = exported.configuration(recipe, weights)
    images = exported.network_input(config, recipe)

    def run() -> list[np.ndarray]:
        with paddle.no_grad():
            outputs = config.model(images)
            return [outputs[name].numpy() for name in NETWORK_OUTPUTS]

    return run
