"""BDD100K from its files to its scores: what val says is what the written files score."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_PANOPTIC_FPN_CONFIG
from PIL import Image

from panoptic_deeplab.cli.main import main
from panoptic_deeplab.evaluation import evaluate_bdd100k_files

ROAD, SKY, CAR = 7, 30, 35
BASE = Path(__file__).parents[2] / "configs" / "panoptic_fpn" / "panoptic_fpn_r18_scenes.yml"
CHANGES = """
train_dataset: {{type: Bdd100kPanoptic, dataset_root: {root}, transforms: []}}
val_dataset: {{type: Bdd100kPanoptic, dataset_root: {root}, mode: train}}
evaluators: [{{type: Bdd100kPanopticQuality}}]
"""


def write_street(root: Path) -> Path:
    """Two images of 64 x 96 pixels, sky above a road with two cars, in BDD100K's layout."""
    images = root / "images" / "10k" / "train"
    bitmasks = root / "labels" / "pan_seg" / "bitmasks" / "train"
    for folder in (images, bitmasks):
        folder.mkdir(parents=True)
    for name, shift in (("a", 0), ("b", 12)):
        bitmask = np.zeros((64, 96, 4), np.uint8)
        bitmask[:28] = (SKY, 0, 0, SKY)
        bitmask[28:] = (ROAD, 0, 0, ROAD)
        for number, left in ((31, 6 + shift), (32, 48 + shift)):
            bitmask[30:54, left : left + 30] = (CAR, 0, 0, number)
        colors = np.zeros((256, 3), np.uint8)
        colors[[SKY, ROAD, CAR]] = (90, 160, 250), (60, 60, 60), (220, 30, 30)
        image = colors[bitmask[..., 0]]
        image[bitmask[..., 3] == 32] = (30, 220, 30)
        Image.fromarray(image).save(images / f"{name}.jpg", quality=95)
        Image.fromarray(bitmask).save(bitmasks / f"{name}.png")
    return images


def test_val_says_what_the_written_files_score(tmp_path: Path) -> None:
    root = tmp_path / "bdd100k"
    images = write_street(root)
    config = tmp_path / "small.yml"
    tree = TINY_PANOPTIC_FPN_CONFIG.format(root=root, base=BASE).partition("train_dataset")
    model = "model" + tree[2].partition("model")[2]
    config.write_text(tree[0] + CHANGES.format(root=root) + model)
    words = ["--config", str(config), "--device", "cpu", "--num_workers", "0"]
    assert main(["train", *words, "--iters", "40", "--save_dir", str(tmp_path / "run")]) == 0

    trained = ["--model_path", str(tmp_path / "run" / "iter_40"), "--device", "cpu"]
    trained += ["--opts", "model.score_threshold=0.3"]
    assert main(["val", *trained, "--json", str(tmp_path / "val.json")]) == 0
    save_dir = ["--save_dir", str(tmp_path / "out"), "--format", "bdd100k"]
    assert main(["predict", *trained, "--image_path", str(images), *save_dir]) == 0

    said = json.loads((tmp_path / "val.json").read_text())
    annotations = root / "labels" / "pan_seg" / "bitmasks" / "train"
    for written in ("bitmasks", "pan_seg.json"):
        scores = evaluate_bdd100k_files(annotations, tmp_path / "out" / "bdd100k" / written)
        for group, name in (("All", "OVERALL"), ("Things", "THING"), ("Stuff", "STUFF")):
            assert scores["PQ"][name] == pytest.approx(100 * said[group]["pq"])
    assert said["All"]["pq"] > 0.3
