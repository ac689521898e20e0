"""A trained model as a function of pictures."""

from __future__ import annotations

import errno
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, takewhile
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import paddle
from paddle import nn
from tqdm import tqdm

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.interruption import Interruption, StoppedError
from panoptic_deeplab.engine.views import Augmentation, View
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.formats.images import read_image
from panoptic_deeplab.inference.sources import Picture
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.preprocess import Preprocess, valid_boxes
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.stopwatch import Stopwatch, format_profile
from panoptic_deeplab.structures import Frame, Prediction

_log = logging.getLogger(__name__)

Outputs = Mapping[str, paddle.Tensor]
Predicted = tuple[int, np.ndarray | DataError, Prediction | None]
"""A picture's place, its pixels or why it cannot be read, and then no prediction."""


class Predictor:
    """Runs a model on pictures.

    Args:
        model: the network, with its weights.
        preprocess: its normalisation.
        transforms: the validation transforms (padding or resizing).
        postprocessor: outputs and frames -> predictions.
        augmentation: the views of each picture that are merged; None shows it once as it is.

    Attributes:
        seconds: time spent so far in `network` and in `grouping`.

    Raises:
        UsageError: views are to be merged and the postprocessor cannot.
    """

    def __init__(
        self,
        model: nn.Layer,
        preprocess: Preprocess,
        transforms: Sequence[Callable[..., Any]],
        postprocessor: Any,
        augmentation: Augmentation | None = None,
    ) -> None:
        if augmentation is not None:
            if not hasattr(postprocessor, "merge_views"):
                method = type(postprocessor).__name__
                raise UsageError(f"{method} cannot merge views; leave out --aug_eval")
            _log.info("Test-time augmentation: %s", augmentation)
        self.model = model
        self.preprocess = preprocess
        self.transforms = list(transforms)
        self.postprocessor = postprocessor
        self.augmentation = augmentation
        self.seconds = {"network": 0.0, "grouping": 0.0}
        model.eval()

    def __call__(self, image: np.ndarray) -> Prediction:
        """The prediction of one [H, W, 3] uint8 RGB picture, in its own pixels."""
        sample = {"image": image, "frame": Frame.whole(*image.shape[:2])}
        for transform in self.transforms:
            sample = transform(sample, np.random.default_rng(0))
        return self.predict_batch(sample["image"][None], [sample["frame"]])[0]

    @paddle.no_grad()
    def predict_batch(
        self,
        images: np.ndarray,
        frames: Sequence[Frame],
        correct: Callable[[Outputs], Outputs] | None = None,
    ) -> list[Prediction]:
        """The predictions of transformed pictures [N, H, W, 3], in original pixels.

        Args:
            images: the pictures.
            frames: where each original lies in its picture.
            correct: what to change of the outputs before the grouping.
        """
        start = time.perf_counter()
        batch = self.preprocess(paddle.to_tensor(images), valid_boxes(frames))
        outputs = self._outputs(batch, frames)
        if correct is not None:
            outputs = correct(outputs)
        paddle.device.synchronize() if batch.place.is_gpu_place() else None
        grouping = time.perf_counter()
        predictions = self.postprocessor(outputs, frames)
        self.seconds["network"] += grouping - start
        self.seconds["grouping"] += time.perf_counter() - grouping
        return predictions

    def _outputs(self, batch: paddle.Tensor, frames: Sequence[Frame]) -> Outputs:
        """The network's outputs for [N, 3, H, W]; merged ones have the size of the input."""
        if self.augmentation is None:
            return self.model(batch)
        merged = [
            self._merged(batch[i : i + 1], self.augmentation.views(frame))
            for i, frame in enumerate(frames)
        ]
        return {name: paddle.concat([one[name] for one in merged]) for name in merged[0]}

    def _merged(self, image: paddle.Tensor, views: Sequence[View]) -> Outputs:
        """The outputs for one image [1, 3, H, W] over all its views."""
        outputs = [self.model(view.show(image)) for view in views]
        return self.postprocessor.merge_views(outputs, views)


class Writer(Protocol):
    """What takes the predictions; see `panoptic_deeplab.results.writer.ResultWriter`."""

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far, by step."""

    def write(self, name: str, source: Path, image: np.ndarray, prediction: Prediction) -> Any:
        """Writes one picture's results and returns what `finish` needs of them."""

    def finish(self, entries: list[Any]) -> None:
        """Writes what all pictures share."""


def predict_pictures(
    predictor: Predictor,
    pictures: Sequence[Picture],
    writer: Writer,
    num_workers: int = 1,
    *,
    profile: bool = False,
) -> None:
    """Predicts and writes all pictures; the processes share them.

    A picture that cannot be read, or whose results cannot be written, is told and passed over. At
    Ctrl-C or SIGTERM the pictures at hand are finished and listed.

    Args:
        predictor: the model.
        pictures: what to predict.
        writer: where to.
        num_workers: threads that read ahead, and as many that write.
        profile: tell at the end, in a table, where the time went.

    Raises:
        StoppedError: by a signal, after what is done has been listed.
        DataError: at the end, if some pictures failed.
    """
    start, watch = time.perf_counter(), Stopwatch()
    mine = range(distributed.rank(), len(pictures), distributed.world_size())
    with (
        Interruption() as interruption,
        progress_bar(
            title="predicting", total=len(mine), unit="images", hidden=not distributed.is_main()
        ) as bar,
    ):
        images = read_ahead(lambda i: (i, _read(pictures[i], watch)), mine, num_workers)
        images = takewhile(lambda _: interruption.signal is None, images)
        predicted = (
            (i, image, None if isinstance(image, DataError) else predictor(image))
            for i, image in images
        )
        written, failures = _write_all(predicted, pictures, writer, num_workers, bar)
        number = interruption.agreed()
        everything = sorted(chain.from_iterable(distributed.gather(written)), key=itemgetter(0))
        failures = list(chain.from_iterable(distributed.gather(failures)))
        if distributed.is_main():
            writer.finish([entry for _, entry in everything])
    if distributed.is_main():
        seconds = watch.seconds | predictor.seconds | writer.seconds
        tell = _tell_profile if profile else _tell_times
        tell(seconds, time.perf_counter() - start, len(written))
    if number is not None and len(everything) + len(failures) < len(pictures):
        raise StoppedError(
            number, f"{len(everything)} of {len(pictures)} pictures are done and listed"
        )
    if failures:
        raise DataError(
            f"{len(failures)} of {len(pictures)} pictures failed; the first: {failures[0]}"
        )


def _write_all(
    predicted: Iterator[Predicted],
    pictures: Sequence[Picture],
    writer: Writer,
    num_workers: int,
    bar: tqdm,
) -> tuple[list[tuple[int, Any]], list[str]]:
    """What the writer returned for each place, and why other pictures have no result.

    Threads write what has been predicted while the network is at the next.
    """

    def write(work: Predicted) -> tuple[int, Any]:
        i, image, prediction = work
        return i, image if prediction is None else _write(pictures[i], image, prediction, writer)

    written: list[tuple[int, Any]] = []
    failures: list[str] = []
    for i, result in read_ahead(write, predicted, num_workers):
        if isinstance(result, DataError):
            failures.append(str(result))
            bar.write(f"skipped: {result}", file=sys.stderr)
        else:
            written.append((i, result))
        bar.update()
    return written, failures


def _write(picture: Picture, image: np.ndarray, prediction: Prediction, writer: Writer) -> Any:
    """What the writer returns, or why this picture alone has no result."""
    try:
        return writer.write(picture.name, picture.path, image, prediction)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise  # the next would fare no better
        return DataError(f"{picture.path}: its results cannot be written ({error})")
    except DataError as error:
        return DataError(f"{picture.path}: its results cannot be written ({error})")


def _read(picture: Picture, watch: Stopwatch) -> np.ndarray | DataError:
    try:
        with watch.timing("reading"):
            return read_image(picture.path)
    except DataError as error:
        return error


def _tell_times(seconds: dict[str, float], total: float, count: int) -> None:
    parts = ", ".join(f"{name} {value / max(count, 1):.3f} s" for name, value in seconds.items())
    _log.info("%d pictures in %.1f s; for each: %s", count, total, parts)


def _tell_profile(seconds: dict[str, float], total: float, count: int) -> None:
    _log.info("%d pictures:\n%s", count, format_profile(seconds, total, count, "picture"))
