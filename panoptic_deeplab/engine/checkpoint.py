"""Checkpoints of a training: folders that are written atomically.

`iter_N/` holds `model.pdparams` (as Paddle saves it), `model.pdopt` (optimizer, schedule, loss
scale, position), `dataset_info.json` and `config.yml`, and with a weight average
`model_ema.pdparams`; `best_model/` holds the best model, with what evaluation and prediction need.
Once a checkpoint has been evaluated, `score.json` holds its PQ. Other files in these folders are
not touched.
"""

from __future__ import annotations

import logging
import math
import pickle
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from panoptic_deeplab.engine.averaging import WeightAverage
from panoptic_deeplab.engine.optimizer_state import check_like, plain, restore_slots, slots_of
from panoptic_deeplab.engine.precision import Precision, single_precision_weights
from panoptic_deeplab.errors import DataError, UsageError, reason_of
from panoptic_deeplab.files import (
    clear_remains,
    read_json,
    remove_folder,
    replacing_folder,
    usable_folder,
    write_json,
)
from panoptic_deeplab.folder_lock import claimed
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.weights import (
    INFO_FILE,
    load_weights,
    read_pickle,
    read_weights,
    refuse_not_finite,
)
from panoptic_deeplab.yaml_files import InvalidYamlError, parse_yaml, read_yaml

_log = logging.getLogger(__name__)

BEST_FOLDER = "best_model"
SCORE_FILE = "score.json"
AVERAGE_FILE = "model_ema.pdparams"
RUN_FILE = "run.json"
_STATE_FILE = "model.pdopt"
_MAX_ITERATIONS = 1 << 40
_MAX_SCORE_BYTES = 1 << 20
MODEL_FILES = {"model.pdparams", INFO_FILE, "config.yml"}
"""What `write_model` writes."""
_OWN_FILES = {*MODEL_FILES, _STATE_FILE, AVERAGE_FILE, SCORE_FILE}
_ITERATION_FOLDER = re.compile(r"iter_(\d+)")


@dataclass(frozen=True)
class Position:
    """Progress of a training.

    Attributes:
        iteration: completed steps.
        seed: of all random draws.
        effective_batch_size: over all processes, with accumulation.
    """

    iteration: int = 0
    seed: int = 0
    effective_batch_size: int = 0


@dataclass(frozen=True)
class TrainingState:
    """All that changes while a training runs, except the position."""

    model: nn.Layer
    optimizer: paddle.optimizer.Optimizer
    precision: Precision
    average: WeightAverage | None = None

    def weights(self) -> dict[str, paddle.Tensor]:
        """Return the model's state dict in float32."""
        return single_precision_weights(self.model, self.optimizer)

    def evaluated_weights(self) -> dict[str, paddle.Tensor]:
        """Return what is evaluated, in float32: the average, where one is kept."""
        return self.weights() if self.average is None else self.average.values


def save_best(
    folder: str | Path,
    weights: dict[str, paddle.Tensor],
    info: DatasetInfo,
    config_yaml: str,
    pq: float,
) -> None:
    """Write what evaluation, prediction and export need, and the score, as `folder`."""
    with replacing_folder(folder, _OWN_FILES) as temporary:
        write_model(temporary, weights, info, config_yaml)
        write_score(temporary, pq)


def write_score(folder: Path, pq: float) -> None:
    """Note the PQ of an evaluated checkpoint in it, if it is still there."""
    if folder.is_dir():
        write_json(folder / SCORE_FILE, {"pq": pq})


def read_score(folder: str | Path) -> float | None:
    """Return the PQ of an evaluated checkpoint, -inf where it is undefined; None without one.

    Raises:
        DataError: the file holds something else.
    """
    path = Path(folder) / SCORE_FILE
    if not path.exists():
        return None
    content = read_json(path) if path.stat().st_size <= _MAX_SCORE_BYTES else None
    pq = content.get("pq", math.nan) if isinstance(content, dict) else math.nan
    if pq is None:
        return -math.inf
    if type(pq) not in (int, float) or not 0 <= pq <= 1:
        raise DataError(f"{path}: expected {{'pq': a number in 0..1}}; remove it to go on")
    return float(pq)


def save_checkpoint(
    folder: str | Path,
    state: TrainingState,
    position: Position,
    info: DatasetInfo,
    config_yaml: str,
) -> None:
    """Write a checkpoint that training can resume from, replacing `folder`."""
    with replacing_folder(folder, _OWN_FILES) as temporary:
        write_model(temporary, state.weights(), info, config_yaml)
        content = {
            "position": asdict(position),
            "lr_scheduler": state.optimizer.state_dict().get("LR_Scheduler", {}),
            "loss_scale": plain(state.precision.scaler.state_dict()),
            "optimizer": slots_of(state.optimizer, state.model),
        }
        if state.average is not None:
            with open(temporary / AVERAGE_FILE, "wb") as file:
                pickle.dump(state.average.state(), file, protocol=4)
        with open(temporary / _STATE_FILE, "wb") as file:
            pickle.dump(content, file, protocol=4)


def resume(folder: str | Path, state: TrainingState) -> Position:
    """Load a checkpoint into the running state and return its position.

    Raises:
        DataError: a file is missing, damaged or of another network or optimizer.
    """
    folder = Path(folder)
    refuse_no_checkpoint(folder)
    path = folder / _STATE_FILE
    _check_resumable(path, state)
    load_weights(state.model, folder)
    content = read_pickle(path)
    try:
        position = _restore(content, state)
    except ValueError as error:
        raise DataError(
            f"{path}: not the state of this configuration's training: {reason_of(error)}; to start "
            f"from the weights alone: --opts model.pretrained={folder / 'model.pdparams'}"
        ) from error
    if state.average is not None:
        _restore_average(state.average, folder / AVERAGE_FILE)
    return position


def refuse_no_checkpoint(folder: str | Path) -> None:
    """Refuse to resume from what is no checkpoint's folder, and name the one that was meant.

    Raises:
        UsageError: it is an address.
        DataError: it is missing, a file, or the folder of a run.
    """
    if "://" in str(folder):
        raise UsageError(
            f"--resume_model {folder}: expected a checkpoint's folder on this machine; to start "
            f"from weights at an address: --opts model.pretrained={folder}"
        )
    folder = Path(folder)
    run = folder if folder.is_dir() else folder.parent
    newest = latest(run)
    meant = run if (run / _STATE_FILE).exists() else newest
    hint = f"; did you mean --resume_model {meant}?" if meant else ""
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "there is none of that name"
        raise DataError(
            f"{folder}: expected a checkpoint's folder, such as output/iter_1000, to resume from, "
            f"but {found}{hint}"
        )
    if newest is not None and not (folder / _STATE_FILE).exists():
        raise DataError(f"{folder}: is the folder of a run, expected one of its checkpoints{hint}")


def _restore(content: Any, state: TrainingState) -> Position:
    """Give optimizer, schedule and loss scale their saved state; return the position."""
    parts = {"position", "lr_scheduler", "loss_scale", "optimizer"}
    if not isinstance(content, dict) or not parts <= set(content):
        raise ValueError(f"expected its {', '.join(sorted(parts))}")
    position, schedule = _position(content["position"]), content["lr_scheduler"]
    own = state.optimizer.state_dict().get("LR_Scheduler", {})
    check_like(schedule, own, "lr_scheduler")
    if state.precision.scaler.is_enable() and content["loss_scale"]:
        check_like(content["loss_scale"], state.precision.scaler.state_dict(), "loss_scale")
        state.precision.scaler.load_state_dict(content["loss_scale"])
    restore_slots(state.optimizer, state.model, content["optimizer"], schedule)
    return position


def _position(saved: Any) -> Position:
    """Read a saved position.

    Early checkpoints call the batch size `samples_a_step`, and hold the best PQ.
    """
    former = {"samples_a_step": "effective_batch_size"}
    saved = saved if isinstance(saved, dict) else {}
    named = {former.get(name, name): value for name, value in saved.items() if name != "best_pq"}
    own = asdict(Position())
    check_like(own | named if "iteration" in named else named, own, "position")
    if named["iteration"] > _MAX_ITERATIONS:
        raise ValueError(f"its position is after {named['iteration']:g} iterations")
    return Position(**named)


def _restore_average(average: WeightAverage, path: Path) -> None:
    """Load a saved weight average.

    Raises:
        DataError: it is of another network, or holds no finite numbers.
    """
    saved = read_weights(path)
    fitting = {name: tuple(value.shape) for name, value in average.values.items()}
    if {name: value.shape for name, value in saved.items()} != fitting | {"steps": ()}:
        raise DataError(f"{path}: not the average of this network's weights")
    refuse_not_finite(saved, path)
    average.set_state(saved)


def _check_resumable(path: Path, state: TrainingState) -> None:
    """Refuse a checkpoint that holds less than the running state, and say what to do instead."""
    weights = path.with_name("model.pdparams")
    anew = f"to start from its weights alone: --opts model.pretrained={weights}"
    if not path.exists() and weights.exists():
        raise DataError(
            f"{path.parent}: holds weights, but no {path.name} with the state of a training (a "
            f"best model has none); go on from an iter_N beside it, or, {anew}"
        )
    if state.average is not None and not path.with_name(AVERAGE_FILE).exists():
        raise DataError(
            f"{path.parent}: was trained without --use_ema and has no average ({AVERAGE_FILE}); "
            f"leave out --use_ema, or, {anew}"
        )


def latest(save_dir: str | Path) -> Path | None:
    """Return the newest checkpoint of a run, None without one."""
    folders = iteration_folders(save_dir)
    return folders[-1] if folders else None


@contextmanager
def claimed_run(save_dir: Path) -> Iterator[None]:
    """Hold a folder as its only training while the block runs, cleared of a killed one's remains.

    Raises:
        DataError: it cannot be written to.
        UsageError: another training runs there.
    """
    usable_folder(save_dir)
    with claimed(save_dir, "training"):
        clear_remains(save_dir)
        yield


def refuse_another_run(save_dir: str | Path, resumed: str | Path | None = None) -> None:
    """Keep a training from removing or replacing what it did not write.

    Args:
        save_dir: where it is to write.
        resumed: the checkpoint that it resumes from, which may lie elsewhere.

    Raises:
        UsageError: the folder holds checkpoints of another run, or files of no run.
    """
    save_dir = Path(save_dir)
    held = iteration_folders(save_dir)
    if resumed is not None and _is_one_of(Path(resumed), held):
        return
    if held or (save_dir / BEST_FOLDER).exists():
        raise UsageError(
            f"{save_dir}: holds checkpoints of another run; go on with it (--resume_model auto) or "
            "choose another --save_dir"
        )
    foreign = [name for name in _RUN_FILES if (save_dir / name).exists()]
    if foreign and not (save_dir / RUN_FILE).exists():
        raise UsageError(
            f"{save_dir}: holds {foreign[0]}, which a training would replace and none wrote; "
            "choose another --save_dir"
        )


def _is_one_of(folder: Path, folders: Sequence[Path]) -> bool:
    """Return whether a folder is one of several; a missing one is refused where it is read."""
    return not folder.exists() or any(folder.samefile(other) for other in folders)


_RUN_FILES = ("config.yml", "metrics.jsonl", "train.log")


def refuse_blocked(save_dir: Path, done: int) -> None:
    """Refuse to train where a file has the name of a checkpoint to come.

    Raises:
        UsageError: there is one.
    """
    blocked = [path for path in _numbered(save_dir) if not path.is_dir()]
    for path in blocked:
        if _iterations(path) > done:
            raise UsageError(f"{path}: a checkpoint is to be written here; move this file away")


def prune_checkpoints(save_dir: str | Path, keep: int, done: int) -> None:
    """Remove all but the newest `keep` checkpoints of up to `done` iterations; 0 keeps all.

    A link stays, and a checkpoint with other files in it. What cannot be removed is reported: no
    training ends for it.
    """
    folders = [path for path in iteration_folders(save_dir) if _iterations(path) <= done]
    for folder in folders[: max(len(folders) - keep, 0)] if keep > 0 else []:
        try:
            if not folder.is_symlink() and {path.name for path in folder.iterdir()} <= _OWN_FILES:
                remove_folder(folder)
        except OSError as error:
            _log.warning("%s stays, as it cannot be removed (%s)", folder, error)


def iteration_folders(save_dir: str | Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    return [path for path in _numbered(Path(save_dir)) if path.is_dir()]


def _numbered(save_dir: Path) -> list[Path]:
    named = [path for path in save_dir.glob("iter_*") if _ITERATION_FOLDER.fullmatch(path.name)]
    return sorted(named, key=_iterations)


def _iterations(folder: Path) -> int:
    return int(_ITERATION_FOLDER.fullmatch(folder.name)[1])


def changed_sections(folder: str | Path, config_yaml: str) -> list[str]:
    """Return the configuration sections in which a checkpoint differs from this run."""
    try:
        before, now = read_yaml(Path(folder) / "config.yml"), parse_yaml(config_yaml)
    except (DataError, InvalidYamlError):
        return ["configuration"]
    if not isinstance(before, dict):
        return ["configuration"]
    return sorted(str(key) for key in {*before, *now} if before.get(key) != now.get(key))


def write_model(
    folder: Path, weights: dict[str, paddle.Tensor], info: DatasetInfo, config_yaml: str
) -> None:
    """Write what evaluation, prediction and export need into a folder."""
    paddle.save(weights, str(folder / "model.pdparams"))
    write_json(folder / INFO_FILE, info.to_dict(), indent=2)
    (folder / "config.yml").write_text(config_yaml, "utf-8")
