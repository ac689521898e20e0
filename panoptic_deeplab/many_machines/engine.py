"""From images to results with Ray Data: actors read and predict, this process alone writes.

An actor that dies is started again and its images are predicted again; what is written is what
reached this process, each image once.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import ray
import ray.data
import ray.exceptions

from panoptic_deeplab.engine.interruption import Interruption, StoppedError
from panoptic_deeplab.errors import DataError, UserError, reason_of
from panoptic_deeplab.inference.fingerprint import fingerprint
from panoptic_deeplab.inference.loading import load_predictor
from panoptic_deeplab.inference.location import locate_model
from panoptic_deeplab.inference.options import LoadOptions
from panoptic_deeplab.inference.sources import ImageList
from panoptic_deeplab.inference.stages import LASTING_ERRORS, unwritten
from panoptic_deeplab.inference.times import tell_how_busy, tell_times
from panoptic_deeplab.many_machines.parts import Parts
from panoptic_deeplab.many_machines.times import Times
from panoptic_deeplab.many_machines.worker import FILE, Actor, FormActor
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.results.done import done_images
from panoptic_deeplab.results.folder import make_forms, prepared, refuse_shared_names
from panoptic_deeplab.results.journal import FileVersion
from panoptic_deeplab.results.lock import held
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import DatasetInfo

PARQUET = "parquet"
"""The form that has one row for each image, beside `panoptic_deeplab.results.FORMATS`."""

_BLOCKS_PER_ACTOR = 4
"""At least, so that all actors end at about the same time."""

_MAX_RETRIES = 20
"""Of one block: an image that ends its actor each time must not do so for ever."""

_PATIENCE_SECONDS = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What each actor does.

    Attributes:
        model_path: the model, which each machine must find.
        config: path or name of a configuration, None for the one beside the weights.
        options: how the model runs.
        batch_size: images that are predicted at a time.
        num_workers: threads of an actor that read ahead, and as many that draw and encode.
        actors: number of them; None for one for each GPU of the cluster, or else each CPU.
    """

    model_path: str
    config: str | None = None
    options: LoadOptions = field(default_factory=LoadOptions)
    batch_size: int = 1
    num_workers: int = 1
    actors: int | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Of `Worker`."""
        return {
            "model_path": self.model_path,
            "config": self.config,
            "options": self.options,
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
        }


class _Output(Protocol):
    """Where results go.

    Attributes:
        images_per_block: number of images that an actor returns at a time, at most.
        worker: class of the actors.
        arguments: of that class, beside those of `Worker`.
    """

    images_per_block: int
    worker: type[Actor]
    arguments: Mapping[str, Any]

    def done(self, images: Mapping[str, FileVersion | None]) -> set[str]:
        """Find the images that need not be predicted again."""

    def prepared(self, names: Sequence[str], images: Sequence[Path]) -> AbstractContextManager:
        """Make the folder ready for these; when the block ends, it is whole."""

    def take(self, block: pa.Table) -> dict[str, str]:
        """Write what an actor returned; return the errors of images without a result, by name."""


class _ParquetOutput(Parts):
    """Rows of tables."""

    worker = Actor
    arguments: Mapping[str, Any] = {}


class _FilesOutput:
    """The usual files."""

    images_per_block = 8
    worker = FormActor

    def __init__(self, folder: Path, info: DatasetInfo, model: str, kinds: Sequence[str]) -> None:
        self.arguments = {"forms": list(kinds)}
        self._folder = folder
        self._model = model
        self._forms = make_forms(folder, info, kinds)

    def done(self, images: Mapping[str, FileVersion | None]) -> set[str]:
        refuse_shared_names(self._forms, list(images))
        keys = {kind: form.key for kind, form in self._forms.items()}
        return done_images(self._folder, keys, images, self._model)

    @contextmanager
    def prepared(self, names: Sequence[str], images: Sequence[Path]) -> Iterator[None]:
        with prepared(self._folder, self._forms, names, images):
            self._writer = ResultWriter(self._folder, self._forms, model=self._model)
            yield

    def take(self, block: pa.Table) -> dict[str, str]:
        errors = {row["name"]: row["failure"] or self._put(row) for row in block.to_pylist()}
        return {name: error for name, error in errors.items() if error}

    def _put(self, row: Mapping[str, Any]) -> str:
        """Write one image's files; return what prevents it, '' for nothing."""
        version = row["image_version"]
        rendered = pickle.loads(row["rendered"])  # from an actor of ours
        try:
            self._writer.put(rendered, None if version is None else tuple(version))
        except OSError as error:
            if error.errno in LASTING_ERRORS:
                raise
            return str(unwritten(row["name"], error))
        return ""


def predict_on_ray(
    work: Work,
    source: ImageList,
    save_dir: Path,
    kinds: Sequence[str] = ("images",),
    *,
    skip_done: bool = False,
) -> None:
    """Predict images with the actors of a Ray cluster and write their results here.

    Without a cluster (`ray start`, RAY_ADDRESS) one is made of this machine. At Ctrl-C or SIGTERM,
    what has come is written and listed.

    Args:
        work: of each actor.
        source: of the images.
        save_dir: the existing folder that the results go to; this process alone needs it.
        kinds: names of `panoptic_deeplab.results.FORMATS`, or `parquet` alone.
        skip_done: leave out the images of which the folder has whole results.

    Raises:
        UserError: the model cannot be loaded, or the folder cannot take the results.
        StoppedError: a signal came.
        DataError: at the end, if some images failed; or actors died too often.
    """
    times, watch = Times(), Stopwatch()
    with _cluster(), held(save_dir):
        info, model = _loaded_once(work)
        output = _output(save_dir, info, model, kinds)
        if skip_done:
            source = _remaining(source, output)
        with output.prepared(source.names, source.files), Interruption() as interruption:
            blocks = _blocks(work, source, output, interruption.is_asked)
            written, failures = _take_all(blocks, source.count, output, times, watch)
            _tell(times, watch, written, _num_actors(work))
    if interruption.is_asked() and written + len(failures) < source.count:
        raise StoppedError(
            interruption.signal,
            f"{written} of {source.count} images are done; --skip_done goes on from here",
        )
    if failures:
        raise DataError(
            f"{len(failures)} of {source.count} images failed; the first: {failures[0]}"
        )


@contextmanager
def _cluster() -> Iterator[None]:
    """Connect to Ray for the time of the block, unless the program is connected already."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault(
        "RAY_BACKEND_LOG_LEVEL", "fatal"
    )  # its core warns of Ray Data's own actors
    ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def _output(save_dir: Path, info: DatasetInfo, model: str, kinds: Sequence[str]) -> _Output:
    if PARQUET in kinds:
        return _ParquetOutput(save_dir, info, model)
    return _FilesOutput(save_dir, info, model, kinds)


def _remaining(source: ImageList, output: _Output) -> ImageList:
    done = output.done(source.versions)
    _log.info("%d of %d images are done already", len(done), source.count)
    return source.without(done)


def _resources(device: str) -> dict[str, float]:
    """What one actor needs of its machine."""
    has_gpu = device != "cpu" and ray.cluster_resources().get("GPU", 0) >= 1
    return {"num_cpus": 1, "num_gpus": 1} if has_gpu else {"num_cpus": 1}


def _num_actors(work: Work) -> int:
    if work.actors is not None:
        return work.actors
    kind = "GPU" if "num_gpus" in _resources(work.options.device) else "CPU"
    return max(1, int(ray.cluster_resources().get(kind, 1)))


def _loaded_once(work: Work) -> tuple[DatasetInfo, str]:
    """Load the model on some machine; return its classes and the fingerprint.

    Raises:
        UserError: it cannot be loaded.
    """
    describe = ray.remote(max_calls=1, **_resources(work.options.device))(_described)
    loading = describe.remote(work)
    if not ray.wait([loading], timeout=_PATIENCE_SECONDS)[0]:
        _log.info("waiting for the cluster to load the model on a free CPU or GPU")
    try:
        found = ray.get(loading)
    except ray.exceptions.RayError as error:
        raise DataError(f"a worker could not load the model: {_cause(error)}") from error
    if isinstance(found, UserError):
        raise found
    return found


def _described(work: Work) -> tuple[DatasetInfo, str] | UserError:
    try:
        files = locate_model(work.model_path, work.config)
        info = load_predictor(files, work.options).info
        return info, fingerprint(files, work.options, info)
    except UserError as error:
        return error


def _take_all(
    blocks: Iterator[pa.Table], count: int, output: _Output, times: Times, watch: Stopwatch
) -> tuple[int, list[str]]:
    """Write what the actors return; return the number of results and the errors of the others."""
    written, failures = 0, []
    with progress_bar(title="predicting", total=count, unit="images") as bar:
        for block in blocks:
            times.add(block)
            with watch.timing("writing"):
                failed = output.take(block)
            for failure in failed.values():
                bar.write(f"skipped: {failure}", file=sys.stderr)
            failures += failed.values()
            written += block.num_rows - len(failed)
            bar.update(block.num_rows)
    return written, failures


def _tell(times: Times, watch: Stopwatch, written: int, actors: int) -> None:
    if not written:
        return
    _log.info("the first actor began after %.1f s", times.starting)
    seconds = times.beside | times.computing | watch.seconds
    tell_times(seconds, times.working, written, "images")
    whole = actors * times.working
    tell_how_busy(times.computing, whole, "the time of all actors")


def _blocks(
    work: Work, source: ImageList, output: _Output, is_stopped: Callable[[], bool]
) -> Iterator[pa.Table]:
    """Yield the tables that the actors return, in any order, until a signal comes.

    Raises:
        DataError: an actor failed, or blocks of images ended theirs too often.
    """
    if not source.count:
        return
    resources, actors = _resources(work.options.device), _num_actors(work)
    size = min(output.images_per_block, -(-source.count // (_BLOCKS_PER_ACTOR * actors)))
    items = [{FILE: image} for image in source.images]
    blocks = ray.data.from_items(items, override_num_blocks=-(-source.count // size))
    with warnings.catch_warnings():
        # of Ray before 2.64, which names no other way to set the number of retries
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        results = blocks.map_batches(
            output.worker,
            fn_constructor_kwargs=work.arguments | dict(output.arguments),
            batch_size=None,
            batch_format="numpy",
            concurrency=actors,
            max_task_retries=_MAX_RETRIES,
            **resources,
        )
    try:
        for block in results.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        ):
            yield block
            if is_stopped():
                return
    except ray.exceptions.RayError as error:
        raise DataError(f"a worker failed: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """What an actor raised, or how it died, in one line."""
    while (inner := getattr(error, "cause", None) or error.__cause__) is not None:
        error = inner
    return reason_of(error, 500)
