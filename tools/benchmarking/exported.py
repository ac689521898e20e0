"""A checkpoint of random weights, and its export.

Random weights take the time of trained ones, but predict almost no things. So the biases of the
semantic head are shifted until a quarter of the pixels are things, as in a street, and the highest
peaks are centers whatever their value. The rounding errors of both libraries are a thousandth of
the gap between the last peak kept and the first one dropped, so that all maps have to be equal.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarking.inputs import THING_FRACTION, annotated_sample
from benchmarking.train_step import CONFIGS, Recipe
from panoptic_deeplab.errors import UserError

ROOT = CONFIGS.parent
CENTERS = 60
INSTANCES = 30
LOWEST = -1e6
RUNTIME_NAMES = ("onnxruntime", "openvino")
Outputs = list[np.ndarray]


def for_one_size(recipe: Recipe) -> Recipe:
    """The recipe with `CENTERS` centers an image, and images that need no padding."""
    height, width = recipe.crop
    return recipe._replace(
        changes=(
            *recipe.changes,
            f"val_dataset.transforms=[{{type: Padding, target_size: [{width}, {height}]}}]",
            f"postprocessor.threshold={LOWEST}",
            f"postprocessor.top_k={CENTERS}",
        )
    )


def checkpoint(recipe: Recipe, folder: Path) -> Path:
    """Weights for the configuration's model, always the same.

    Returns:
        the folder they lie in, `folder`/checkpoint.
    """
    import paddle

    paddle.seed(0)
    config = _configuration(recipe)
    with paddle.no_grad():
        logits = config.model(network_input(config, recipe))["semantic"].numpy()[0]
    weights = config.model.state_dict()
    (bias,) = (
        value
        for name, value in weights.items()
        if "semantic_head" in name and value.shape == [config.info.num_classes]
    )
    bias.set_value(bias + _shift_of_things(logits, config.info.thing_ids))
    path = folder / "checkpoint"
    path.mkdir(parents=True)
    paddle.save(weights, str(path / "model.pdparams"))
    return path


def _shift_of_things(logits: np.ndarray, thing_ids: Any) -> np.ndarray:
    """[C]: what things' logits [C, h, w] lack to be the highest at a quarter of the pixels."""
    is_thing = np.isin(np.arange(len(logits)), thing_ids)
    lack = logits[~is_thing].max(axis=0) - logits[is_thing].max(axis=0)
    return (is_thing * np.quantile(lack, THING_FRACTION)).astype(np.float32)


def export(recipe: Recipe, weights: Path, target: Path, *options: str) -> Path:
    """Export weights to the folder `target` and returns the ONNX file.

    Raises:
        UserError: the export failed.
    """
    command = [
        sys.executable,
        "-m",
        "panoptic_deeplab",
        "export",
        "--config",
        CONFIGS / recipe.config,
    ]
    command += ["--model_path", weights, "--save_dir", target]
    command += ["--format", "onnx", "--repeats", "1", *options, "--opts", *recipe.changes]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    path = target / "model.onnx"
    if done.returncode or not path.exists():
        raise UserError(f"the export to be measured failed: {done.stderr[-500:]}")
    return path


def configuration(recipe: Recipe, weights: Path) -> Any:
    """The configuration, its model ready to predict."""
    from panoptic_deeplab.weights import load_weights

    config = _configuration(recipe)
    load_weights(config.model, weights, num_classes=config.info.num_classes)
    return config


def _configuration(recipe: Recipe) -> Any:
    from panoptic_deeplab.config import Config

    config = Config(str(CONFIGS / recipe.config), list(recipe.changes))
    config.model.eval()
    return config


def sample_image(recipe: Recipe) -> np.ndarray:
    """[H, W, 3] uint8."""
    return annotated_sample(recipe.crop, INSTANCES)["image"]


def network_input(config: Any, recipe: Recipe) -> Any:
    """The image as the input of the network, [1, 3, H, W]."""
    import paddle

    box = paddle.to_tensor([[0, 0, *recipe.crop]])
    return config.preprocess(paddle.to_tensor(sample_image(recipe)[None]), box)


def load(runtime: str, path: Path) -> Callable[[np.ndarray], Outputs]:
    """The file in a runtime, as `predict.py` runs it: an array to the file's outputs."""
    from panoptic_deeplab.runtimes.sessions import RUNTIMES

    session = RUNTIMES[runtime](path)
    (name,) = session.input_names
    return lambda values: session.run({name: values})


def installed_runtimes() -> list[str]:
    """The names of those that are there.

    Raises:
        UserError: none is.
    """
    found = [name for name in RUNTIME_NAMES if find_spec(name) is not None]
    if not found:
        raise UserError(f"nothing runs ONNX files: pip install {' or '.join(RUNTIME_NAMES)}")
    return found
