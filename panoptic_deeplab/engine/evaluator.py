"""One pass over a validation split: predict, score, keep numbers only."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.loading import read_ahead
from panoptic_deeplab.engine.oracle import Oracle
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation.report import merge_results
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.structures import PanopticMap

_log = logging.getLogger(__name__)


def evaluate(
    predictor: Predictor,
    dataset: Any,
    evaluators: Sequence[Any],
    num_workers: int = 0,
    oracle: Oracle | None = None,
) -> dict[str, Any]:
    """What the evaluators compute over the whole data set, as one dictionary.

    The processes share the images; each image is scored once, and all processes get the result.

    Args:
        predictor: the model with what goes before and after it; its transforms are not used, the
            data set has its own.
        dataset: the validation split.
        evaluators: objects with reset, update, state, merge and compute.
        num_workers: threads that read ahead.
        oracle: which outputs give way to the truth, if any.

    Raises:
        DataError: the data set is empty, or a file cannot be used.
    """
    if len(dataset) == 0:
        raise DataError(f"{dataset.name}: there is no image to evaluate on")
    if oracle is not None:
        _log.info("Oracle: the truth in place of the network's %s", ", ".join(oracle.names))
    for evaluator in evaluators:
        evaluator.reset()
    mine = range(distributed.rank(), len(dataset), distributed.world_size())
    samples = read_ahead(partial(_sample_and_truth, dataset, oracle), mine, num_workers)
    with progress_bar(
        title="evaluating", total=len(mine), unit="images", hidden=not distributed.is_main()
    ) as bar:
        for sample, truth in samples:
            correct = None if oracle is None else partial(oracle.correct, sample=sample)
            images, frames = sample["image"][None], [sample["frame"]]
            prediction = predictor.predict_batch(images, frames, correct)[0]
            for evaluator in evaluators:
                evaluator.update(prediction, truth)
            bar.update()
    _merge_ranks(evaluators)
    return merge_results(evaluator.compute() for evaluator in evaluators)


def _sample_and_truth(
    dataset: Any, oracle: Oracle | None, index: int
) -> tuple[dict[str, Any], PanopticMap]:
    """The transformed sample (with what the oracle needs) and its annotation in original pixels."""
    sample = dataset.load(index)
    truth = (
        PanopticMap(sample["panoptic"], sample["segments"])
        if "panoptic" in sample
        else dataset.truth(index)
    )
    sample = dataset.transform(sample, np.random.default_rng((0, 0, index)))
    return sample if oracle is None else oracle.add_truth(sample), truth


def _merge_ranks(evaluators: Sequence[Any]) -> None:
    states = distributed.gather([evaluator.state() for evaluator in evaluators])
    if len(states) == 1:
        return
    for i, evaluator in enumerate(evaluators):
        evaluator.reset()
        for state in states:
            evaluator.merge(state[i])
