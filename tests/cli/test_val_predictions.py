"""`val --predictions` scores what another program left in files, or says in one line why not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.cli import val


@pytest.fixture
def truth_as_predictions(scenes, tmp_path):
    """A folder as predict.py writes one, holding the annotations of the validation scenes."""
    gt = scenes / "gtFine" / "cityscapes_panoptic_val_trainId.json"
    content = json.loads(gt.read_text())
    for annotation in content["annotations"]:
        ids = np.asarray(Image.open(gt.with_suffix("") / annotation["file_name"]))
        (tmp_path / "panoptic").mkdir(exist_ok=True)
        Image.fromarray(ids).save(tmp_path / "panoptic" / f"{annotation['image_id']}.png")
        city = annotation["image_id"].split("_")[0]
        annotation["file_name"] = f"{annotation['image_id']}.png"
        annotation["image_id"] = f"{city}/{annotation['image_id']}_leftImg8bit"
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    return tmp_path


def run_val(config, predictions, *more):
    flags = ["--config", str(config), "--device", "cpu", "--predictions", str(predictions)]
    return val.main([*flags, *more])


def test_val_scores_predictions_in_files(tiny_config, truth_as_predictions, capsys):
    folder = truth_as_predictions
    flags = ["--json", str(folder / "results.json"), "--num_workers", "2"]
    assert run_val(tiny_config, folder, *flags) == 0
    results = json.loads((folder / "results.json").read_text())
    assert results["All"]["pq"] == results["miou"] == results["ap"] == 1
    assert results["evaluated"]["predictions"] == str(folder)
    assert results["evaluated"]["model_path"] is None
    assert "road" in capsys.readouterr().out


def renumbered(content):
    """Category ids of another program, told by its categories' names."""
    for entry in content["categories"]:
        entry["id"] += 100
    for annotation in content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["category_id"] += 100


def without_categories(content):
    del content["categories"]


@pytest.mark.parametrize("change", [renumbered, without_categories])
def test_category_ids_go_by_name_or_are_the_data_sets(tiny_config, truth_as_predictions, change):
    path = truth_as_predictions / "panoptic.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    flags = ["--json", str(truth_as_predictions / "results.json")]
    assert run_val(tiny_config, path, *flags) == 0
    assert json.loads((truth_as_predictions / "results.json").read_text())["All"]["pq"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"].pop(), "there is no prediction for"),
        (lambda c: c.update(annotations=[{}]), "panoptic.json: expected an annotation"),
        (lambda c: c["annotations"][0].update(file_name="../x.png"), "points outside"),
        (lambda c: c["annotations"][0]["segments_info"].pop(), "none of its"),
        (
            lambda c: c["annotations"][0]["segments_info"][0].update(category_id=77),
            "has category_id 77, which is no class of Cityscapes",
        ),
        (lambda c: c.update(categories=[{"id": 1, "name": "raod"}]), 'did you mean "road"?'),
        (lambda c: c.update(categories=[3]), "an entry with a whole number 'id'"),
    ],
)
def test_val_refuses_predictions_in_one_line(
    tiny_config, truth_as_predictions, change, message, capsys
):
    path = truth_as_predictions / "panoptic.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    assert run_val(tiny_config, truth_as_predictions) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


def test_predictions_of_another_size_are_told_with_their_image(
    tiny_config, truth_as_predictions, capsys
):
    png = min((truth_as_predictions / "panoptic").iterdir())
    Image.open(png).crop((0, 0, 127, 64)).save(png)
    assert run_val(tiny_config, truth_as_predictions) == 1
    assert f"image {png.stem}: the prediction is 64x127 but" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--oracle", "semantic"], "leave out --oracle"),
        (["--threshold", "0"], "leave out"),
        (["--model_path", "x"], "not allowed with argument"),
        (["--json", "/nowhere/x.json"], "expected a file in a folder that exists"),
    ],
)
def test_flags_of_a_model_do_not_go_with_predictions(tiny_config, tmp_path, flags, message, capsys):
    try:
        code = run_val(tiny_config, tmp_path, *flags)
    except SystemExit as end:  # argparse's own
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err
