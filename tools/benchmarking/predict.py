"""Prediction as a user runs it, by runtime: an image to its map, and commands from start to end.

An image to its map is measured with a network that is compiled already, against Paddle and against
the plain reference, which must give the same ids. Commands are fresh processes, so that importing
and loading count: `predict.py` on 1, 5 and 50 image files, to files on the disk, and `val.py` on 50
scenes; with nothing compiled before (first), and with all (later).
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarking.comparison import PATIENCE, Comparison, Entry, Implementation, Result, spread
from benchmarking.export import prepare_dygraph, same_ids
from benchmarking.exported import ROOT, checkpoint, for_one_size, installed_runtimes, sample_image
from benchmarking.processes import Call, Runner
from benchmarking.train_step import CONFIGS, OWN_CHOICE, QUICK, RESNET, Recipe
from panoptic_deeplab.errors import UserError
from panoptic_deeplab.weights.download import CACHE_VARIABLE

SMALL = "panoptic_deeplab_lite_scenes"
SCENE, QUICK_SCENE = (256, 512), (64, 128)
COUNTS, QUICK_COUNTS = (1, 5, 50), (1, 2)
FEW = 5
GOAL, GOAL_OF_PLAIN, GOAL_OF_VAL, NOT_SLOWER = 2.7, 7.5, 2.0, 0.95
BASELINE = "--runtime paddle"
NO_CHOICE = {"OMP_NUM_THREADS": ""}
"""Of threads, by the user: as many as each runtime takes by itself."""
OF_A_USER = NO_CHOICE | {"PYTHONDONTWRITEBYTECODE": ""}
"""Python keeps what it compiled, as it does for those who set nothing."""


def comparisons(folder: Path, quick: bool) -> Iterable[Entry]:
    """ResNet-50 at 1025x513 and the small network that travels with the package."""
    recipe = for_one_size(QUICK if quick else RESNET)
    weights = checkpoint(recipe, folder)
    yield from _images_to_maps(recipe, weights, folder / "cache")
    yield from _commands(recipe, weights, folder, quick)


def _images_to_maps(recipe: Recipe, weights: Path, cache: Path) -> Iterable[Comparison]:
    """One image by the runtime that `auto` takes and by the others, against Paddle and plain."""
    height, width = recipe.crop
    first, *others = installed_runtimes()
    in_cache = NO_CHOICE | {CACHE_VARIABLE: str(cache)}
    paddle = Implementation(partial(prepare_predictor, recipe, weights, "paddle"), NO_CHOICE)
    plain = Implementation(partial(prepare_dygraph, recipe, weights), OWN_CHOICE | NO_CHOICE)
    by_runtime = {
        name: Implementation(partial(prepare_predictor, recipe, weights, name), in_cache)
        for name in (first, *others)
    }
    note = f"image {width}x{height}, random weights, compiled before"
    for name, ours in by_runtime.items():
        yield Comparison(
            f"image to map, {name}", ours, paddle, BASELINE, GOAL, check=same_ids, note=note
        )
    yield Comparison(
        f"image to map, {first}",
        by_runtime[first],
        plain,
        "dygraph, plain grouping",
        GOAL_OF_PLAIN,
        check=same_ids,
    )


def prepare_predictor(recipe: Recipe, weights: Path, runtime: str) -> Call:
    """The ids by a predictor as `predict.py` loads it, its network compiled."""
    from panoptic_deeplab.inference.loading import load_predictor
    from panoptic_deeplab.inference.location import locate_model
    from panoptic_deeplab.inference.options import LoadOptions

    files = locate_model(weights, CONFIGS / recipe.config)
    predictor = load_predictor(files, LoadOptions("cpu", recipe.changes, runtime=runtime))
    image = sample_image(recipe)
    predictor.predict([image])  # compiles
    return lambda: predictor.predict([image])[0].ids


def _commands(recipe: Recipe, weights: Path, folder: Path, quick: bool) -> Iterable[Command]:
    """predict.py and val.py, with nothing compiled before and with all."""
    counts = QUICK_COUNTS if quick else COUNTS
    scenes = _scenes(folder / "scenes", QUICK_SCENE if quick else SCENE, max(counts))
    images = sorted((scenes / "leftImg8bit" / "val").rglob("*.png"))
    command = partial(Command, cache=folder / "cache", save_dir=folder / "out")
    for count in counts:
        words = ["predict.py", "--model_path", SMALL, "--image_path"]
        words += [_list_of(images[:count], folder / f"{count}.txt")]
        name = f"small: {count} image{'s' * (count > 1)}"
        yield command(f"{name}, first", words, starts_empty=True, goal=NOT_SLOWER)
        yield command(f"{name}, later", words, goal=NOT_SLOWER)
    words = ["val.py", "--model_path", SMALL, "--opts", f"val_dataset.dataset_root={scenes}"]
    name = f"small: val, {max(counts)} scenes"
    yield command(f"{name}, first", words, starts_empty=True, goal=NOT_SLOWER)
    yield command(f"{name}, later", words, goal=GOAL_OF_VAL)
    height, width = recipe.crop
    large = _images_of_size(folder / "large", images[:FEW], (width, height))
    words = ["predict.py", "--config", CONFIGS / recipe.config, "--model_path", weights]
    words += ["--image_path", large, "--opts", *recipe.changes]
    name = f"ResNet-50: {len(images[:FEW])} images"
    yield command(f"{name}, first", words, starts_empty=True, goal=NOT_SLOWER)
    yield command(f"{name}, later", words, goal=NOT_SLOWER)


def _scenes(root: Path, size: tuple[int, int], count: int) -> Path:
    from make_scenes import make_scenes

    make_scenes(root, {"train": 1, "val": count}, size, seed=1, workers=1)
    return root


def _list_of(images: Sequence[Path], path: Path) -> Path:
    path.write_text("".join(f"{image}\n" for image in images), "utf-8")
    return path


def _images_of_size(target: Path, images: Sequence[Path], size: tuple[int, int]) -> Path:
    """Copies of images, of a size (width, height), in a folder."""
    from PIL import Image

    target.mkdir()
    for path in images:
        with Image.open(path) as image:
            image.resize(size).save(target / path.name)
    return target


@dataclass(frozen=True)
class Command:
    """A command by the runtime that it chooses, against the same one by Paddle alone.

    Attributes:
        name: of what is done.
        words: of the command.
        cache: where compiled networks are kept.
        save_dir: where a prediction goes.
        starts_empty: whether nothing is compiled before.
        goal: target speedup.
    """

    name: str
    words: Sequence[object]
    cache: Path
    save_dir: Path
    starts_empty: bool = False
    goal: float | None = None

    def run(self, repeats: int, runner: type[Runner]) -> Result:
        """Run both alternately, up to `repeats` times each."""
        if not self.starts_empty:
            self._seconds(installed_runtimes()[0])  # compiles
        start, rounds = time.monotonic(), []
        while len(rounds) < repeats and time.monotonic() - start < PATIENCE:
            if self.starts_empty:
                shutil.rmtree(self.cache, ignore_errors=True)
            rounds.append((self._seconds("auto"), self._seconds("paddle")))
        ours, paddle = zip(*rounds, strict=True)
        return Result(
            name=self.name,
            seconds=statistics.median(ours),
            baseline_seconds=statistics.median(paddle),
            baseline_name=BASELINE,
            spread=spread(ours),
            baseline_spread=spread(paddle),
            repeats=len(rounds),
            goal=self.goal,
            note="a fresh process each time; starting counts",
        )

    def _seconds(self, runtime: str) -> float:
        """Run the command into an empty folder; raises UserError where it fails."""
        shutil.rmtree(self.save_dir, ignore_errors=True)
        script, *words = self.words
        added = ["--runtime", runtime, "--device", "cpu"]
        added += ["--save_dir", self.save_dir] if script == "predict.py" else []
        start = time.perf_counter()
        done = subprocess.run(
            list(map(str, [sys.executable, script, *added, *words])),
            cwd=ROOT,
            env=os.environ | OF_A_USER | {CACHE_VARIABLE: str(self.cache)},
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            raise UserError(f"the command to be measured failed: {done.stderr[-500:]}")
        return seconds
