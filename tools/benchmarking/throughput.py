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
COMPILED = ("--runtime", "onnxruntime", "--max_frames", 1)
"""Flags of a prediction that leaves the compiled network to those that are measured."""

ALONE = ()
LAUNCHER = ("-m", "paddle.distributed.launch", "--nproc_per_node", 2)
RAY = ("--engine", "ray", "--actors", 2)
WAYS = {
    "1 process": (ALONE, ()),
    "2 processes": (LAUNCHER, ()),
    "2 Ray actors": (ALONE, RAY),
}
"""What starts a prediction, and its flags, by name."""


def comparisons(folder: Path, quick: bool) -> Iterable[Throughput]:
    """The demo's network, hardly trained, on PNGs and JPEGs."""
    size, count = (QUICK_SIZE, 4) if quick else (SIZE, 8)
    scenes = make_training_scenes(folder / "scenes", size, count, 1 if quick else 2)
    train(make_training_scenes(folder / "small", QUICK_SIZE, 2, 1), folder / "run", 1, 1)
    words = ["--model_path", folder / "run" / "iter_1", "--device", "cpu"]
    for suffix in SUFFIXES:
        images = folder / suffix[1:]
        copy_images(scenes, images, suffix)
        if suffix == SUFFIXES[0] and not quick:
            Throughput("", ALONE, [*words, *COMPILED], images).predict()
        for name, (launcher, flags) in WAYS.items():
            yield Throughput(f"{suffix[1:].upper()}, {name}", launcher, [*words, *flags], images)


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
        busy: part of the time in which the model computed: of the first process, or of all actors.
        steps: the seconds of all steps for an image, as text.
    """

    images: float
    busy: float
    steps: str


@dataclass(frozen=True)
class Throughput:
    """Predictions of a folder of images into another folder.

    Attributes:
        name: of what is done.
        launcher: what starts the processes, where there are several.
        words: of the command.
        images: the folder.
    """

    name: str
    launcher: Sequence[object]
    words: Sequence[object]
    images: Path

    def run(self, repeats: int, runner: type[Runner]) -> Result:
        """Predict `repeats` times; starting and loading the model do not count."""
        times = [self.predict() for _ in range(repeats)]
        whole = [1 / one.images for one in times]
        computing = [one.busy / one.images for one in times]
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
        logs, save_dir = (self.images.with_name(name) for name in ("logs", "out"))
        for folder in (logs, save_dir):
            shutil.rmtree(folder, ignore_errors=True)
        start = [*self.launcher, "--log_dir", logs] if self.launcher else []
        words = [*self.words, "--image_path", self.images, "--save_dir", save_dir]
        command = [sys.executable, *start, "predict.py", *words]
        done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
        said = (logs / "workerlog.0").read_text() if self.launcher else done.stdout + done.stderr
        if done.returncode:
            raise UserError(f"the prediction to be measured failed: {said[-500:]}")
        return read_times(said, len(list(self.images.iterdir())))


def read_times(said: str, count: int) -> Times:
    """Find the times in the last lines of a prediction of so many images.

    >>> said = "4 images in 8.0 s; for each: reading 0.1 s\\nnetwork: busy for 75% of the time"
    >>> read_times(said, 8)
    Times(images=1.0, busy=0.75, steps='reading 0.1 s')
    """
    seconds, steps = re.search(r"\d+ images in ([\d.]+) s; for each: (.*)", said).groups()
    busy = int(re.search(r": busy for (\d+)% of the", said)[1]) / 100
    return Times(count / float(seconds), busy, steps)
