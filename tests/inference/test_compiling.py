"""The network of a checkpoint in another runtime, as its predictor asks for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

pytest.importorskip("paddle2onnx")
pytest.importorskip("onnxruntime")

from panoptic_deeplab.config import Config
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.inference.compiling import with_runtime


def test_a_predictor_compiles_its_network(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANOPTIC_DEEPLAB_CACHE", str(tmp_path))
    paddle.seed(0)
    config = Config(tiny_config)
    parts = config.model, config.preprocess, (), config.postprocessor, config.info
    by_paddle = Predictor(*parts)
    predictor = with_runtime(by_paddle, "onnxruntime")
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    first = predictor.predict([image])[0]
    assert predictor.model.is_compiled
    second = predictor.predict([image])[0]
    expected = by_paddle.predict([image])[0]
    for found in (first, second):
        assert (found.ids != expected.ids).mean() <= 1e-4
