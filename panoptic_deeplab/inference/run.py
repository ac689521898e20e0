"""From image files to files of results: reading, prediction and writing beside each other."""

from __future__ import annotations

import errno
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain, takewhile
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from panoptic_deeplab.batching import batched
from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.interruption import Interruption, StoppedError
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.images import read_image
from panoptic_deeplab.inference.model import Predictor
from panoptic_deeplab.inference.sources import ImageFile
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.writer import Entry, ResultWriter
from panoptic_deeplab.stopwatch import Stopwatch, format_profile

_log = logging.getLogger(__name__)


class _Read(NamedTuple):
    """An image's position among all, and its pixels or the error of reading it."""

    index: int
    pixels: np.ndarray | DataError


class _Predicted(NamedTuple):
    """An image's position among all, and its result or the error that prevents one."""

    index: int
    result: Result | DataError


def predict_images(
    predictor: Predictor,
    images: Sequence[ImageFile],
    writer: ResultWriter,
    num_workers: int = 1,
    batch_size: int = 1,
    *,
    profile: bool = False,
) -> None:
    """Predict image files and write their results; the processes share them.

    An image that cannot be read, or whose results cannot be written, is reported and skipped. At
    Ctrl-C or SIGTERM the current images are finished and listed.

    Args:
        predictor: the model.
        images: the files to predict.
        writer: where the results go.
        num_workers: threads that read ahead, and as many that write.
        batch_size: images that are predicted at a time; those of equal size go through the network
            together.
        profile: log the times as a table at the end.

    Raises:
        StoppedError: a signal came; finished images are listed.
        DataError: at the end, if some images failed.
    """
    start, watch = time.perf_counter(), Stopwatch()
    mine = range(distributed.rank(), len(images), distributed.world_size())
    with (
        Interruption() as interruption,
        progress_bar(
            title="predicting", total=len(mine), unit="images", hidden=not distributed.is_main()
        ) as bar,
    ):
        read = read_ahead(lambda i: _Read(i, _pixels_of(images[i], watch)), mine, num_workers)
        read = takewhile(lambda _: interruption.signal is None, read)
        batches = (_predict_batch(predictor, batch, images) for batch in batched(read, batch_size))
        predicted = chain.from_iterable(batches)
        written, failures = _write_all(predicted, images, writer, num_workers, bar)
        number = interruption.agreed()
        entries = sorted(chain.from_iterable(distributed.gather(written)), key=itemgetter(0))
        failures = list(chain.from_iterable(distributed.gather(failures)))
        if distributed.is_main():
            writer.finish([entry for _, entry in entries])
    if distributed.is_main():
        seconds = watch.seconds | predictor.watch.seconds | writer.seconds
        tell = _tell_profile if profile else _tell_times
        tell(seconds, time.perf_counter() - start, len(written))
    if number is not None and len(entries) + len(failures) < len(images):
        raise StoppedError(number, f"{len(entries)} of {len(images)} images are done and listed")
    if failures:
        raise DataError(f"{len(failures)} of {len(images)} images failed; the first: {failures[0]}")


def _pixels_of(image: ImageFile, watch: Stopwatch) -> np.ndarray | DataError:
    try:
        with watch.timing("reading"):
            return read_image(image.path)
    except DataError as error:
        return error


def _predict_batch(
    predictor: Predictor, batch: Sequence[_Read], images: Sequence[ImageFile]
) -> list[_Predicted]:
    """Predict the readable images of a batch; the others keep their error."""
    readable = [one.pixels for one in batch if not isinstance(one.pixels, DataError)]
    predictions = iter(predictor.predict(readable) if readable else [])
    return [
        _Predicted(
            one.index,
            one.pixels
            if isinstance(one.pixels, DataError)
            else Result(one.pixels, next(predictions), predictor.info, images[one.index].path),
        )
        for one in batch
    ]


def _write_all(
    predicted: Iterator[_Predicted],
    images: Sequence[ImageFile],
    writer: ResultWriter,
    num_workers: int,
    bar: tqdm,
) -> tuple[list[tuple[int, Entry]], list[str]]:
    """Write all results; return the entries by position, and the errors of the other images.

    Threads write what has been predicted while the network is at the next.
    """

    def write(work: _Predicted) -> tuple[int, Entry | DataError]:
        index, result = work
        failed = isinstance(result, DataError)
        return index, result if failed else _write(images[index], result, writer)

    written: list[tuple[int, Entry]] = []
    failures: list[str] = []
    for index, entry in read_ahead(write, predicted, num_workers):
        if isinstance(entry, DataError):
            failures.append(str(entry))
            bar.write(f"skipped: {entry}", file=sys.stderr)
        else:
            written.append((index, entry))
        bar.update()
    return written, failures


def _write(image: ImageFile, result: Result, writer: ResultWriter) -> Entry | DataError:
    """Write one result; return the writer's entry, or the error that concerns this image alone."""
    try:
        return writer.write(image.name, result)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise  # the next would fare no better
        return DataError(f"{image.path}: its results cannot be written ({error})")
    except DataError as error:
        return DataError(f"{image.path}: its results cannot be written ({error})")


def _tell_times(seconds: dict[str, float], total: float, count: int) -> None:
    parts = ", ".join(f"{name} {value / max(count, 1):.3f} s" for name, value in seconds.items())
    _log.info("%d images in %.1f s; for each: %s", count, total, parts)


def _tell_profile(seconds: dict[str, float], total: float, count: int) -> None:
    _log.info("%d images:\n%s", count, format_profile(seconds, total, count, "image"))
