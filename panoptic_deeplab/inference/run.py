"""From images to files of results: reading, prediction and writing beside each other."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, takewhile
from pathlib import Path
from typing import NamedTuple

from panoptic_deeplab.batching import batched, batched_alike
from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.interruption import Interruption, StoppedError
from panoptic_deeplab.errors import DataError, UsageError, UserError, reason_of
from panoptic_deeplab.formats.ground_truth_files import GroundTruthFiles
from panoptic_deeplab.inference.model import Predictor
from panoptic_deeplab.inference.sources import ImageFile, ImageList, ReadImage, Source
from panoptic_deeplab.inference.stages import Predicted, Written, predict_batch, write_result
from panoptic_deeplab.inference.times import tell_how_busy, tell_profile, tell_times
from panoptic_deeplab.inference.tracked import ResultTracker, with_lasting_ids
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.results.base import ResultFormat
from panoptic_deeplab.results.done import done_images
from panoptic_deeplab.results.folder import make_forms, prepared, refuse_shared_names
from panoptic_deeplab.results.lock import held
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.video.writing import VideoWriter

_log = logging.getLogger(__name__)


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
    """Predict image files and write their results; see `predict_source`."""
    source = ImageList(images, ground_truth)
    predict_source(predictor, source, save_dir, kinds, num_workers, batch_size, profile=profile)


def predict_source(
    predictor: Predictor,
    source: Source,
    save_dir: Path,
    kinds: Sequence[str] = ("images",),
    num_workers: int = 1,
    batch_size: int = 1,
    *,
    profile: bool = False,
    track: bool = False,
    video: Path | None = None,
    model: str = "",
    skip_done: bool = False,
) -> None:
    """Predict the images of a source and write their results; the processes share them.

    An image that cannot be read, that needs more memory than there is, or whose results cannot be
    written, is reported and skipped. At Ctrl-C or SIGTERM the current images are finished. However
    this ends, the lists name all images that are done, and the video plays.

    Args:
        predictor: the model.
        source: of the images.
        save_dir: the existing folder that the results go to.
        kinds: names of `panoptic_deeplab.results.FORMATS`.
        num_workers: threads that read ahead, and as many that write.
        batch_size: images of equal size that go through the network together; so that a batch is
            full, images of other sizes wait, four times as many at most.
        profile: log the times as a table at the end.
        track: let things keep their ids from image to image, in the written maps too.
        video: an H.264 file of the overlays; None for none.
        model: fingerprint of the model and its settings, which the journal keeps.
        skip_done: leave out the images of which the folder has whole results.

    Raises:
        UserError: the folder cannot take the results; nothing has changed then.
        UsageError: several processes are to predict what has an order, or part of it is to be left
            out; the video would replace the one that is read; or another model made the results.
        StoppedError: a signal came.
        DataError: at the end, if some images failed.
    """
    keeps_order = source.is_in_order or track or video is not None
    if keeps_order:
        _refuse_processes()
        _refuse_gaps(skip_done)
    if video is not None and source.is_in_order and video.exists():
        _refuse_source(video, source.files)
    start, watch = time.perf_counter(), Stopwatch()
    with Interruption() as interruption, ExitStack() as opened:
        forms = make_forms(save_dir, predictor.info, kinds)
        remaining = partial(_remaining, source, save_dir, forms, model)
        choose = remaining if skip_done else lambda: source
        to_come = opened.enter_context(_prepared(save_dir, forms, choose, interruption))
        writer = ResultWriter(save_dir, forms, distributed.rank(), model)
        drawn = opened.enter_context(VideoWriter(video, to_come.frame_rate)) if video else None
        read = takewhile(
            lambda _: not interruption.is_asked(),
            to_come.read(num_workers, watch, interruption.is_asked),
        )
        batches = (batched if keeps_order else _batched_by_size)(read, batch_size)
        predicted = chain.from_iterable(
            predict_batch(predictor, batch)
            for batch in takewhile(lambda _: not interruption.is_asked(), batches)
        )
        if track:
            predicted = _tracked(predicted, predictor.info, watch)
        write = partial(write_result, writer=writer, draws=video is not None)
        written = read_ahead(write, predicted, num_workers)
        shares = _finish_share(written, to_come, drawn, interruption)
    if distributed.is_main():
        seconds = watch.seconds | predictor.watch.seconds | writer.seconds
        tell, total = tell_profile if profile else tell_times, time.perf_counter() - start
        tell(seconds, total, shares[0].written, source.unit)
        tell_how_busy(predictor.watch.seconds, total)
    _raise_what_ended(shares, to_come)


def _refuse_source(video: Path, files: Sequence[Path]) -> None:
    if any(file.exists() and file.samefile(video) for file in files):
        raise UsageError(f"--save_video {video}: is the video that is read; choose another name")


def _refuse_gaps(skip_done: bool) -> None:
    if skip_done:
        raise UsageError(
            "--skip_done is for images; videos, --track and --save_video begin with the first frame"
        )


def _refuse_processes() -> None:
    if distributed.world_size() > 1:
        raise UsageError(
            "videos, --track and --save_video need the frames one after the other: predict with "
            f"one process in place of {distributed.world_size()}"
        )


@contextmanager
def _prepared(
    save_dir: Path,
    forms: Mapping[str, ResultFormat],
    choose: Callable[[], Source],
    interruption: Interruption,
) -> Iterator[Source]:
    """Let the first process hold the folder ready while all write into it; all raise its error.

    Yields:
        the images to come, the same in all processes.
    """
    source = error = None
    with ExitStack() as opened:
        if distributed.is_main():
            try:
                opened.enter_context(held(save_dir))
                source = choose()
                opened.enter_context(prepared(save_dir, forms, source.names, source.files))
            except (UserError, OSError) as problem:
                error = problem
        # each process may have found other images in a folder that grows
        source, error = distributed.gather_patiently((source, error), interruption.is_asked)[0]
        if error is not None:
            raise error
        if not distributed.is_main():
            opened.enter_context(held(save_dir, distributed.rank()))
        yield source


def _remaining(
    source: ImageList, save_dir: Path, forms: Mapping[str, ResultFormat], model: str
) -> ImageList:
    """Leave out the images that are done, and tell how many they are."""
    refuse_shared_names(forms, source.names)
    keys = {kind: form.key for kind, form in forms.items()}
    done = done_images(save_dir, keys, source.versions, model)
    _log.info("%d of %d images are done already", len(done), source.count)
    return source.without(done)


def _batched_by_size(images: Iterable[ReadImage], batch_size: int) -> Iterator[list[ReadImage]]:
    """Make batches of images of equal size, for which some others wait; broken ones come apart."""

    def size(image: ReadImage) -> tuple[int, ...]:
        return () if isinstance(image.pixels, DataError) else image.pixels.shape

    return batched_alike(images, size, batch_size, _MAX_WAITING_BATCHES * batch_size)


_MAX_WAITING_BATCHES = 4


def _tracked(
    predicted: Iterable[Predicted], info: DatasetInfo, watch: Stopwatch
) -> Iterator[Predicted]:
    """Continue the tracks with each result; an image without one is a gap in them."""
    track = ResultTracker(info)
    for image, result in predicted:
        if not isinstance(result, DataError):
            with watch.timing("tracking"):
                result = with_lasting_ids(track(result))
        yield Predicted(image, result)


def _finish_share(
    results: Iterator[Written],
    source: Source,
    video: VideoWriter | None,
    interruption: Interruption,
) -> list[_Share]:
    """Await this process's results, then the others; return what became of all shares.

    Raises:
        Exception: what ended this share.
    """
    failures: list[str] = []
    written = 0
    total = source.count
    if total is not None:
        total = len(range(distributed.rank(), total, distributed.world_size()))
    with progress_bar(
        title="predicting", total=total, unit=source.unit, hidden=not distributed.is_main()
    ) as bar:
        ended_by = None
        try:
            for result in results:
                if result.failure is None:
                    written += 1
                else:
                    failures.append(str(result.failure))
                    bar.write(f"skipped: {result.failure}", file=sys.stderr)
                if video is not None and result.overlay is not None:
                    video.add(result.overlay, result.image.time)
                bar.update()
        except Exception as error:
            ended_by = error
        told = "" if ended_by is None else reason_of(ended_by)
        share = _Share(written, failures, interruption.signal, told)
    shares = distributed.gather_patiently(share, interruption.is_asked)
    if ended_by is not None:
        raise ended_by
    return shares


def _raise_what_ended(shares: Sequence[_Share], source: Source) -> None:
    """Raise what kept an image from being done, in the first place what ended a process."""
    failures = list(chain.from_iterable(share.failures for share in shares))
    written = sum(share.written for share in shares)
    tried = written + len(failures)
    errors = [share.error for share in shares if share.error]
    of_all = "" if source.count is None else f" of {source.count}"
    done = f"{written}{of_all} {source.unit} are done"
    if errors:
        raise DataError(f"{done}; a process failed: {errors[0]}")
    numbers = [share.signal for share in shares if share.signal is not None]
    if numbers and (source.count is None or tried < source.count):
        hint = "" if source.is_in_order else "; --skip_done goes on from here"
        raise StoppedError(numbers[0], f"{done} and listed{hint}")
    if failures:
        total = source.count or tried
        raise DataError(
            f"{len(failures)} of {total} {source.unit} failed; the first: {failures[0]}"
        )
