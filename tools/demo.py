"""From nothing to a panoptic picture on a CPU: scenes, training, evaluation, prediction.

Everything goes to one folder: `metrics.json`, `table.txt`, `panoptic.png` (a sheet of pictures),
`prediction/` (the results of each validation scene), `model/` (the checkpoint), `scenes/`.
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

from panoptic_deeplab.cli.command_line import run
from panoptic_deeplab.errors import DataError

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/demo/panoptic_deeplab_lite_scenes.yml"
SEED = 2026  # of the scenes: none that anything was chosen on
SHOWN = 4


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--output", type=Path, default=ROOT / "output" / "demo", help="where all goes"
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="training processes (default: %(default)s)"
    )
    parser.add_argument("--iters", type=int, help="steps (default: as the configuration says)")
    parser.add_argument("--only_scenes", action="store_true", help="make the scenes and stop")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    return run(demo, parser.parse_args(argv))


def demo(arguments: argparse.Namespace) -> None:
    """Runs the five steps, each the command that a user would type."""
    output, start = arguments.output.resolve(), time.monotonic()
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
    length = [] if arguments.iters is None else ["--iters", arguments.iters]
    options = ["--config", CONFIG, "--device", "cpu", "--save_dir", training, "--log_iters", 20]
    options += ["--save_interval", 1_000_000, "--keep_checkpoint_max", 1, *length]
    call(*launcher, "train.py", *options, "--opts", *data)
    (checkpoint,) = training.glob("iter_*")
    checkpoint.rename(output / "model")

    step("3/5 evaluation on the held-out scenes")
    trained = ["--config", CONFIG, "--device", "cpu", "--model_path", output / "model"]
    metrics = output / "metrics.json"
    call("val.py", *trained, "--num_workers", 1, "--json", metrics, "--opts", *data)

    step("4/5 prediction")
    pictures, predicted = scenes / "leftImg8bit" / "val", output / "prediction"
    call("predict.py", *trained, "--image_path", pictures, "--save_dir", predicted)

    step("5/5 pictures")
    sheet = output / "panoptic.png"
    draw_sheet(scenes, predicted, sheet)
    tell(output, metrics, sheet, time.monotonic() - start)


def make_scenes(folder: Path) -> None:
    """The pictures to learn from and to be judged on, unless they are there."""
    step("1/5 street scenes: 400 to learn from, 50 held out")
    if not folder.exists():
        numbers = ["--train", 400, "--val", 50, "--seed", SEED]
        call("tools/make_scenes.py", "--output", folder, *numbers)


def step(title: str) -> None:
    """A heading in what is printed."""
    print(f"\n=== {title}", flush=True)


def call(*command: object) -> None:
    """Runs a Python command of this checkout; ends the demo if it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, *map(str, command)]
    finished = subprocess.run(words, cwd=ROOT, env=environment, check=False)
    if finished.returncode:
        shown = " ".join(["python", *map(str, command)])
        raise DataError(f"this command ended with exit code {finished.returncode}: {shown}")


def draw_sheet(scenes: Path, predicted: Path, path: Path) -> None:
    """Some validation scenes beside their predictions and their truth."""
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
    titles = ["scene", "prediction", "truth"]
    write_image(path, np.concatenate([side_by_side(row, titles) for row in rows]))


def extend(panel: np.ndarray, height: int) -> np.ndarray:
    """The panel with white below, up to `height`."""
    import numpy as np

    below = height - panel.shape[0]
    return np.pad(panel, ((0, below), (0, 0), (0, 0)), constant_values=255)


def tell(output: Path, metrics: Path, sheet: Path, seconds: float) -> None:
    """Where everything is."""
    results = json.loads(metrics.read_text())
    groups = ", ".join(
        f"{group} {100 * results[group]['pq']:.1f}"
        for group in results
        if group in ("All", "Things", "Stuff")
    )
    print(f"\nDone in {seconds / 60:.1f} minutes. PQ on scenes it has never seen: {groups}")
    print(f"  the table       {metrics}")
    print(f"  pictures        {sheet}")
    print(f"  each scene      {output / 'prediction' / 'panoptic'}")
    print(f"  the model       {output / 'model'}")
    print("Predict pictures of your own:")
    print(
        f"  .venv/bin/python predict.py --config {CONFIG} --model_path {output / 'model'} "
        "--image_path PICTURE_OR_FOLDER --save_dir output/mine"
    )


if __name__ == "__main__":
    sys.exit(main())
