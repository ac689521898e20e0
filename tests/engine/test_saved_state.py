"""A checkpoint's optimizer, schedule, position and score: what cannot be is refused in one line."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.optimizer import lr

from panoptic_deeplab.engine.averaging import WeightAverage
from panoptic_deeplab.engine.checkpoint import (
    Position,
    TrainingState,
    read_score,
    refuse_no_checkpoint,
    resume,
    save_checkpoint,
)
from panoptic_deeplab.engine.precision import Precision
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.structures import DatasetInfo

INFO = DatasetInfo.from_dict(
    {
        "name": "one",
        "ignore_index": 255,
        "categories": [{"id": 1, "name": "cow", "isthing": 1, "color": [1, 1, 1]}],
    },
    "here",
)
Content = dict[str, Any]


def state(kind: str = "Momentum", average: bool = False, **arguments: Any) -> TrainingState:
    model = nn.Linear(2, 3)
    schedule = lr.PolynomialDecay(0.1, decay_steps=10)
    optimizer = getattr(paddle.optimizer, kind)(
        schedule, parameters=model.parameters(), **arguments
    )
    precision = Precision()
    kept = WeightAverage(model, optimizer) if average else None
    return TrainingState(model, optimizer, precision, kept)


def train_a_step(running: TrainingState) -> None:
    running.model(paddle.ones([1, 2])).sum().backward()
    running.optimizer.step()
    running.optimizer.clear_grad()
    running.optimizer._learning_rate.step()


def saved(folder: Path, **arguments: Any) -> Path:
    running = state(**arguments)
    train_a_step(running)
    save_checkpoint(folder / "iter_1", running, Position(1, 0, 4), INFO, "iters: 3\n")
    return folder / "iter_1"


@pytest.mark.parametrize("kind", ["Momentum", "SGD", "Adam", "AdamW", "Adagrad", "RMSProp", "Lamb"])
def test_each_optimizer_goes_on_as_if_it_had_never_stopped(tmp_path: Path, kind: str) -> None:
    first = state(kind)
    train_a_step(first)
    save_checkpoint(tmp_path / "iter_1", first, Position(1, 0, 4), INFO, "")
    second = state(kind)
    assert resume(tmp_path / "iter_1", second) == Position(1, 0, 4)
    for running in (first, second):
        train_a_step(running)
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def at(*path: str, value: Any) -> Callable[[Content], None]:
    """A change of one entry."""

    def change(content: Content) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return change


SLOT = "weight|_velocity_0"
CHANGES = {
    "no optimizer": (lambda c: c.pop("optimizer"), "expected its loss_scale, lr_scheduler, optim"),
    "text for the optimizer": (
        at("optimizer", value="x"),
        "the optimizer's arrays, got s",
    ),
    "text in a slot": (at("optimizer", SLOT, value="x"), "is no array of numbers, but str"),
    "a truth in a slot": (
        at("optimizer", SLOT, value=np.ones((2, 3), bool)),
        "no array of numbers",
    ),
    "NaN in a slot": (at("optimizer", SLOT, value=np.full((2, 3), np.nan, "f4")), "NaN, infinite"),
    "a huge slot": (at("optimizer", SLOT, value=np.full((2, 3), 1e38, "f4")), "huge numbers"),
    "another shape": (at("optimizer", SLOT, value=np.zeros((3, 2), "f4")), "in another shape"),
    "another type": (at("optimizer", SLOT, value=np.zeros((2, 3), "i4")), "in another shape"),
    "another network": (
        at("optimizer", "head|_velocity_0", value=np.zeros(1)),
        "of another network",
    ),
    "one more slot": (at("optimizer", "weight|_moment1_0", value=np.zeros(1)), "moment1, velocity"),
    "no slots": (at("optimizer", value={}), "holds nothing of each weight"),
    "no position": (at("position", value={}), "its position is another one; expected iteration"),
    "text for the position": (at("position", value="x"), "its position is another one"),
    "text for the iteration": (at("position", "iteration", value="x"), "iteration is no number"),
    "half an iteration": (at("position", "iteration", value=1.5), "iteration is no number, but fl"),
    "a negative iteration": (at("position", "iteration", value=-1), "iteration is -1, expected"),
    "a huge iteration": (at("position", "iteration", value=10**30), "after 1e+30 iterations"),
    "a negative seed": (at("position", "seed", value=-1), "position.seed is -1"),
    "an unknown entry": (at("position", "mood", value=1), "its position is another one"),
    "an empty schedule": (at("lr_scheduler", value={}), "its lr_scheduler is another one"),
    "no schedule": (at("lr_scheduler", value={"last_lr": 0.1}), "lr_scheduler is another one"),
    "a schedule of text": (
        at("lr_scheduler", "last_lr", value="x"),
        "is no number, but str",
    ),
    "a rate of NaN": (
        at("lr_scheduler", "last_lr", value=float("nan")),
        "last_lr is nan, exp",
    ),
    "a negative step": (at("lr_scheduler", "last_epoch", value=-5), "last_epoch is -5, expected"),
    "a list": (lambda c: c.clear(), "expected its loss_scale, lr_scheduler, optimizer, position"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_state_that_cannot_be_is_refused(tmp_path: Path, kind: str) -> None:
    change, message = CHANGES[kind]
    folder = saved(tmp_path)
    content = pickle.loads((folder / "model.pdopt").read_bytes())
    change(content)
    (folder / "model.pdopt").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=re.escape(message)) as failure:
        resume(folder, state())
    assert "model.pdopt: not the state of this configuration's training: " in str(failure.value)
    assert str(failure.value).endswith(f"--opts model.pretrained={folder / 'model.pdparams'}")


OTHER_OPTIMIZERS = {
    ("Momentum", "Adam"): "it lacks what Adam keeps of each weight",
    ("Adam", "Momentum"): "it lacks what Momentum keeps of each weight",
    ("Adam", "SGD"): "holds beta1_pow_acc, beta2_pow_acc, moment1, moment2 of each weight, which",
    ("SGD", "Momentum"): "holds nothing of each weight, which is not what Momentum keeps",
}


@pytest.mark.parametrize(("before", "now"), OTHER_OPTIMIZERS)
def test_another_optimizer_is_refused(tmp_path: Path, before: str, now: str) -> None:
    folder = saved(tmp_path, kind=before)
    with pytest.raises(DataError, match=OTHER_OPTIMIZERS[before, now]):
        resume(folder, state(now))


def test_negative_second_moments_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, kind="Adam")
    content = pickle.loads((folder / "model.pdopt").read_bytes())
    content["optimizer"]["bias|_moment2_0"] -= 1
    (folder / "model.pdopt").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"bias\|_moment2_0 holds negative numbers"):
        resume(folder, state("Adam"))


def test_weights_that_diverged_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    weights = {"weight": np.full((2, 3), np.nan, "f4"), "bias": np.zeros(3, "f4")}
    (folder / "model.pdparams").write_bytes(pickle.dumps(weights))
    with pytest.raises(DataError, match=r"1 of 2 weights hold NaN or infinite numbers \(weight\)"):
        resume(folder, state())


AVERAGES = {
    "of another network": ({"steps": np.array(1), "a": np.zeros(1, "f4")}, "not the average of"),
    "without its steps": ({"weight": np.zeros((2, 3)), "bias": np.zeros(3)}, "not the average of"),
    "that diverged": (
        {"steps": np.array(1), "weight": np.full((2, 3), np.inf), "bias": np.zeros(3)},
        "hold NaN or infinite numbers",
    ),
}


@pytest.mark.parametrize("kind", AVERAGES)
def test_an_average_that_cannot_be_is_refused(tmp_path: Path, kind: str) -> None:
    content, message = AVERAGES[kind]
    folder = saved(tmp_path, average=True)
    (folder / "model_ema.pdparams").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=rf"model_ema\.pdparams: .*{message}"):
        resume(folder, state(average=True))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run with two checkpoints and a best model."""
    for name in ("iter_9/model.pdopt", "iter_10/model.pdopt", "best_model/model.pdparams"):
        (tmp_path / "run" / name).parent.mkdir(parents=True)
        (tmp_path / "run" / name).touch()
    return tmp_path / "run"


NO_CHECKPOINTS = {
    ".": "run: is the folder of a run, expected one of its checkpoints; did you mean "
    "--resume_model {run}/iter_10?",
    "iter_11": "there is none of that name; did you mean --resume_model {run}/iter_10?",
    "iter_9/model.pdopt": "it is a file; did you mean --resume_model {run}/iter_9?",
    "best_model/model.pdparams": "best_model/model.pdparams: expected a checkpoint's folder",
    "no/such/folder": "but there is none of that name",
    "zero\0byte": "zero\\x00byte: expected a checkpoint's folder",
}


@pytest.mark.parametrize("name", NO_CHECKPOINTS)
def test_what_is_no_checkpoint_names_the_one_that_was_meant(run: Path, name: str) -> None:
    with pytest.raises(DataError) as failure:
        refuse_no_checkpoint(run / name)
    assert NO_CHECKPOINTS[name].format(run=run) in str(failure.value)


def test_checkpoints_are_let_through(run: Path) -> None:
    refuse_no_checkpoint(run / "iter_9")
    refuse_no_checkpoint(run / "best_model")  # `resume` says what it lacks


def test_an_address_is_no_checkpoint() -> None:
    with pytest.raises(UsageError, match=r"--opts model\.pretrained=https://host/iter_9"):
        refuse_no_checkpoint("https://host/iter_9")


SCORES = [
    *('{"pq": 1e300}', '{"pq": -0.1}', '{"pq": 1e999}', '{"pq": NaN}', '{"pq": "0.5"}'),
    *('{"pq": true}', '{"pq": [1]}', "[]", "{}", "3", '{"pq": 1' + "0" * 400 + "}"),
    '{"pq": 0.5, "more": "' + "x" * (2 << 20) + '"}',
]


@pytest.mark.parametrize("content", SCORES)
def test_a_score_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "score.json").write_text(content)
    with pytest.raises(DataError, match=r"score\.json: .*remove it to go on"):
        read_score(tmp_path)


@pytest.mark.parametrize(("content", "pq"), [('{"pq": 0.5}', 0.5), ('{"pq": null}', -np.inf)])
def test_a_score(tmp_path: Path, content: str, pq: float) -> None:
    (tmp_path / "score.json").write_text(content)
    assert read_score(tmp_path) == pq
