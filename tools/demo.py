"""From nothing to panoptic images on a CPU: scenes, evaluation, prediction; training if asked for.

The small network that travels with the package is shown 50 scenes that it has never seen. With
--train_seconds or --iters another of its kind is trained first, on 400 more scenes, from nothing.

Everything goes to one folder: metrics.json, panoptic.png (a sheet of images), prediction/ (the
results of each held-out scene, and the page html/index.html), model/ (of a training), scenes/.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.cli.parser import positive
from panoptic_deeplab.errors import DataError

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parents[1]
NAME = "panoptic_deeplab_lite_scenes"
"""Of the configuration, and in the zoo of the weights."""
SEED = 2026  # of the scenes: none that anything was chosen on
SHOWN = 4
VERB = ("-m", "panoptic_deeplab")


def main(argv: list[str] | None = None) -> int:
    """Run the demo and return the exit code."""
    parser = script_parser(__doc__, "python tools/demo.py --save_dir output/demo")
    parser.former_names["--output"] = "--save_dir"
    parser.add_argument(
        "--save_dir",
        type=Path,
        default=ROOT / "output" / "demo",
        help="where everything goes (default: output/demo)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--iters", type=positive, help="train from nothing, so many steps")
    length.add_argument(
        "--train_seconds",
        type=positive,
        metavar="S",
        help="train from nothing, for about S seconds of steps",
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="of the training (default: %(default)s)"
    )
    add_debug_argument(parser)
    return run(demo, parser.parse_args(argv))


def demo(arguments: argparse.Namespace) -> None:
    """Run the steps, each by the command that a user would type."""
    output, start = arguments.save_dir.resolve(), time.monotonic()
    scenes = output / "scenes"
    lengths = {"--iters": arguments.iters, "--train_seconds": arguments.train_seconds}
    length = [word for flag, value in lengths.items() if value for word in (flag, value)]
    make_scenes(scenes, 400 if length else 0)
    model = train(scenes, output, arguments.processes, length) if length else NAME
    metrics = evaluate(scenes, model, output)
    predicted = predict(scenes, model, output)
    sheet = output / "panoptic.png"
    draw_sheet(scenes, predicted, sheet)
    tell(metrics, sheet, predicted, model, time.monotonic() - start)


def make_scenes(folder: Path, to_learn_from: int) -> None:
    """Make the scenes, unless they are there."""
    step("50 street scenes that no network has seen" + (to_learn_from > 0) * ", 400 to learn from")
    needed = folder / "leftImg8bit" / ("train" if to_learn_from else "val")
    if not needed.is_dir():
        numbers = ["--train", to_learn_from, "--val", 50, "--seed", SEED]
        call("tools/make_scenes.py", "--output", folder, *numbers, "--overwrite")


def train(scenes: Path, output: Path, processes: int, length: list[object]) -> Path:
    """Train from nothing; return the checkpoint."""
    step(f"training on {processes} processes, no pretrained weights")
    training, model = output / "training", output / "model"
    for old in (training, model):
        shutil.rmtree(old, ignore_errors=True)
    launcher = ["-m", "paddle.distributed.launch", "--log_level", "WARNING"]
    launcher += ["--nproc_per_node", processes, "--log_dir", training / "logs"]
    options = ["--config", NAME, "--device", "cpu", "--save_dir", training, "--log_iters", 20]
    options += ["--save_interval", 1_000_000, "--keep_checkpoint_max", 1, *length]
    call(*launcher, "train.py", *options, "--opts", *data(scenes, "train", "val"))
    (checkpoint,) = training.glob("iter_*")
    return checkpoint.rename(model)


def evaluate(scenes: Path, model: str | Path, output: Path) -> Path:
    """Score the held-out scenes; return the file of the scores."""
    step("evaluation: each of them beside its ground truth")
    metrics = output / "metrics.json"
    words = ["--device", "cpu", "--model_path", model, "--num_workers", 1, "--json", metrics]
    call(*VERB, "val", *words, "--opts", *data(scenes, "val"))
    return metrics


def predict(scenes: Path, model: str | Path, output: Path) -> Path:
    """Predict them into images and a page; return the folder."""
    step("prediction: images, and a page for the browser")
    folder = output / "prediction"
    shutil.rmtree(folder, ignore_errors=True)
    truth = scenes / "gtFine" / "cityscapes_panoptic_val_trainId.json"
    words = ["--device", "cpu", "--model_path", model, "--format", "images", "html"]
    words += ["--image_path", scenes / "leftImg8bit" / "val", "--ground_truth", truth]
    call(*VERB, "predict", *words, "--save_dir", folder)
    return folder


def data(scenes: Path, *splits: str) -> list[str]:
    """Changes to the configuration that let data sets lie in a folder."""
    return [f"{split}_dataset.dataset_root={scenes}" for split in splits]


def step(title: str) -> None:
    """Print a heading."""
    print(f"\n=== {title}", flush=True)


def call(*command: object) -> None:
    """Run a Python command of this clone; end the demo if it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, *map(str, command)]
    finished = subprocess.run(words, cwd=ROOT, env=environment, check=False)
    if finished.returncode:
        shown = " ".join(["python", *map(str, command)])
        raise DataError(f"this command ended with exit code {finished.returncode}: {shown}")


def draw_sheet(scenes: Path, predicted: Path, path: Path) -> None:
    """Draw some validation scenes beside their predictions and their ground truth."""
    step("a sheet of images")
    import cv2
    import numpy as np

    from panoptic_deeplab.datasets import CityscapesPanoptic
    from panoptic_deeplab.formats.images import read_image, write_image
    from panoptic_deeplab.visualization import draw_panoptic, side_by_side

    dataset = CityscapesPanoptic(str(scenes), "val")
    rows = []
    for index in range(len(dataset))[:: max(1, len(dataset) // SHOWN)][:SHOWN]:
        record = dataset.records[index]
        name = record.image_path.relative_to(scenes / "leftImg8bit" / "val").with_suffix("")
        overlay = read_image(predicted / "panoptic" / f"{name}_overlay.png")
        scene = read_image(record.image_path)
        truth = draw_panoptic(scene, dataset.truth(index), dataset.info)
        factor = overlay.shape[1] / scene.shape[1]
        panels = [cv2.resize(scene, None, fx=factor, fy=factor), overlay, truth]
        height = max(panel.shape[0] for panel in panels)
        rows.append([extend(panel, height) for panel in panels])
    titles = ["scene", "prediction", "ground truth"]
    write_image(path, np.concatenate([side_by_side(row, titles) for row in rows]))


def extend(panel: np.ndarray, height: int) -> np.ndarray:
    """Add white below a panel, up to `height`."""
    import numpy as np

    below = height - panel.shape[0]
    return np.pad(panel, ((0, below), (0, 0), (0, 0)), constant_values=255)


def tell(metrics: Path, sheet: Path, predicted: Path, model: str | Path, seconds: float) -> None:
    """Print the score, where everything is, and what to do next."""
    results = json.loads(metrics.read_text())
    groups = ", ".join(
        f"{group} {100 * results[group]['pq']:.1f}"
        for group in results
        if group in ("All", "Things", "Stuff")
    )
    print(f"\nDone in {seconds / 60:.1f} minutes. PQ on scenes it has never seen: {groups}")
    print(f"  the table       {metrics}")
    print(f"  images          {sheet}")
    print(f"  a page          {predicted / 'html' / 'index.html'} (open it in a browser)")
    print(f"  each scene      {predicted / 'panoptic'}")
    print("Predict images of your own:")
    print(
        f"  .venv/bin/panoptic-deeplab predict --model_path {model} --image_path IMAGE_OR_FOLDER "
        "--save_dir output/mine"
    )


if __name__ == "__main__":
    sys.exit(main())
