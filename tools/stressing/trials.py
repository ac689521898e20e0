"""Commands that are killed or run out of disk space, and what they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from panoptic_deeplab.errors import UsageError
from stressing.lists import truthful_list
from stressing.processes import digest, names_of
from stressing.world import CONFIG, IMAGES, World


@dataclass(frozen=True)
class Trial:
    """A command that is killed.

    Attributes:
        words: of the command.
        results: what it makes; each is whole or absent at any moment.
        folder: where it writes.
        state: what is equal of two whole results; None where there is none, or only a part that
            is true as far as it goes.
    """

    words: Sequence[object]
    results: Sequence[Path]
    folder: Path
    state: Callable[[Path], object] = digest


def trials(world: World, folder: Path) -> dict[str, Trial]:
    """Return the commands by name."""
    bdd, coco, city, out = (folder / name for name in ("bdd", "coco", "city", "export"))
    scores = folder / "scores.json"
    again = ["--overwrite", "--num_workers", 2]
    json = ["--json", world.annotations]
    splits = ["--dataset_root", world.scenes, "--splits", "train"]
    prepared = city / "gtFine" / "cityscapes_panoptic_train_trainId.json"
    return {
        "convert to-bdd100k": Trial(
            ["convert", "to-bdd100k", *json, "--save_dir", bdd, "--name", "train", *again],
            [bdd / world.bitmasks.relative_to(world.bitmasks.parents[3])],
            bdd,
        ),
        "convert from-bdd100k": Trial(
            ["convert", "from-bdd100k", "--folder", world.bitmasks, "--save_dir", coco, *again],
            [coco / "train", coco / "train.json"],
            coco,
        ),
        "convert prepare-cityscapes": Trial(
            ["convert", "prepare-cityscapes", *splits, "--save_dir", city, *again],
            [prepared.with_suffix(""), prepared],
            city,
        ),
        "export": Trial(
            ["export", "--model_path", world.model, "--save_dir", out, "--repeats", 1],
            [out],
            folder,
            names_of,  # the description tells measured times
        ),
        "evaluate": Trial(
            ["evaluate", "panoptic", world.annotations, world.annotations, "--json", scores],
            [scores],
            folder,
        ),
    }


def writing_trials(world: World, folder: Path) -> dict[str, Trial]:
    """Return the commands that write while they work, by name."""
    training, results = folder / "training", folder / "predicted"
    train = ["train", "--config", CONFIG, "--device", "cpu", "--save_dir", training, "--do_eval"]
    train += ["--resume_model", "auto", "--iters", 3, "--save_interval", 1, "--opts"]
    predict = ["predict", "--model_path", world.model, "--image_path", world.images]
    predict += ["--save_dir", results, "--device", "cpu", "--format", "images", "coco", "csv"]
    check = ["check", "--config", CONFIG, "--save_dir", folder / "checked"]
    check += ["--json", folder / "check.json"]
    return {
        "train": Trial(
            [*train, *world.data_options], [training / "best_model"], training, names_of
        ),
        "predict": Trial(
            predict,
            [results / "panoptic.json", results / "coco" / "panoptic.json"],
            results,
            complete_list,
        ),
        "val": Trial(
            ["val", "--model_path", world.model, "--device", "cpu", "--json", folder / "val.json"],
            [folder / "val.json"],
            folder,
        ),
        "check": Trial(
            [*check, "--opts", *world.data_options],
            [folder / "check.json", folder / "checked" / "samples.jpg"],
            folder,
        ),
    }


def complete_list(path: Path) -> list[str] | None:
    """Return what a list of predictions names; None while it names only some of the images.

    Raises:
        DataError: an entry contradicts its PNG.
    """
    names = truthful_list(path)
    return names if names is not None and len(names) == IMAGES else None


def chosen(table: dict[str, Trial], name: str | None) -> dict[str, Trial]:
    """Return the command of that name, or all for None.

    Raises:
        UsageError: there is none.
    """
    if name is not None and name not in table:
        raise UsageError(f"--command must be one of {', '.join(table)}, got {name!r}")
    return table if name is None else {name: table[name]}
