"""Checkpoints of a training: folders that appear whole or not at all.

`iter_N/` holds `model.pdparams` (as Paddle saves it), `model.pdopt` (optimizer, schedule and
position), `dataset_info.json` and `config.yml`; `best_model/` all but the position.
"""

from __future__ import annotations

import pickle
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from panoptic_deeplab.engine.weights import load_weights, read_pickle
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json, replacing_folder, write_json
from panoptic_deeplab.structures import DatasetInfo

INFO_FILE = "dataset_info.json"
_ITERATION_FOLDER = re.compile(r"iter_(\d+)")


@dataclass(frozen=True)
class Position:
    """Where a training stands.

    Attributes:
        iteration: steps done.
        seed: of all its draws.
        best_pq: the best validation so far, -1 without one.
    """

    iteration: int = 0
    seed: int = 0
    best_pq: float = -1.0


def save_model(folder: str | Path, model: nn.Layer, info: DatasetInfo, config_yaml: str) -> None:
    """Writes all that evaluation, prediction and export need, in place of `folder`."""
    with replacing_folder(folder) as temporary:
        _write_model(temporary, model, info, config_yaml)


def save_checkpoint(
    folder: str | Path,
    model: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    position: Position,
    info: DatasetInfo,
    config_yaml: str,
) -> None:
    """Writes all that resuming needs too, in place of `folder`."""
    with replacing_folder(folder) as temporary:
        _write_model(temporary, model, info, config_yaml)
        state = optimizer.state_dict()
        content = {
            "position": asdict(position),
            "lr_scheduler": state.pop("LR_Scheduler", {}),
            "optimizer": {
                name: np.asarray(value) for name, value in _structured(state, model).items()
            },
        }
        (temporary / "model.pdopt").write_bytes(pickle.dumps(content, protocol=4))


def resume(folder: str | Path, model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> Position:
    """Loads a checkpoint into model and optimizer and says where it stands.

    Raises:
        DataError: a file is missing, damaged or of another network or optimizer.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected a checkpoint's folder, such as output/iter_1000, to resume from"
        )
    load_weights(model, folder)
    path = folder / "model.pdopt"
    content = read_pickle(path)
    try:
        position = Position(**content["position"])
        names = {name: parameter.name for name, parameter in model.named_parameters()}
        state: dict[str, Any] = {}
        for key, value in content["optimizer"].items():
            name, _, slot = key.partition("|")
            state[names[name] + slot] = paddle.to_tensor(value)
        if content["lr_scheduler"]:
            state["LR_Scheduler"] = content["lr_scheduler"]
        optimizer.set_state_dict(state)
    except (KeyError, TypeError, AttributeError, ValueError, AssertionError) as error:
        raise DataError(
            f"{path}: not the optimizer state of this configuration ({error}); start from the "
            "weights alone with --opts model.pretrained=" + str(folder / "model.pdparams")
        ) from error
    return position


def prune_checkpoints(save_dir: str | Path, keep: int) -> None:
    """Removes all but the newest `keep` iteration folders; 0 or less keeps all."""
    folders = iteration_folders(save_dir)
    for folder in folders[: max(len(folders) - keep, 0)] if keep > 0 else []:
        shutil.rmtree(folder)


def iteration_folders(save_dir: str | Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    numbered = [
        (int(match[1]), path)
        for path in Path(save_dir).glob("iter_*")
        if (match := _ITERATION_FOLDER.fullmatch(path.name))
    ]
    return [path for _, path in sorted(numbered)]


def read_info_beside(weights: str | Path) -> DatasetInfo | None:
    """The classes a checkpoint was trained for, where they lie beside its weights."""
    weights = Path(weights)
    path = (weights if weights.is_dir() else weights.parent) / INFO_FILE
    return DatasetInfo.from_dict(read_json(path), str(path)) if path.exists() else None


def _write_model(folder: Path, model: nn.Layer, info: DatasetInfo, config_yaml: str) -> None:
    paddle.save(model.state_dict(), str(folder / "model.pdparams"))
    write_json(folder / INFO_FILE, info.to_dict(), indent=2)
    (folder / "config.yml").write_text(config_yaml, "utf-8")


def _structured(state: dict[str, Any], model: nn.Layer) -> dict[str, Any]:
    """Optimizer slots by the model's own parameter names: 'head.weight|_moment1_0'.

    Paddle numbers parameters through the process (conv2d_7.w_0), which differs from run to run.
    """
    names = {parameter.name: name for name, parameter in model.named_parameters()}
    structured = {}
    for key, value in state.items():
        owner = max((n for n in names if key.startswith(n + "_")), key=len, default=None)
        if owner is not None:
            structured[f"{names[owner]}|{key[len(owner) :]}"] = value
    return structured
