"""One pass over a validation split: predict, score, keep numbers only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from panoptic_deeplab.device import on_gpu
from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.oracle import Oracle
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation.report import merge_results
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Prediction
from panoptic_deeplab.tiles import Tiling
from panoptic_deeplab.tracking import Tracker
from panoptic_deeplab.views import Augmentation
from panoptic_deeplab.weights import load_network, refuse_difference, refuse_other_classes

_log = logging.getLogger(__name__)

_OTHER_DATA = "evaluate on the data set whose classes it predicts"
_OTHER_CLASSES = "evaluate with the configuration it was trained with (config.yml beside it)"


class ImagePredictor(Protocol):
    """A predictor of whole images.

    Attributes:
        info: the classes it predicts.
        watch: seconds spent so far, by step.
    """

    info: DatasetInfo
    watch: Stopwatch

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Predict images [H, W, 3] uint8 RGB."""


class _Predicted(NamedTuple):
    """An image [H, W, 3] as the data set has it, its prediction and its ground truth."""

    image: np.ndarray
    prediction: Prediction
    truth: PanopticMap


class _Begun(NamedTuple):
    """An image [H, W, 3] that the network has seen, what groups its outputs, its ground truth."""

    image: np.ndarray
    group: Callable[[], list[Prediction]]
    truth: PanopticMap


def _finish(begun: _Begun) -> _Predicted:
    return _Predicted(begun.image, begun.group()[0], begun.truth)


class PredictionReader(Protocol):
    """A reader of predictions in files; see `panoptic_deeplab.formats.prediction_files`."""

    def missing(self, images: Iterable[tuple[str, Path]]) -> list[str]:
        """Return the ids of the images without a prediction, given (image id, image path)."""

    def read(self, image_id: str, image_path: Path) -> Prediction:
        """Read the prediction for an image that is not missing."""


def evaluate_model(
    config: Any,
    weights: str | Path,
    *,
    views: Augmentation | None = None,
    oracle_names: Sequence[str] = (),
    num_workers: int = 0,
    watch: Stopwatch | None = None,
    tiling: Tiling | None = None,
    adapt: Callable[[Predictor], Predictor] = lambda predictor: predictor,
) -> dict[str, Any]:
    """Score a configuration's model, with these weights, on its validation split.

    Args:
        config: a `panoptic_deeplab.config.Config`, or anything that has its parts.
        weights: a checkpoint's folder or a file of weights.
        views: the views of each image that are merged; None shows it once as it is.
        oracle_names: outputs to replace by the ground truth.
        num_workers: threads that read ahead.
        watch: takes the time of reading, network, grouping and scoring.
        tiling: how inputs are cut into tiles; None for whole inputs.
        adapt: changes how the predictor computes, once the weights are loaded; not at all unless
            given.

    Raises:
        DataError: the weights are of other classes or another network, the data set is empty, or a
            file cannot be used.
        UsageError: the method has no such oracle, or cannot merge views.
    """
    refuse_other_classes(weights, config.info, _OTHER_CLASSES)
    oracle = None
    if oracle_names:
        oracle = Oracle(oracle_names, config.targets, config.postprocessor)
    dataset = config.val_dataset
    predictor = Predictor(
        config.model,
        config.preprocess,
        (),
        config.postprocessor,
        config.info,
        views,
        tiling=tiling,
    )
    load_network(config, weights, _OTHER_CLASSES)
    return evaluate(adapt(predictor), dataset, config.evaluators, num_workers, oracle, watch)


def evaluate(
    predictor: Predictor,
    dataset: Any,
    evaluators: Sequence[Any],
    num_workers: int = 0,
    oracle: Oracle | None = None,
    watch: Stopwatch | None = None,
) -> dict[str, Any]:
    """Score a model on a data set and return the results of all evaluators as one dictionary.

    The processes share the images; each image is scored once, and all processes get the result.
    A sequence stays with one process, and its things are tracked.

    Args:
        predictor: the model with preprocessing and grouping; its transforms are not used, because
            the data set has its own.
        dataset: the validation split.
        evaluators: objects with reset, update, state, merge and compute.
        num_workers: threads that read ahead; with any, the CPU also groups the outputs for an image
            while the network sees the next one.
        oracle: which outputs are replaced by the ground truth, if any.
        watch: takes the time of reading, network, grouping and scoring.

    Raises:
        DataError: the data set is empty, or a file cannot be used.
    """
    if oracle is not None:
        _log.info("Oracle: the ground truth in place of the network's %s", ", ".join(oracle.names))
    mine, watch = _my_images(dataset), watch or Stopwatch()

    def read(index: int) -> tuple[np.ndarray, dict[str, Any], PanopticMap]:
        with watch.timing("reading"):
            loaded = dataset.load(index)
            truth = _truth(dataset, loaded, index)
            sample = dataset.transform(loaded, np.random.default_rng((0, 0, index)))
            return loaded["image"], sample if oracle is None else oracle.add_truth(sample), truth

    def begin(sample: dict[str, Any]) -> Callable[[], list[Prediction]]:
        images, frames = sample["image"][None], [sample["frame"]]
        if oracle is None:
            return predictor.begin_batch(images, frames)
        outputs = oracle.correct(predictor.outputs(images, frames), sample)
        return partial(predictor.group, outputs, frames)

    threads = 0 if on_gpu() else min(num_workers, 1)  # one, so that two outputs are held at most
    with closing(read_ahead(read, mine, num_workers)) as samples:
        begun = (_Begun(image, begin(sample), truth) for image, sample, truth in samples)
        with closing(read_ahead(_finish, begun, threads, per_thread=1)) as predicted:
            pairs = _tracked(predicted, dataset.info, watch)
            results = _score(pairs, evaluators, len(mine), watch)
    watch.seconds |= predictor.watch.seconds
    return results


def evaluate_images(
    predictor: ImagePredictor,
    dataset: Any,
    evaluators: Sequence[Any],
    num_workers: int = 0,
    watch: Stopwatch | None = None,
) -> dict[str, Any]:
    """Score a predictor that takes whole images, such as an exported file.

    Args:
        predictor: what predicts.
        dataset: the validation split; its transforms are not used.
        evaluators: objects with reset, update, state, merge and compute.
        num_workers: threads that read ahead.
        watch: takes the time of reading, of the predictor and of scoring.

    Raises:
        DataError: the data set is empty or has other classes, or a file cannot be used.
    """
    refuse_difference("the exported file", predictor.info, dataset.info, _OTHER_DATA)
    mine, watch = _my_images(dataset), watch or Stopwatch()

    def read(index: int) -> tuple[np.ndarray, PanopticMap]:
        with watch.timing("reading"):
            sample = dataset.load(index)
            return sample["image"], _truth(dataset, sample, index)

    with closing(read_ahead(read, mine, num_workers)) as samples:
        predicted = (
            _Predicted(image, predictor.predict([image])[0], truth) for image, truth in samples
        )
        pairs = _tracked(predicted, dataset.info, watch)
        results = _score(pairs, evaluators, len(mine), watch)
    watch.seconds |= predictor.watch.seconds
    return results


def evaluate_predictions(
    predictions: PredictionReader,
    dataset: Any,
    evaluators: Sequence[Any],
    num_workers: int = 0,
    watch: Stopwatch | None = None,
) -> dict[str, Any]:
    """Score predictions that lie in files; the data set's image files are not opened.

    Args:
        predictions: their reader.
        dataset: the validation split.
        evaluators: objects with reset, update, state, merge and compute.
        num_workers: threads that read ahead.
        watch: takes the time of reading and scoring.

    Raises:
        DataError: the data set is empty, an image has no prediction, a file cannot be used, or a
            prediction has another size than its annotation.
    """
    mine, watch = _my_images(dataset), watch or Stopwatch()
    missing = predictions.missing(
        (record.image_id, record.image_path) for record in dataset.records
    )
    if missing:
        more = f" and {len(missing) - 1} more images" if len(missing) > 1 else ""
        raise DataError(
            f"there is no prediction for {missing[0]}{more} of {len(dataset)} in {dataset.name}"
        )

    def read(index: int) -> tuple[Prediction, PanopticMap]:
        with watch.timing("reading"):
            record, truth = dataset.records[index], dataset.truth(index)
            prediction = predictions.read(record.image_id, record.image_path)
        if prediction.ids.shape != truth.ids.shape:
            height, width = prediction.ids.shape
            raise DataError(
                f"image {record.image_id}: the prediction is {height}x{width} but the annotation "
                f"is {truth.ids.shape[0]}x{truth.ids.shape[1]}; predict in the original size "
                "(panoptic-deeplab check tells if the image's EXIF orientation is the cause)"
            )
        return prediction, truth

    with closing(read_ahead(read, mine, num_workers)) as pairs:
        return _score(pairs, evaluators, len(mine), watch)


def _my_images(dataset: Any) -> list[int]:
    """Return the indices of the images that this process scores: whole sequences in order.

    The longest are dealt out first, so that no process waits long for another.
    """
    if len(dataset) == 0:
        raise DataError(f"{dataset.name}: there is no image to evaluate on")
    by_sequence = groupby(
        range(len(dataset)), lambda index: dataset.records[index].sequence or index
    )
    groups = sorted((list(indices) for _, indices in by_sequence), key=len, reverse=True)
    return sorted(chain.from_iterable(groups[distributed.rank() :: distributed.world_size()]))


def _tracked(
    predicted: Iterable[_Predicted], info: DatasetInfo, watch: Stopwatch
) -> Iterator[tuple[Prediction, PanopticMap]]:
    """Yield predictions with their ground truth; the things of sequences get ids that last."""
    tracker, sequence = Tracker(info), None
    for image, prediction, truth in predicted:
        if truth.sequence != sequence:
            tracker.reset()
            sequence = truth.sequence
        if sequence is not None:
            with watch.timing("tracking"):
                prediction = tracker.update(prediction, image)
        yield prediction, truth


def _score(
    pairs: Iterable[tuple[Prediction, PanopticMap]],
    evaluators: Sequence[Any],
    total: int,
    watch: Stopwatch,
) -> dict[str, Any]:
    """Feed (prediction, ground truth) pairs to the evaluators and return the merged results."""
    for evaluator in evaluators:
        evaluator.reset()
    with progress_bar(
        title="evaluating", total=total, unit="images", hidden=not distributed.is_main()
    ) as bar:
        for prediction, truth in pairs:
            with watch.timing("scoring"):
                for evaluator in evaluators:
                    evaluator.update(prediction, truth)
            bar.update()
    _merge_ranks(evaluators)
    with watch.timing("scoring"):
        return merge_results(evaluator.compute() for evaluator in evaluators)


def _truth(dataset: Any, sample: dict[str, Any], index: int) -> PanopticMap:
    """Return the ground truth of a loaded sample."""
    if "panoptic" in sample:
        sequence = dataset.records[index].sequence
        return PanopticMap(sample["panoptic"], sample["segments"], sequence=sequence)
    return dataset.truth(index)


def _merge_ranks(evaluators: Sequence[Any]) -> None:
    states = distributed.gather([evaluator.state() for evaluator in evaluators])
    if len(states) == 1:
        return
    for i, evaluator in enumerate(evaluators):
        evaluator.reset()
        for state in states:
            evaluator.merge(state[i])
