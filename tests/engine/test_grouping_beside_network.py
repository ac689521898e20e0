"""An evaluation groups an image while the network sees the next: the results stay the same."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import paddle
import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.engine.evaluator import evaluate
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.tiles import Tiling

CONFIGS = ["tiny_config", "tiny_top_down_config", "tiny_panoptic_fpn_config"]


def evaluated(config: Config, predictor: Predictor, num_workers: int) -> dict[str, Any]:
    return evaluate(predictor, config.val_dataset, config.evaluators, num_workers)


def predictor_of(config: Config, tiling: Tiling | None = None) -> Predictor:
    paddle.seed(0)
    parts = config.model, config.preprocess, (), config.postprocessor, config.info
    return Predictor(*parts, tiling=tiling)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("tiling", [None, Tiling((96, 128), 32)])
def test_results_do_not_depend_on_threads(
    name: str, tiling: Tiling | None, request: pytest.FixtureRequest
) -> None:
    config = Config(request.getfixturevalue(name))
    predictor = predictor_of(config, tiling)
    in_turn = evaluated(config, predictor, 0)
    for num_workers in (1, 3):
        np.testing.assert_equal(evaluated(config, predictor, num_workers), in_turn)


@pytest.mark.parametrize(("num_workers", "is_beside"), [(0, False), (1, True)])
def test_the_network_stays_in_its_thread(tiny_config, num_workers: int, is_beside: bool) -> None:
    config = Config(tiny_config)
    predictor, threads = predictor_of(config), {}

    def noting(name: str, step: Any) -> Any:
        def noted(*arguments: Any) -> Any:
            threads.setdefault(name, set()).add(threading.current_thread())
            return step(*arguments)

        return noted

    predictor.outputs = noting("network", predictor.outputs)
    predictor.group = noting("grouping", predictor.group)
    evaluated(config, predictor, num_workers)
    assert threads["network"] == {threading.main_thread()}
    assert (threads["grouping"] != threads["network"]) == is_beside


def test_an_error_of_the_grouping_ends_the_evaluation(tiny_config) -> None:
    config = Config(tiny_config)
    predictor = predictor_of(config)

    def failing(*_: Any) -> Any:
        raise ValueError("cannot be grouped")

    predictor.group = failing
    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="cannot be grouped"):
        evaluated(config, predictor, 2)
    assert set(threading.enumerate()) <= before
