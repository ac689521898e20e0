"""Small scenes and a model that has hardly learned, for commands that are killed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/demo/panoptic_deeplab_lite_scenes.yml"
IMAGES = 12


@dataclass(frozen=True)
class World:
    """What the commands work on.

    Attributes:
        scenes: a folder in the form of Cityscapes.
        model: a checkpoint.
        bitmasks: the annotations in the form of BDD100K.
    """

    scenes: Path
    model: Path
    bitmasks: Path

    @property
    def annotations(self) -> Path:
        """A COCO panoptic JSON of the scenes."""
        return self.scenes / "gtFine" / "cityscapes_panoptic_train_trainId.json"

    @property
    def images(self) -> Path:
        """The folder of their images."""
        return self.scenes / "leftImg8bit" / "train"

    @property
    def data_options(self) -> list[str]:
        """The changes to a configuration that name the scenes."""
        return [f"{split}_dataset.dataset_root={self.scenes}" for split in ("train", "val")]


def make_world(folder: Path) -> World:
    """Make small scenes and train on them for one step."""
    bdd = folder / "bdd"
    world = World(
        make_scenes(folder / "scenes"),
        folder / "training" / "iter_1",
        bdd / "labels" / "pan_seg" / "bitmasks" / "train",
    )
    flags = ["--config", CONFIG, "--device", "cpu", "--iters", "1"]
    flags += ["--save_dir", str(world.model.parent), "--opts", *world.data_options]
    _call("train.py", *flags)
    convert = ["convert", "to-bdd100k", "--json", str(world.annotations), "--name", "train"]
    _call("-m", "panoptic_deeplab", *convert, "--save_dir", str(bdd))
    return world


def make_scenes(root: Path) -> Path:
    """Make a few small scenes to train on."""
    sizes = ["--train", str(IMAGES), "--val", "2", "--height", "64", "--width", "128"]
    _call("tools/make_scenes.py", "--output", str(root), *sizes)
    return root


def _call(*words: str) -> None:
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
