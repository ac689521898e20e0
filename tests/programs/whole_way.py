"""The whole way by Python: convert, check, train, evaluate, predict, export, predict again.

Run in a folder with labels/{train,val}, data/own/images/{train,val} and tiny.yml. Writes below
data/python and output/python.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import panoptic_deeplab as pdl
from panoptic_deeplab.check import check_dataset
from panoptic_deeplab.check.findings import ERROR
from panoptic_deeplab.config import Config
from panoptic_deeplab.convert.classes import classes_of_names
from panoptic_deeplab.convert.objects import open_labelme
from panoptic_deeplab.convert.run import convert
from panoptic_deeplab.convert.targets import CocoPanopticTarget
from panoptic_deeplab.engine.evaluator import evaluate_model
from panoptic_deeplab.engine.plan import TrainingPlan
from panoptic_deeplab.engine.training import train
from panoptic_deeplab.export.exporting import export_model
from panoptic_deeplab.export.plan import ExportPlan

OWN = Path("data/own/images")
OUTPUT = Path("output/python")


def main() -> None:
    """Go the whole way, each step by one call."""
    info = classes_of_names("cart", "road,sky")
    for split in ("train", "val"):
        source = open_labelme(Path("labels") / split, OWN / split, info, "last", False)
        target = CocoPanopticTarget(Path("data/python"), f"panoptic_{split}", info)
        convert(source, target)

    files = [
        f"{split}_dataset.annotation_file=../python/panoptic_{split}.json"
        for split in ("train", "val")
    ]
    config = Config("tiny.yml", files)
    report = check_dataset(config)
    assert len(report.splits) == 2
    assert report.findings.total(ERROR) == 0

    train(config, TrainingPlan(config.iters, config.batch_size, OUTPUT, save_interval=2))
    results = evaluate_model(Config("tiny.yml", files), OUTPUT / "iter_3")
    assert 0 <= results["All"]["pq"] <= 1

    images = sorted((OWN / "val").iterdir())
    trained = pdl.load_model(OUTPUT / "iter_3", device="cpu")
    assert [category.name for category in trained.info.categories] == ["cart", "road", "sky"]
    assert [result.path for result in trained(images)] == images

    export_model(trained.predictor, OUTPUT / "onnx", ExportPlan("onnx", with_postprocess=True))
    exported = pdl.load_model(OUTPUT / "onnx")
    for result, same in zip(exported(images), trained(images), strict=True):
        np.testing.assert_array_equal(result.ids, same.ids)


if __name__ == "__main__":
    main()
