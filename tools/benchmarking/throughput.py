"""Images a second from a folder of images to files of results, and what the time goes to."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from benchmarking.comparison import Result, spread
from benchmarking.loader import ROOT, train
from benchmarking.processes import Runner
from benchmarking.targets import make_training_scenes
from panoptic_deeplab.errors import UserError

SIZE, QUICK_SIZE = (1024, 2048), (64, 128)
SUFFIXES = (".png", ".jpg")
RANKS = 2


def comparisons(folder: Path, quick: bool) -> Iterable[Throughput]:
    """The demo's network, hardly trained, on PNGs and JPEGs: one process, and two."""
    size, count = (QUICK_SIZE, 4) if quick else (SIZE, 8)
    scenes = make_training_scenes(folder / "scenes", size, count, 1 if quick else 2)
    train(make_training_scenes(folder / "small", QUICK_SIZE, 2, 1), folder / "run", 1, 1)
    for suffix in SUFFIXES:
        images = folder / suffix[1:]
        copy_images(scenes, images, suffix)
        words = ["--model_path", folder / "run" / "iter_1", "--image_path", images]
        for ranks in (1, RANKS):
            name = f"{suffix[1:].upper()}, {ranks} process{'es' * (ranks > 1)}"
            yield Throughput(name, words, folder / "out", ranks)


def copy_images(scenes: Path, target: Path, suffix: str) -> None:
    """Write the scenes' images into one folder, as files of one kind."""
    target.mkdir()
    for path in sorted((scenes / "leftImg8bit").rglob("*.png")):
        with Image.open(path) as image:
            image.save(target / path.with_suffix(suffix).name)


class Times(NamedTuple):
    """What a prediction tells of itself.

    Attributes:
        images: a second, of all processes.
        computing: seconds in which the model computed for an image, in the first process.
        steps: the seconds of all steps for an image, as text.
    """

    images: float
    computing: float
    steps: str


@dataclass(frozen=True)
class Throughput:
    """Predictions into a folder, of processes that share the images.

    Attributes:
        name: of what is done.
        words: of the command.
        save_dir: the folder.
        ranks: number of processes.
    """

    name: str
    words: Sequence[object]
    save_dir: Path
    ranks: int

    def run(self, repeats: int, runner: type[Runner]) -> Result:
        """Predict `repeats` times; starting and loading the model do not count."""
        times = [self.predict() for _ in range(repeats)]
        whole = [1 / one.images for one in times]
        computing = [one.computing / self.ranks for one in times]
        rate = statistics.median(one.images for one in times)
        return Result(
            name=self.name,
            seconds=statistics.median(whole),
            baseline_seconds=statistics.median(computing),
            baseline_name="the model's part of it",
            spread=spread(whole),
            baseline_spread=spread(computing),
            repeats=len(times),
            note=f"{rate:.3g} images a second; for each: {times[-1].steps}",
        )

    def predict(self) -> Times:
        """Predict into an empty folder, with logs of this prediction alone.

        Raises:
            UserError: that failed.
        """
        logs = self.save_dir.with_name("logs")
        for folder in (self.save_dir, logs):
            shutil.rmtree(folder, ignore_errors=True)
        launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", self.ranks]
        launch += ["--log_dir", logs]
        words = [sys.executable, *(launch if self.ranks > 1 else []), "predict.py"]
        words += [*self.words, "--save_dir", self.save_dir, "--device", "cpu"]
        done = subprocess.run(list(map(str, words)), cwd=ROOT, capture_output=True, text=True)
        said = (logs / "workerlog.0").read_text() if self.ranks > 1 else done.stdout + done.stderr
        if done.returncode:
            raise UserError(f"the prediction to be measured failed: {said[-500:]}")
        return read_times(said, len(list(Path(self.words[-1]).iterdir())))


def read_times(said: str, count: int) -> Times:
    """Find the times in the last lines of a prediction of so many images.

    >>> read_times("4 images in 8.0 s; for each: reading 0.1 s\\nnetwork: busy for 75% of the", 8)
    Times(images=1.0, computing=1.5, steps='reading 0.1 s')
    """
    own, seconds, steps = re.search(r"(\d+) images in ([\d.]+) s; for each: (.*)", said).groups()
    busy = int(re.search(r": busy for (\d+)% of the", said)[1]) / 100
    return Times(count / float(seconds), busy * float(seconds) / int(own), steps)
