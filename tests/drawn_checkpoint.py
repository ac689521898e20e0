"""A checkpoint that need not be trained: weights drawn so that there are several segments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
from conftest import TINY_CONFIG

from panoptic_deeplab.config import Config
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.weights import INFO_FILE

SAMPLE = "sample.png"
"""An image beside the weights."""


def write_checkpoint(folder: Path) -> Path:
    """Write configuration, weights, classes and a sample image; return the configuration.

    There are centers, things and stuff. Its data set is nowhere: nobody needs one.
    """
    config_path = folder / "config.yml"
    config_path.write_text(TINY_CONFIG.format(root=folder / "nowhere"))
    paddle.seed(4)
    config = Config(config_path)
    config.model.center_head.predict.weight.set_value(
        config.model.center_head.predict.weight * 30.0
    )
    paddle.save(config.model.state_dict(), str(folder / "model.pdparams"))
    (folder / INFO_FILE).write_text(json.dumps(config.info.to_dict()))
    write_image(folder / SAMPLE, drawn_image((75, 130)))
    return config_path


def drawn_image(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """[H, W, 3] uint8: squares of 8 pixels in colors of their own."""
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3))
    return np.kron(coarse, np.ones((8, 8, 1)))[: size[0], : size[1]].astype(np.uint8)
