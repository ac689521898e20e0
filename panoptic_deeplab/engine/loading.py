"""From samples to batches: their order, their process and their random draws.

Every draw of a sample comes from (seed, epoch, index), so that neither resuming nor the number of
workers changes what a training sees.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import numpy as np
import paddle

from panoptic_deeplab.device import on_gpu
from panoptic_deeplab.engine.shared_memory import fits_shared_memory
from panoptic_deeplab.environment import usable_cores
from panoptic_deeplab.errors import DataError, UsageError, UserError
from panoptic_deeplab.process import end_with_parent
from panoptic_deeplab.structures import Sample

Place = tuple[int, int]

_ERROR = "error"
_MAX_DEFAULT_WORKERS = 8
_LAST_STEP_SECONDS = 60
"""After SIGTERM a worker still serves the step at hand for so long; then it ends in any case."""


class TrainingOrder:
    """Batches of one process, from a given step on: lists of (epoch, index).

    Each epoch has its own permutation; the processes share the samples of each step; samples at
    the end of an epoch that do not fill a step are left out.

    Args:
        length: samples in the data set.
        batch_size: samples of a step on each process.
        seed: of the permutations.
        first: completed steps.
        last: steps of the whole training.
        rank: this process.
        world_size: number of processes.

    Raises:
        UsageError: the data set cannot fill one step.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        first: int,
        last: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.steps_per_epoch = length // (batch_size * world_size)
        if self.steps_per_epoch == 0:
            raise UsageError(
                f"a step takes batch_size {batch_size} x {world_size} process(es) samples, the "
                f"training data set has {length}; choose a smaller --batch_size"
            )
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.steps = range(first, last)
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[Place]]:
        epoch, order = -1, np.zeros(0, np.int64)
        for step in self.steps:
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
            start = step % self.steps_per_epoch * self.batch_size * self.world_size
            mine = order[start : start + self.batch_size * self.world_size][
                self.rank * self.batch_size :
            ][: self.batch_size]
            yield [(epoch, int(index)) for index in mine]


class TrainingSamples(paddle.io.Dataset):
    """Samples with their targets, by (epoch, index).

    A file that cannot be used becomes a sample that only holds the error's message, which can
    cross from a worker process; `training_batches` raises it.
    """

    def __init__(self, dataset: Any, targets: Callable[[Sample], Sample], seed: int) -> None:
        super().__init__()
        self.dataset = dataset
        self.targets = targets
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: Place) -> Sample:
        epoch, index = place
        try:
            sample = self.dataset.load(index)
            if "panoptic" not in sample:
                self.dataset.truth(index)  # raises an error that says so
            rng = np.random.default_rng((self.seed, epoch, index))
            sample = self.targets(self.dataset.transform(sample, rng))
        except UserError as error:
            return {_ERROR: str(error)}
        box = np.array(sample["frame"].valid_box, np.int32)
        arrays = {name: value for name, value in sample.items() if _is_trained_on(name, value)}
        return arrays | {"valid_box": box, "index": np.array(index, np.int64)}


def _is_trained_on(name: str, value: Any) -> bool:
    return isinstance(value, np.ndarray) and name != "panoptic"


def collate(samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """Stack the arrays of all samples, or return the first error as bytes.

    Lists of different lengths are padded with zeros at the end.
    """
    for sample in samples:
        if _ERROR in sample:
            return {_ERROR: np.frombuffer(sample[_ERROR].encode(), np.uint8)}
    return {name: _stack([sample[name] for sample in samples]) for name in samples[0]}


def _stack(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Stack arrays [L_i, ...] to [N, max L_i, ...]."""
    lengths = [len(array) if array.ndim else 0 for array in arrays]
    if len(set(lengths)) == 1:
        return np.stack(arrays)
    stacked = np.zeros((len(arrays), max(lengths), *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(stacked, arrays, strict=True):
        row[: len(array)] = array
    return stacked


def training_batches(
    samples: TrainingSamples, order: TrainingOrder, num_workers: int
) -> Iterator[dict[str, paddle.Tensor]]:
    """Yield the batches as tensors, read by `num_workers` processes (0: by this process).

    Raises:
        DataError: a file cannot be used.
    """
    for batch in _read(samples, order, num_workers):
        if _ERROR in batch:
            raise DataError(bytes(batch[_ERROR].numpy()).decode())
        yield batch


def _read(
    samples: TrainingSamples, order: TrainingOrder, num_workers: int
) -> Iterable[dict[str, paddle.Tensor]]:
    if num_workers == 0:
        stacked = (collate([samples[place] for place in places]) for places in order)
        return ({name: paddle.to_tensor(value) for name, value in b.items()} for b in stacked)
    return paddle.io.DataLoader(
        samples,
        batch_sampler=order,
        num_workers=num_workers,
        collate_fn=collate,
        worker_init_fn=partial(_start_worker, os.getpid()),
        use_shared_memory=fits_shared_memory(lambda: _first_batch(samples, order), num_workers),
    )


def _first_batch(samples: TrainingSamples, order: TrainingOrder) -> dict[str, np.ndarray]:
    places = next(iter(order), None)
    return {} if places is None else collate([samples[place] for place in places])


@contextmanager
def explaining_dead_workers() -> Iterator[None]:
    """Make one line of Paddle's error about a process that reads samples and was killed.

    Paddle raises it wherever the trainer happens to be.

    Raises:
        DataError: a process was killed.
    """
    try:
        yield
    except SystemError as error:
        if not re.search("DataLoader|data reader", str(error)):
            raise
        _end_workers()
        for killed in re.findall(r"pid (\d+)", str(error)):
            _remove_shared_memory(int(killed))
        signal_name = re.search(r"killed by signal: ([\w ]+)", str(error))
        how = f" by {signal_name[1]!r}" if signal_name else ""
        raise DataError(
            f"a process that reads samples was killed{how}, often for want of memory or of shared "
            "memory (docker run --shm-size): try a smaller --num_workers or --batch_size, and go "
            "on with --resume_model auto"
        ) from error


def default_workers() -> int:
    """Return how many processes should read samples for this one, if nobody says.

    A GPU waits for one process, so each core reads for one, up to a few: a step does not take more.
    A network on a CPU needs the cores itself.
    """
    if not on_gpu():
        return 0
    trainers = int(os.environ.get("PADDLE_LOCAL_SIZE", 1))  # on this machine, says the launcher
    return min(max(usable_cores() // trainers, 1), _MAX_DEFAULT_WORKERS)


def _end_workers() -> None:
    """End the processes that read samples and remove their shared memory.

    A killed one may have held the lock of a queue, for which the others would wait for ever.
    """
    with suppress(ValueError):  # outside of the main thread
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # Paddle raises an error at each end
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()
        _remove_shared_memory(worker.pid)


def _start_worker(parent: int, worker: int) -> None:
    """Live as long as the trainer: no shorter where a signal goes to the whole process group, and
    no longer where the trainer is killed (Paddle's worker would wait for its next order forever).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)
    cv2.setNumThreads(0)  # each worker has a core; more threads wait for each other
    end_with_parent(parent, partial(_remove_shared_memory, os.getpid()))


def _remove_shared_memory(worker: int) -> None:
    """Remove the batches that a worker wrote and the trainer will never take."""
    for path in Path("/dev/shm").glob(f"paddle_{worker}_*"):  # as Paddle names them
        path.unlink(missing_ok=True)


def _end_later(number: int, frame: FrameType | None) -> None:
    """Leave the trainer time for its last step; it tells its workers when that is done."""
    signal.alarm(_LAST_STEP_SECONDS)
