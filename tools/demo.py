"""From nothing to panoptic images on a CPU: scenes, training, evaluation, prediction.

Everything goes to one folder: metrics.json, panoptic.png (a sheet of images), prediction/ (the
results of each validation scene), model/ (the checkpoint), scenes/.
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
CONFIG = "configs/demo/panoptic_deeplab_lite_scenes.yml"
SEED = 2026  # of the scenes: none that anything was chosen on
SHOWN = 4


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
    parser.add_argument(
        "--processes", type=int, default=2, help="training processes (default: %(default)s)"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--iters", type=positive, help="steps (default: as the configuration says)")
    length.add_argument(
        "--train_seconds", type=positive, metavar="S", help="train for about S seconds of steps"
    )
    parser.add_argument("--only_scenes", action="store_true", help="make the scenes and stop")
    add_debug_argument(parser)
    return run(demo, parser.parse_args(argv))


def demo(arguments: argparse.Namespace) -> None:
    """Run the five steps, each by the command that a user would type."""
    output, start = arguments.save_dir.resolve(), time.monotonic()
    scenes, training = output / "scenes", output / "training"
    make_scenes(scenes)
    if arguments.only_scenes:
        return
    for old in (training, output / "prediction", output / "model"):
        shutil.rmtree(old, ignore_errors=True)
    data = [f"train_dataset.dataset_root={scenes}", f"val_dataset.dataset_root={scenes}"]

    step(f"2/5 training on {arguments.processes} processes, no pretrained weights")
    launcher = ["-m", "paddle.distributed.launch", "--log_level", "WARNING"]
    launcher += ["--nproc_per_node", arguments.processes, "--log_dir", training / "logs"]
    lengths = {"--iters": arguments.iters, "--train_seconds": arguments.train_seconds}
    length = [word for flag, value in lengths.items() if value for word in (flag, value)]
    options = ["--config", CONFIG, "--device", "cpu", "--save_dir", training, "--log_iters", 20]
    options += ["--save_interval", 1_000_000, "--keep_checkpoint_max", 1, *length]
    call(*launcher, "train.py", *options, "--opts", *data)
    (checkpoint,) = training.glob("iter_*")
    checkpoint.rename(output / "model")

    step("3/5 evaluation on the held-out scenes")
    command = ["-m", "panoptic_deeplab"]
    trained = ["--device", "cpu", "--model_path", output / "model"]
    metrics = output / "metrics.json"
    call(*command, "val", *trained, "--num_workers", 1, "--json", metrics)

    step("4/5 prediction")
    images, predicted = scenes / "leftImg8bit" / "val", output / "prediction"
    call(*command, "predict", *trained, "--image_path", images, "--save_dir", predicted)

    step("5/5 a sheet of images")
    sheet = output / "panoptic.png"
    draw_sheet(scenes, predicted, sheet)
    tell(output, metrics, sheet, time.monotonic() - start)


def make_scenes(folder: Path) -> None:
    """Make the scenes to train and evaluate on, unless they are there."""
    step("1/5 street scenes: 400 to learn from, 50 held out")
    if not folder.exists():
        numbers = ["--train", 400, "--val", 50, "--seed", SEED]
        call("tools/make_scenes.py", "--output", folder, *numbers)


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


def tell(output: Path, metrics: Path, sheet: Path, seconds: float) -> None:
    """Print where everything is."""
    results = json.loads(metrics.read_text())
    groups = ", ".join(
        f"{group} {100 * results[group]['pq']:.1f}"
        for group in results
        if group in ("All", "Things", "Stuff")
    )
    print(f"\nDone in {seconds / 60:.1f} minutes. PQ on scenes it has never seen: {groups}")
    print(f"  the table       {metrics}")
    print(f"  images          {sheet}")
    print(f"  each scene      {output / 'prediction' / 'panoptic'}")
    print(f"  the model       {output / 'model'}")
    print("Predict images of your own:")
    print(
        f"  .venv/bin/panoptic-deeplab predict --model_path {output / 'model'} "
        "--image_path IMAGE_OR_FOLDER --save_dir output/mine"
    )


if __name__ == "__main__":
    sys.exit(main())
