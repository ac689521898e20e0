"""Images that break careless code go through training, evaluation and prediction of each method.

No instance, one of a single pixel, a hundred and fifty, nothing but a crowd, nothing but void;
training crops cut instances at the border.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from panoptic_deeplab.cli import predict, train, val
from panoptic_deeplab.config import Config
from panoptic_deeplab.formats.coco import read_annotations, read_panoptic_map
from panoptic_deeplab.formats.images import write_ids

Case = tuple[np.ndarray, list[dict[str, int]]]
"""Segment ids [64, 128], and what the annotation says of them."""

SIZE = (64, 128)


def segment(number: int, category: int, iscrowd: int = 0) -> dict[str, int]:
    return {"id": number, "category_id": category, "iscrowd": iscrowd}


def cases(road: int, car: int) -> list[Case]:
    """Segments on a road, by the data set's own category ids."""
    ground = np.ones(SIZE, np.int32)
    on_road = segment(1, road)
    one_pixel, crowd, many = ground.copy(), ground.copy(), ground.copy()
    one_pixel[63, 127] = 2
    crowd[20:50, 30:90] = 2
    places = [(y, x) for y in range(0, 60, 6) for x in range(0, 120, 8)]
    for number, (y, x) in enumerate(places, start=2):
        many[y : y + 4, x : x + 6] = number
    assert len(places) == 150
    return [
        (ground, [on_road]),
        (one_pixel, [on_road, segment(2, car)]),
        (many, [on_road, *(segment(n, car) for n in range(2, 152))]),
        (crowd, [on_road, segment(2, car, iscrowd=1)]),
        (np.zeros(SIZE, np.int32), []),
    ]


def rewrite(json_path: Path, drawn: list[Case]) -> None:
    """Replace the annotations of a split by the cases, in order."""
    content = json.loads(json_path.read_text())
    for annotation, (ids, segments) in zip(content["annotations"], drawn, strict=False):
        write_ids(json_path.with_suffix("") / annotation["file_name"], ids)
        for entry in segments:
            rows, columns = np.nonzero(ids == entry["id"])
            width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
            entry["area"] = int(rows.size)
            entry["bbox"] = list(map(int, (columns.min(), rows.min(), width, height)))
        annotation["segments_info"] = segments
    json_path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def difficult(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenes with other annotations: all five cases to train on, three to validate."""
    root = tmp_path_factory.mktemp("difficult") / "scenes"
    shutil.copytree(scenes, root)
    names = {"road": 0, "car": 13}  # train ids, as the scenes have them
    for split, first in (("train", 0), ("val", 1)):
        path = root / "gtFine" / f"cityscapes_panoptic_{split}_trainId.json"
        rewrite(path, cases(**names)[first:])
    return root


@pytest.mark.parametrize(
    "method", ["tiny_config", "tiny_top_down_config", "tiny_panoptic_fpn_config"]
)
def test_training_evaluation_and_prediction(
    method: str, difficult: Path, scenes: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    config = request.getfixturevalue(method)
    config.write_text(config.read_text().replace(str(scenes), str(difficult)))
    dataset = Config(config).train_dataset
    assert sorted(len(dataset.truth(i).segments) for i in range(5)) == [0, 1, 2, 2, 151]

    run, common = tmp_path / "run", ["--config", str(config), "--device", "cpu"]
    once = ["--iters", "5", "--batch_size", "1", "--do_eval", "--log_iters", "1"]
    assert train.main([*common, *once, "--save_dir", str(run)]) == 0
    log = (run / "train.log").read_text()
    assert log.count("[TRAIN]") == 5, "each image was one step"
    assert "nan" not in "".join(line for line in log.splitlines() if "[LOSS]" in line)

    trained = [*common, "--model_path", str(run / "iter_5")]
    scores = tmp_path / "scores.json"
    # every proposal is an instance: as many as there can be
    everything = ["--opts", "model.score_threshold=0.0"] if method != "tiny_config" else []
    assert val.main([*trained, "--json", str(scores), *everything]) == 0
    told = json.loads(scores.read_text())["per_class"]
    assert told["car"]["tp"] + told["car"]["fn"] == 151, "the crowd is not to be found"

    images, out = difficult / "leftImg8bit" / "val", tmp_path / "out"
    flags = ["--image_path", str(images), "--save_dir", str(out)]
    assert predict.main([*trained, *flags, *everything]) == 0
    info = Config(config).info
    annotations = read_annotations(out / "panoptic.json", info)
    assert len(annotations) == 3
    for annotation in annotations:
        png = out / "panoptic" / annotation.file_name
        assert read_panoptic_map(png, annotation.segments).ids.shape == SIZE
