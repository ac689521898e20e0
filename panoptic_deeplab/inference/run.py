"""From image files to files of results: reading, prediction and writing beside each other."""

from __future__ import annotations

import errno
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from panoptic_deeplab.batching import batched
from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.interruption import Interruption, StoppedError
from panoptic_deeplab.errors import DataError, UserError, error_context, reason_of
from panoptic_deeplab.folder_lock import claimed
from panoptic_deeplab.formats.ground_truth_files import GroundTruthFiles
from panoptic_deeplab.formats.images import read_image
from panoptic_deeplab.inference.memory import error_for_lack_of_memory
from panoptic_deeplab.inference.model import Predictor
from panoptic_deeplab.inference.sources import ImageFile
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.folder import make_forms, prepared
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.stopwatch import Stopwatch, format_profile
from panoptic_deeplab.structures import DatasetInfo, PanopticMap

LOCK_FILE = ".results.lock"

_log = logging.getLogger(__name__)


class _Read(NamedTuple):
    """An image's position among all, its pixels or the error of reading it, its ground truth."""

    index: int
    pixels: np.ndarray | DataError
    ground_truth: PanopticMap | None = None


class _Predicted(NamedTuple):
    """An image's position among all, and its result or the error that prevents one."""

    index: int
    result: Result | DataError


class _Share(NamedTuple):
    """What became of the images of one process.

    Attributes:
        written: number of images whose results are written.
        failures: the errors of the others.
        signal: the signal that stopped it, None without one.
        error: what else ended it, '' if nothing did.
    """

    written: int
    failures: list[str]
    signal: int | None
    error: str


def predict_images(
    predictor: Predictor,
    images: Sequence[ImageFile],
    save_dir: Path,
    kinds: Sequence[str] = ("images",),
    num_workers: int = 1,
    batch_size: int = 1,
    *,
    ground_truth: GroundTruthFiles | None = None,
    profile: bool = False,
) -> None:
    """Predict image files and write their results; the processes share them.

    An image that cannot be read, that needs more memory than there is, or whose results cannot be
    written, is reported and skipped. At Ctrl-C or SIGTERM the current images are finished. However
    this ends, the lists name all images that are done.

    Args:
        predictor: the model.
        images: the files to predict.
        save_dir: the existing folder that the results go to.
        kinds: names of `panoptic_deeplab.results.FORMATS`.
        num_workers: threads that read ahead, and as many that write.
        batch_size: images that are predicted at a time; those of equal size go through the network
            together.
        ground_truth: for forms that show it beside the prediction.
        profile: log the times as a table at the end.

    Raises:
        UserError: the folder cannot take the results; nothing has changed then.
        StoppedError: a signal came.
        DataError: at the end, if some images failed.
    """
    start, watch = time.perf_counter(), Stopwatch()
    with Interruption() as interruption:
        # each process may have found other images in a folder that grows
        images = distributed.gather_patiently(images, interruption.is_asked)[0]
        with _prepared(save_dir, predictor.info, kinds, images, interruption) as writer:
            read = _read_images(images, ground_truth, num_workers, watch, interruption)
            batches = (_predict_batch(predictor, b, images) for b in batched(read, batch_size))
            predicted = chain.from_iterable(batches)
            shares = _write_share(predicted, images, writer, num_workers, interruption)
    if distributed.is_main():
        seconds = watch.seconds | predictor.watch.seconds | writer.seconds
        tell = _tell_profile if profile else _tell_times
        tell(seconds, time.perf_counter() - start, shares[0].written)
    _raise_what_ended(shares, len(images))


@contextmanager
def _prepared(
    save_dir: Path,
    info: DatasetInfo,
    kinds: Sequence[str],
    images: Sequence[ImageFile],
    interruption: Interruption,
) -> Iterator[ResultWriter]:
    """Let the first process hold the folder ready while all write into it; all raise its error."""
    forms = make_forms(save_dir, info, kinds)
    error = None
    with ExitStack() as held:
        if distributed.is_main():
            names, paths = [image.name for image in images], [image.path for image in images]
            try:
                held.enter_context(claimed(save_dir, "prediction", LOCK_FILE))
                held.enter_context(prepared(save_dir, forms, names, paths))
            except (UserError, OSError) as problem:
                error = problem
        error = distributed.gather_patiently(error, interruption.is_asked)[0]
        if error is not None:
            raise error
        yield ResultWriter(save_dir, forms, distributed.rank())


def _read_images(
    images: Sequence[ImageFile],
    ground_truth: GroundTruthFiles | None,
    num_workers: int,
    watch: Stopwatch,
    interruption: Interruption,
) -> Iterator[_Read]:
    """Read this process's images until a signal comes."""

    def read(index: int) -> _Read:
        with watch.timing("reading"):
            return _read(index, images[index].path, ground_truth)

    mine = range(distributed.rank(), len(images), distributed.world_size())
    return takewhile(lambda _: not interruption.is_asked(), read_ahead(read, mine, num_workers))


def _read(index: int, path: Path, ground_truth: GroundTruthFiles | None) -> _Read:
    try:
        with error_for_lack_of_memory(f"{path}: reading"):
            pixels = read_image(path)
            if ground_truth is None:
                return _Read(index, pixels)
            return _Read(index, pixels, ground_truth.of_image(path, pixels.shape[:2]))
    except DataError as error:
        return _Read(index, error)


def _predict_batch(
    predictor: Predictor, batch: Sequence[_Read], images: Sequence[ImageFile]
) -> list[_Predicted]:
    """Predict the readable images of a batch; the others keep their error."""
    readable = [one for one in batch if not isinstance(one.pixels, DataError)]
    results = iter(_predict_readable(predictor, readable, images) if readable else [])
    return [
        _Predicted(one.index, one.pixels if isinstance(one.pixels, DataError) else next(results))
        for one in batch
    ]


def _predict_readable(
    predictor: Predictor, batch: Sequence[_Read], images: Sequence[ImageFile]
) -> list[Result | DataError]:
    """Predict a batch together, and one by one where that fails for one image or lack of memory."""
    paths = [images[one.index].path for one in batch]
    try:
        with error_context(paths[0]), error_for_lack_of_memory("prediction"):
            predictions = predictor.predict([one.pixels for one in batch])
    except DataError as error:
        if len(batch) == 1:
            return [error]
    else:
        return [
            Result(one.pixels, prediction, predictor.info, path, ground_truth=one.ground_truth)
            for one, prediction, path in zip(batch, predictions, paths, strict=True)
        ]
    return [result for one in batch for result in _predict_readable(predictor, [one], images)]


def _write_share(
    predicted: Iterator[_Predicted],
    images: Sequence[ImageFile],
    writer: ResultWriter,
    num_workers: int,
    interruption: Interruption,
) -> list[_Share]:
    """Write this process's results and wait for the others; return what became of all shares.

    Raises:
        Exception: what ended this share.
    """
    failures: list[str] = []
    written = 0
    total = len(range(distributed.rank(), len(images), distributed.world_size()))
    with progress_bar(
        title="predicting", total=total, unit="images", hidden=not distributed.is_main()
    ) as bar:
        ended_by = None
        try:
            for failure in _write_all(predicted, images, writer, num_workers):
                if failure is None:
                    written += 1
                else:
                    failures.append(str(failure))
                    bar.write(f"skipped: {failure}", file=sys.stderr)
                bar.update()
        except Exception as error:
            ended_by = error
        told = "" if ended_by is None else reason_of(ended_by)
        share = _Share(written, failures, interruption.signal, told)
    shares = distributed.gather_patiently(share, interruption.is_asked)
    if ended_by is not None:
        raise ended_by
    return shares


def _write_all(
    predicted: Iterator[_Predicted],
    images: Sequence[ImageFile],
    writer: ResultWriter,
    num_workers: int,
) -> Iterator[DataError | None]:
    """Write all results; yield the error of each image, None where there is none.

    Threads write what has been predicted while the network is at the next.
    """

    def write(work: _Predicted) -> DataError | None:
        index, result = work
        if isinstance(result, DataError):
            return result
        return _write(images[index], result, writer)

    return read_ahead(write, predicted, num_workers)


def _write(image: ImageFile, result: Result, writer: ResultWriter) -> DataError | None:
    """Write one result; return the error that concerns this image alone, if there is one."""
    try:
        with error_for_lack_of_memory("writing"):
            writer.write(image.name, result)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise  # the next would fare no better
        return DataError(f"{image.path}: its results cannot be written ({error})")
    except DataError as error:
        return DataError(f"{image.path}: its results cannot be written ({error})")
    return None


def _tell_times(seconds: dict[str, float], total: float, count: int) -> None:
    parts = ", ".join(f"{name} {value / max(count, 1):.3f} s" for name, value in seconds.items())
    _log.info("%d images in %.1f s; for each: %s", count, total, parts)


def _tell_profile(seconds: dict[str, float], total: float, count: int) -> None:
    _log.info("%d images:\n%s", count, format_profile(seconds, total, count, "image"))


def _raise_what_ended(shares: Sequence[_Share], total: int) -> None:
    """Raise what kept an image from being done, in the first place what ended a process."""
    failures = list(chain.from_iterable(share.failures for share in shares))
    written = sum(share.written for share in shares)
    errors = [share.error for share in shares if share.error]
    if errors:
        raise DataError(f"{written} of {total} images are done; a process failed: {errors[0]}")
    numbers = [share.signal for share in shares if share.signal is not None]
    if numbers and written + len(failures) < total:
        raise StoppedError(numbers[0], f"{written} of {total} images are done and listed")
    if failures:
        raise DataError(f"{len(failures)} of {total} images failed; the first: {failures[0]}")
