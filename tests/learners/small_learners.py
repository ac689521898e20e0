"""Drawn scenes as a learner takes them, and the configuration of a tiny network."""

from __future__ import annotations

import shutil
from pathlib import Path

from conftest import TINY_TOP_DOWN_CONFIG

CONFIGS = Path(__file__).parents[2] / "configs"
VALIDATION = [f"lindau_{number:06d}_000019" for number in (1, 2, 3)]


def write_raw_scenes(scenes: Path, root: Path) -> Path:
    """Copy scenes as Cityscapes is downloaded, those to validate named as in Lindau."""
    for kind, ending in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_instanceIds")):
        shutil.copytree(scenes / kind / "train", root / kind / "train")
        (root / kind / "val" / "lindau").mkdir(parents=True)
        found = sorted((scenes / kind / "val").rglob(f"*_{ending}.png"))
        for file, stem in zip(found, VALIDATION, strict=True):
            shutil.copyfile(file, root / kind / "val" / "lindau" / f"{stem}_{ending}.png")
    return root


def write_small_config(scenes: Path, path: Path) -> str:
    """Write the configuration of a tiny EfficientPS."""
    base = CONFIGS / "efficientps" / "efficientps_b0_scenes.yml"
    path.write_text(TINY_TOP_DOWN_CONFIG.format(root=scenes, base=base))
    return str(path)
