"""The order of samples and the random draws of each."""

from __future__ import annotations

import cv2
import numpy as np
import paddle
import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.engine import loading, shared_memory
from panoptic_deeplab.engine.loading import (
    TrainingOrder,
    TrainingSamples,
    default_workers,
    explaining_dead_workers,
    training_batches,
)
from panoptic_deeplab.errors import DataError, UsageError


def test_an_epoch_sees_every_sample_once() -> None:
    batches = list(TrainingOrder(6, 2, seed=0, first=0, last=6))
    for epoch in (0, 1):
        part = [place for batch in batches[3 * epoch : 3 * epoch + 3] for place in batch]
        assert sorted(part) == [(epoch, i) for i in range(6)]
    assert [i for b in batches[:3] for _, i in b] != [i for b in batches[3:] for _, i in b]


def test_starting_later_gives_the_rest_of_the_same_order() -> None:
    whole = list(TrainingOrder(7, 2, seed=3, first=0, last=10))
    assert list(TrainingOrder(7, 2, seed=3, first=4, last=10)) == whole[4:]


def test_ranks_share_each_step() -> None:
    whole = list(TrainingOrder(13, 4, seed=1, first=0, last=6))
    halves = [
        list(TrainingOrder(13, 2, seed=1, first=0, last=6, rank=rank, world_size=2))
        for rank in (0, 1)
    ]
    assert [a + b for a, b in zip(*halves, strict=True)] == whole


def test_a_step_larger_than_the_data_set_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"2 x 2 process\(es\) samples, the training data set has 3"
    ):
        TrainingOrder(3, 2, seed=0, first=0, last=1, world_size=2)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_do_not_depend_on_workers(tiny_config, num_workers: int) -> None:
    config = Config(tiny_config)
    samples = TrainingSamples(config.train_dataset, config.targets, seed=5)
    order = TrainingOrder(len(samples), 2, seed=5, first=0, last=3)
    batches = list(training_batches(samples, order, num_workers))
    direct = [[samples[place] for place in places] for places in order]
    assert len(batches) == 3
    for batch, expected in zip(batches, direct, strict=True):
        for name, value in batch.items():
            stacked = np.stack([sample[name] for sample in expected])
            np.testing.assert_array_equal(value.numpy(), stacked, err_msg=name)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_corrupt_image_ends_the_reading_with_its_name(tiny_config, num_workers: int) -> None:
    config = Config(tiny_config)
    dataset = config.train_dataset
    broken = tiny_config.parent / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    for i, record in enumerate(dataset.records):
        dataset.records[i] = type(record)(
            record.image_id, broken, record.label_path, record.segments
        )
    samples = TrainingSamples(dataset, config.targets, seed=0)
    order = TrainingOrder(len(samples), 2, seed=0, first=0, last=4)
    with pytest.raises(DataError, match=r"broken\.png: not a readable image"):
        list(training_batches(samples, order, num_workers))


class ThreadsOfOpenCV(paddle.io.Dataset):
    """Samples that say how many threads OpenCV has where they are read."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, place: object) -> dict[str, np.ndarray]:
        return {"threads": np.array(cv2.getNumThreads())}


def test_a_worker_leaves_the_other_cores_to_the_others() -> None:
    order = TrainingOrder(1, 1, seed=0, first=0, last=1)
    (batch,) = training_batches(ThreadsOfOpenCV(), order, 1)
    assert batch["threads"].item() == 1


@pytest.mark.parametrize(
    ("gpu", "cores", "trainers", "expected"),
    [
        (False, 64, None, 0),
        (True, 1, None, 1),
        (True, 4, None, 4),
        (True, 64, None, 8),
        (True, 64, "16", 4),
        (True, 4, "8", 1),
    ],
)
def test_the_default_of_workers_follows_the_machine(
    gpu: bool, cores: int, trainers: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "on_gpu", lambda: gpu)
    monkeypatch.setattr(loading, "usable_cores", lambda: cores)
    if trainers is not None:
        monkeypatch.setenv("PADDLE_LOCAL_SIZE", trainers)
    assert default_workers() == expected


# --- shared memory and killed processes ---


@pytest.mark.parametrize(("free", "expected"), [(1 << 40, 0), (1 << 30, 0), (64 << 10, 1), (0, 1)])
def test_batches_without_room_in_shared_memory_go_through_pipes(
    tiny_config,
    free: int,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(shared_memory, "_free_bytes", lambda: free)
    config = Config(tiny_config)
    samples = TrainingSamples(config.train_dataset, config.targets, seed=5)
    order = TrainingOrder(len(samples), 2, seed=5, first=0, last=3)
    read, ahead = (list(training_batches(samples, order, workers)) for workers in (0, 2))
    for batch, other in zip(read, ahead, strict=True):
        for name, value in batch.items():
            np.testing.assert_array_equal(value.numpy(), other[name].numpy(), err_msg=name)
    told = [record.message for record in caplog.records if "--shm-size=1g" in record.message]
    assert len(told) == expected


def test_trainers_of_one_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "_free_bytes", lambda: 10 << 20)
    batch = {"image": np.zeros(1 << 20, np.uint8)}
    assert shared_memory.fits_shared_memory(lambda: batch, 1)
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "2")
    assert not shared_memory.fits_shared_memory(lambda: batch, 1)


def test_a_data_set_without_steps_is_not_read(tiny_config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "_free_bytes", lambda: 0)
    config = Config(tiny_config)
    samples = TrainingSamples(config.train_dataset, config.targets, seed=5)
    order = TrainingOrder(len(samples), 2, seed=5, first=3, last=3)
    assert list(training_batches(samples, order, 1)) == []


PADDLES_WORDS = [
    "(Fatal) DataLoader process (pid 92) exited is killed by signal: Killed. (at /paddle/x.cc:185)",
    "(Fatal) DataLoader process (pid 3) exited is killed by signal: Bus error. (at /paddle/x.cc:1)",
    "(Fatal) Blocking queue is killed because the data reader raises an exception. [Hint: ...]",
]


@pytest.mark.parametrize("words", PADDLES_WORDS)
def test_a_killed_worker_is_told_in_one_line(words: str) -> None:
    told = r"a process that reads samples was killed.* try a smaller --num_workers"
    with pytest.raises(DataError, match=told), explaining_dead_workers():
        raise SystemError(words)


def test_other_errors_of_paddle_stay_what_they_are() -> None:
    with pytest.raises(SystemError, match="something else"), explaining_dead_workers():
        raise SystemError("something else")
