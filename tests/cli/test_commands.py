"""train.py, val.py and predict.py from the command line: what they leave and what they refuse."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_CONFIG
from PIL import Image

from panoptic_deeplab.cli import predict, train, val
from panoptic_deeplab.cli.command_line import run
from panoptic_deeplab.config import Config
from panoptic_deeplab.evaluation import PanopticQuality
from panoptic_deeplab.formats.cityscapes import LABEL_IDS
from panoptic_deeplab.formats.coco import read_annotations, read_panoptic_map
from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.weights import read_weights

ROOT = Path(__file__).parents[2]
CPU = ["--device", "cpu"]


def run_train(config: Path, save_dir: Path, *more: str) -> int:
    return train.main(["--config", str(config), *CPU, "--save_dir", str(save_dir), *more])


@pytest.fixture(scope="module")
def trained(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a short training. Not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    config = folder / "tiny.yml"
    config.write_text(TINY_CONFIG.format(root=scenes))
    assert run_train(config, folder / "run", "--iters", "2") == 0
    return folder / "run" / "iter_2"


# --- what they leave ---


def test_training_leaves_checkpoints_logs_and_the_best_model(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    flags = ["--iters", "4", "--save_interval", "1", "--keep_checkpoint_max", "2", "--log_iters"]
    assert run_train(tiny_config, run, *flags, "2", "--do_eval", "--use_vdl") == 0
    folders = sorted(path.name for path in run.iterdir() if path.is_dir())
    assert folders == ["best_model", "iter_3", "iter_4"]
    for name in ("iter_4", "best_model"):
        files = {path.name for path in (run / name).iterdir()}
        assert {"model.pdparams", "dataset_info.json", "config.yml"} <= files
    assert (run / "iter_4" / "model.pdopt").exists()
    assert list(run.glob("vdlrecords.*.log"))
    output = capsys.readouterr().out
    assert "[TRAIN] epoch=1, iter=2/4, loss=" in output
    for part in ("lr=", "batch_cost=", "reader_cost=", "ips=", "samples/sec | ETA 00:00:"):
        assert part in output
    assert "[LOSS] loss=" in output
    assert "semantic_loss=" in output
    assert "[EVAL] iter=4, PQ: " in output


def test_resuming_gives_the_same_weights_as_going_through(
    tiny_config: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run_train(tiny_config, whole, "--iters", "5", "--save_interval", "3") == 0
    assert (
        run_train(tiny_config, parts, "--iters", "5", "--resume_model", str(whole / "iter_3")) == 0
    )
    first, second = (read_weights(folder / "iter_5") for folder in (whole, parts))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_resuming_a_finished_training_has_nothing_to_do(
    tiny_config: Path, tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--iters", "2", "--resume_model", str(trained)]
    assert run_train(tiny_config, tmp_path / "run", *flags) == 0
    assert "Nothing to do: 2 of 2 iterations are done" in capsys.readouterr().out


def test_evaluation_writes_a_table_and_json(
    tiny_config: Path, tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model_path", str(trained / "model.pdparams"), "--json", str(tmp_path / "r.json")]
    assert val.main(["--config", str(tiny_config), *CPU, *flags, "--num_workers", "2"]) == 0
    results = json.loads((tmp_path / "r.json").read_text())
    for group in ("All", "Things", "Stuff"):
        assert {"pq", "sq", "rq"} <= set(results[group])
    assert len(results["per_class"]) == 19
    assert {"miou", "ap", "ap50"} <= set(results)
    assert "motorcycle" in capsys.readouterr().out


def test_the_configuration_beside_the_weights_is_enough(
    tiny_config: Path, tmp_path: Path, trained: Path
) -> None:
    results = []
    for number, config in enumerate([[], ["--config", str(tiny_config)]]):
        path = tmp_path / f"{number}.json"
        assert val.main([*config, *CPU, "--model_path", str(trained), "--json", str(path)]) == 0
        results.append(json.loads(path.read_text()))
    evaluated = [result.pop("evaluated") for result in results]
    assert results[0] == results[1]
    assert evaluated[0]["config"] == str(trained / "config.yml")
    assert evaluated[1]["config"] == str(tiny_config)


def test_scoring_files_needs_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert val.main(["--predictions", "results"]) == 2
    assert "--config is needed, which names the data set" in capsys.readouterr().err


def test_an_exported_file_is_evaluated_on_a_data_set_that_is_named(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = tmp_path / "model.onnx"
    exported.write_bytes(b"\x08\x08")
    assert val.main(["--model_path", str(exported)]) == 2
    assert "an exported file names no data set; give a configuration" in capsys.readouterr().err
    flags = ["--config", str(tiny_config), "--model_path", str(exported)]
    assert val.main([*flags, "--oracle", "center"]) == 2
    assert "--oracle needs a checkpoint" in capsys.readouterr().err


@pytest.fixture
def inputs(scenes: Path, tmp_path: Path) -> Path:
    """Images of equal names in different folders and of different sizes, and a text file."""
    source = sorted((scenes / "leftImg8bit" / "val").rglob("*.png"))
    folder = tmp_path / "inputs"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    shutil.copy(source[0], folder / "a" / "same.png")
    shutil.copy(source[1], folder / "b" / "same.png")
    Image.open(source[2]).resize((77, 51)).save(folder / "b" / "same.jpg")
    (folder / "notes.txt").write_text("no image")
    return folder


def run_predict(config: Path, weights: Path, images: object, save_dir: Path, *more: str) -> int:
    paths = ["--model_path", str(weights), "--image_path", str(images), "--save_dir", str(save_dir)]
    return predict.main(["--config", str(config), *CPU, *paths, *more])


def test_prediction_leaves_images_and_ids(
    tiny_config: Path, tmp_path: Path, trained: Path, inputs: Path
) -> None:
    results = tmp_path / "results"
    assert run_predict(tiny_config, trained, inputs, results) == 0
    names = ["a/same", "b/same_jpg", "b/same_png"]
    for name in names:
        for part in (
            f"panoptic/{name}",
            f"panoptic/{name}_overlay",
            f"semantic/{name}",
            f"instance/{name}",
        ):
            assert (results / f"{part}.png").exists(), part
    info = Config(tiny_config).info
    annotations = read_annotations(results / "panoptic.json", info)
    assert [a.image_id for a in annotations] == names
    for annotation in annotations:
        ids = read_ids(results / "panoptic" / annotation.file_name)
        areas = np.bincount(ids.ravel())
        assert {s.id: s.area for s in annotation.segments} == {
            i: area for i, area in enumerate(areas.tolist()) if i and area
        }
    assert read_ids(results / "panoptic" / "b" / "same_jpg.png").shape == (51, 77)


def test_prediction_leaves_the_forms_that_are_asked_for(
    tiny_config: Path, tmp_path: Path, trained: Path, scenes: Path
) -> None:
    results, images = tmp_path / "results", scenes / "leftImg8bit" / "val"
    forms = ["coco", "cityscapes", "bdd100k", "kitti", "html", "csv", "crops"]
    truth = next((scenes / "gtFine").glob("*_val_*.json"))
    more = ["--format", *forms, "--ground_truth", str(truth)]
    assert run_predict(tiny_config, trained, images, results, *more) == 0
    left = {path.name for path in results.iterdir()}
    lists = {"segments.csv", "results.jsonl"}
    assert left - {"crops"} == {"coco", "cityscapes", "bdd100k", "kitti", "html", *lists}
    assert (results / "html" / "index.html").read_text().count('"groundTruth": {') == 3
    names = {path.stem for path in images.rglob("*.png")}
    assert {path.stem for path in (results / "kitti").rglob("*.png")} == names
    bases = {name.removesuffix("_leftImg8bit") for name in names}
    assert {path.stem for path in (results / "cityscapes" / "pixel").iterdir()} == bases


def test_ground_truth_without_a_page_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model_path", "m", "--image_path", str(tmp_path), "--ground_truth", "a.json"]
    assert predict.main(words) == 2
    assert "--ground_truth is shown by the page alone; add --format html" in capsys.readouterr().err


@pytest.mark.parametrize("pattern", ["a/same.png", "*/*.jpg", "**/*.png"])
def test_prediction_takes_files_and_patterns(
    tiny_config: Path, tmp_path: Path, trained: Path, inputs: Path, pattern: str
) -> None:
    results = tmp_path / "results"
    assert run_predict(tiny_config, trained, inputs / pattern, results) == 0
    content = json.loads((results / "panoptic.json").read_text())
    assert len(content["annotations"]) == {"a/same.png": 1, "*/*.jpg": 1, "**/*.png": 2}[pattern]


def test_prediction_needs_no_data_set(
    tiny_config: Path, tmp_path: Path, trained: Path, inputs: Path
) -> None:
    text = tiny_config.read_text()
    root = Config(tiny_config).tree["val_dataset"]["dataset_root"]
    tiny_config.write_text(text.replace(root, str(tmp_path / "nowhere")))
    assert run_predict(tiny_config, trained, inputs / "a", tmp_path / "results") == 0


def test_a_corrupt_image_is_told_and_the_others_are_done(
    tiny_config: Path,
    tmp_path: Path,
    trained: Path,
    inputs: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (inputs / "a" / "broken.png").write_bytes((inputs / "a" / "same.png").read_bytes()[:200])
    results = tmp_path / "results"
    assert run_predict(tiny_config, trained, inputs, results) == 1
    assert len(json.loads((results / "panoptic.json").read_text())["annotations"]) == 3
    last = capsys.readouterr().err.strip().split("\n")[-1]
    assert last.startswith("error: 1 of 4 images failed; the first: ")
    assert "broken.png: not a readable image" in last


def test_ground_truth_as_prediction_scores_one(scenes: Path, tiny_config: Path) -> None:
    dataset = Config(tiny_config).val_dataset
    evaluator = PanopticQuality(dataset.info)
    for index in range(len(dataset)):
        truth = dataset.truth(index)
        kept = [s for s in truth.segments if not s.iscrowd]
        evaluator.update(type(truth)(truth.ids, truth.segments), truth)
        assert kept
    results = evaluator.compute()
    assert results["All"]["pq"] == results["Things"]["pq"] == results["Stuff"]["pq"] == 1


def test_no_instance_at_all_trains_and_evaluates(
    tiny_config: Path, tmp_path: Path, scenes: Path
) -> None:
    """Annotations without things: losses of centers and offsets are 0, PQ of things is unknown."""
    root = Path(shutil.copytree(scenes, tmp_path / "stuff"))
    things = set(Config(tiny_config).info.thing_ids)
    for path in root.glob("gtFine/*.json"):
        content = json.loads(path.read_text())
        for annotation in content["annotations"]:
            png = path.with_suffix("") / annotation["file_name"]
            rgb = np.asarray(Image.open(png)).copy()
            for segment in annotation["segments_info"]:
                if segment["category_id"] in things:
                    rgb[read_ids(png) == segment["id"]] = 0
            annotation["segments_info"] = [
                s for s in annotation["segments_info"] if s["category_id"] not in things
            ]
            Image.fromarray(rgb).save(png)
        path.write_text(json.dumps(content))
    text = tiny_config.read_text().replace(str(scenes), str(root))
    tiny_config.write_text(text)
    run = tmp_path / "run"
    assert run_train(tiny_config, run, "--iters", "2", "--do_eval") == 0
    flags = ["--config", str(tiny_config), *CPU, "--model_path", str(run / "iter_2")]
    assert val.main([*flags, "--json", str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["ap"] is None


# --- what they refuse ---

Setup = Callable[[Path, Path, Path], list[str]]
"""(configuration, empty folder, checkpoint) -> arguments after --config."""


def _weights_of_another_network(config: Path, folder: Path, checkpoint: Path) -> list[str]:
    (folder / "w.pdparams").write_bytes(pickle.dumps({"x": np.ones(3)}))
    return ["--model_path", str(folder / "w.pdparams")]


def _empty_data_set(config: Path, folder: Path, checkpoint: Path) -> list[str]:
    (folder / "leftImg8bit" / "val").mkdir(parents=True)
    (folder / "gtFine").mkdir()
    path = folder / "gtFine" / "cityscapes_panoptic_val_trainId.json"
    path.write_text('{"annotations": []}')
    return ["--model_path", str(checkpoint), "--opts", f"val_dataset.dataset_root={folder}"]


def _empty_folder(config: Path, folder: Path, checkpoint: Path) -> list[str]:
    (folder / "empty").mkdir()
    return ["--model_path", str(checkpoint), "--image_path", str(folder / "empty")]


def _file_as_folder(config: Path, folder: Path, checkpoint: Path) -> list[str]:
    (folder / "taken").write_text("keep me")
    return ["--save_dir", str(folder / "taken")]


def _corrupt_training_image(config: Path, folder: Path, checkpoint: Path) -> list[str]:
    root = Path(Config(config).tree["train_dataset"]["dataset_root"])
    spoilt = Path(shutil.copytree(root, folder / "spoilt"))
    for path in (spoilt / "leftImg8bit" / "train").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:500])
    return ["--save_dir", str(folder / "run"), "--opts", f"train_dataset.dataset_root={spoilt}"]


def _spoilt_annotations(config: Path, folder: Path, change: Callable[[dict], None]) -> str:
    """--opts for a copy of the validation split with a change in its JSON."""
    root = Path(Config(config).tree["val_dataset"]["dataset_root"])
    spoilt = Path(shutil.copytree(root, folder / "spoilt"))
    path = spoilt / "gtFine" / "cityscapes_panoptic_val_trainId.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        change(annotation["segments_info"])
    del content["categories"]
    path.write_text(json.dumps(content))
    return f"val_dataset.dataset_root={spoilt}"


def _label_ids(config: Path, folder: Path, checkpoint: Path) -> list[str]:
    def change(segments: list[dict]) -> None:
        for segment in segments:
            segment["category_id"] = LABEL_IDS[segment["category_id"]]

    opts = _spoilt_annotations(config, folder, change)
    return ["--model_path", str(checkpoint), "--opts", opts]


def _category_outside(config: Path, folder: Path, checkpoint: Path) -> list[str]:
    opts = _spoilt_annotations(config, folder, lambda s: s[0].update(category_id=99))
    return ["--model_path", str(checkpoint), "--opts", opts]


def _id_not_in_json(config: Path, folder: Path, checkpoint: Path) -> list[str]:
    opts = _spoilt_annotations(config, folder, lambda segments: segments.pop())
    return ["--model_path", str(checkpoint), "--opts", opts]


def _best_model(folder: Path, checkpoint: Path) -> Path:
    """What `--do_eval` keeps of a checkpoint."""
    best = Path(shutil.copytree(checkpoint, folder / "best_model"))
    (best / "model.pdopt").unlink()
    return best


def _other_classes(config: Path, folder: Path, checkpoint: Path) -> list[str]:
    copied = Path(shutil.copytree(checkpoint, folder / "cows"))
    content = json.loads((copied / "dataset_info.json").read_text())
    content["categories"][0]["name"] = "cow"
    (copied / "dataset_info.json").write_text(json.dumps(content))
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    paths = ["--model_path", str(copied), "--image_path", str(folder), "--save_dir", f"{folder}/r"]
    return [*paths, "--format", "pictures", "kitti"]


REFUSED: dict[str, tuple[Callable[[list[str]], int], Setup, int, str]] = {
    "a misspelt key": (
        train.main,
        lambda c, f, w: ["--opts", "modell.type=x"],
        2,
        "no 'modell' in the configuration (did you mean \"model\"?)",
    ),
    "a missing key": (
        train.main,
        lambda c, f, w: ["--opts", "train_dataset={type: CityscapesPanoptic}"],
        2,
        "'train_dataset' lacks the key 'dataset_root'",
    ),
    "label ids where train ids are wanted": (
        val.main,
        _label_ids,
        1,
        "holds Cityscapes label ids where train ids are wanted",
    ),
    "a category outside the classes": (
        val.main,
        _category_outside,
        1,
        "category_id 99, which is none of the 19 categories of Cityscapes",
    ),
    "an id in the PNG and not in the JSON": (val.main, _id_not_in_json, 1, "is not in the JSON"),
    "a wrong value of a key": (
        val.main,
        lambda c, f, w: ["--model_path", str(w), "--opts", "postprocessor.top_k=0"],
        2,
        "'postprocessor': top_k must be at least 1",
    ),
    "a missing data set": (
        train.main,
        lambda c, f, w: [
            "--opts",
            f"train_dataset.dataset_root={f}/nowhere",
            "--save_dir",
            f"{f}/r",
        ],
        1,
        "nowhere/leftImg8bit: no such folder",
    ),
    "a save_dir that is a file": (train.main, _file_as_folder, 1, "but a file stands there"),
    "a batch larger than the data set": (
        train.main,
        lambda c, f, w: ["--batch_size", "6", "--save_dir", str(f / "run")],
        2,
        "batch_size 6 x 1 process(es) samples, the training data set has 5",
    ),
    "a corrupt training image": (train.main, _corrupt_training_image, 1, "not a readable image"),
    "a GPU that is not there": (train.main, lambda c, f, w: ["--device", "gpu"], 2, "sees no GPU"),
    "nothing to resume from": (
        train.main,
        lambda c, f, w: ["--resume_model", str(f / "none"), "--save_dir", str(f / "run")],
        1,
        "expected a checkpoint's folder",
    ),
    "no pretrained weights": (
        train.main,
        lambda c, f, w: ["--opts", f"model.pretrained={f}/none", "--save_dir", str(f / "run")],
        1,
        "--opts model.pretrained=null",
    ),
    "missing weights": (
        val.main,
        lambda c, f, w: ["--model_path", str(f / "none.pdparams")],
        1,
        "none.pdparams: no such file",
    ),
    "weights of another network": (
        val.main,
        _weights_of_another_network,
        1,
        "these weights are of another network",
    ),
    "an empty data set": (val.main, _empty_data_set, 1, "there is no image to evaluate on"),
    "no image in the folder": (predict.main, _empty_folder, 1, "holds no image"),
    "an empty path": (
        predict.main,
        lambda c, f, w: ["--model_path", str(w), "--image_path", ""],
        2,
        "--image_path: expected an image, a folder of images, a pattern or a video, got an",
    ),
    "a form whose classes are others": (predict.main, _other_classes, 2, "has no class 'cow'"),
    "a best model to resume from": (
        train.main,
        lambda c, f, w: ["--save_dir", f"{f}/run", "--resume_model", str(_best_model(f, w))],
        1,
        "best_model: holds weights, but no model.pdopt with the state of a training (a best model "
        "has none); go on from an iter_N beside it, or, to start from its weights alone: --opts "
        "model.pretrained=",
    ),
    "an average that a checkpoint lacks": (
        train.main,
        lambda c, f, w: ["--save_dir", f"{f}/run", "--resume_model", str(w), "--use_ema"],
        1,
        "was trained without --use_ema and has no average (model_ema.pdparams); leave out",
    ),
    "no image at all": (
        predict.main,
        lambda c, f, w: ["--model_path", str(w), "--image_path", str(f / "none.png")],
        1,
        "none.png: there is nothing; expected an image",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_input_is_one_line_and_an_exit_code(
    kind: str,
    tiny_config: Path,
    tmp_path: Path,
    trained: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main, setup, exit_code, message = REFUSED[kind]
    folder = tmp_path / "given"
    folder.mkdir()
    arguments = setup(tiny_config, folder, trained)
    device = [] if "--device" in arguments else CPU
    assert main(["--config", str(tiny_config), *device, *arguments]) == exit_code
    error = capsys.readouterr().err.strip()
    assert message in error
    lines = [line for line in error.split("\n") if line and "| 0/" not in line]
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in error
    if (folder / "taken").exists():
        assert (folder / "taken").read_text() == "keep me"


def test_a_missing_config_and_debug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--config", str(tmp_path / "none.yml")]) == 2
    error = capsys.readouterr().err
    assert error == f"error: {tmp_path}/none.yml: no such configuration file\n"
    assert train.main(["--config", str(tmp_path / "none.yml"), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_base_that_is_missing_names_who_asks_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yml").write_text("_base_: none.yml")
    assert train.main(["--config", str(tmp_path / "a.yml")]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/none.yml: no such configuration file; {tmp_path}/a.yml names it under "
        "_base_\n"
    )


def test_wrong_flags_end_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for main in (train.main, val.main, predict.main):
        with pytest.raises(SystemExit) as ended:
            main(["--nonsense"])
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith("error: unknown flag --nonsense")


# --- one subprocess per script ---


@pytest.mark.parametrize("script", ["train.py", "val.py", "predict.py"])
def test_help_comes_without_paddle(script: str) -> None:
    probe = (
        "import sys, runpy; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_path({script!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'paddle' not in sys.modules and 'numpy' not in sys.modules, 'imported'\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "--config" in finished.stdout
    assert "example:" in finished.stdout


def test_read_panoptic_map_is_what_prediction_wrote(
    tiny_config: Path, tmp_path: Path, trained: Path, inputs: Path
) -> None:
    results = tmp_path / "results"
    assert run_predict(tiny_config, trained, inputs / "a", results) == 0
    (annotation,) = read_annotations(results / "panoptic.json", Config(tiny_config).info)
    truth = read_panoptic_map(results / "panoptic" / annotation.file_name, annotation.segments)
    evaluator = PanopticQuality(Config(tiny_config).info)
    evaluator.update(truth, truth)
    assert evaluator.compute()["All"]["pq"] == 1


def test_a_training_that_failed_at_its_first_step_does_not_stand_in_the_way(
    tiny_config: Path, tmp_path: Path
) -> None:
    folder, run = tmp_path / "given", tmp_path / "given" / "run"
    folder.mkdir()
    broken = _corrupt_training_image(tiny_config, folder, folder)
    assert train.main(["--config", str(tiny_config), *CPU, *broken]) == 1
    assert not list(run.glob("iter_*"))
    assert run_train(tiny_config, run, "--iters", "1") == 0


def test_a_new_training_does_not_touch_another_runs_checkpoints(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert run_train(tiny_config, run, "--iters", "1", "--do_eval") == 0
    assert run_train(tiny_config, run, "--iters", "1") == 2
    assert "holds checkpoints of another run; go on with it (--resume" in capsys.readouterr().err


def test_checkpoints_of_later_iterations_are_not_pruned_for_an_earlier_one(
    tiny_config: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert run_train(tiny_config, run, "--iters", "4", "--save_interval", "1") == 0
    again = ["--resume_model", str(run / "iter_1"), "--keep_checkpoint_max", "1"]
    assert run_train(tiny_config, run, "--iters", "2", *again) == 0
    assert sorted(path.name for path in run.glob("iter_*")) == ["iter_2", "iter_3", "iter_4"]


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--threshold", "-5", "must be a number in 0..1, got '-5'"),
        ("--threshold", "nan", "must be a number in 0..1, got 'nan'"),
        ("--nms_kernel", "4", "must be an odd number, got '4'"),
        ("--nms_kernel", "-3", "must be a number in 1..2147483647, got '-3'"),
        ("--top_k", "0", "must be a number in 1..2147483647, got '0'"),
    ],
)
def test_grouping_out_of_range(
    flag: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for main in (train.main, val.main, predict.main):
        with pytest.raises(SystemExit) as ended:
            main(["--config", "x", flag, value])
        assert ended.value.code == 2
        assert f"argument {flag}: {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [["--num_workers", "-1"], ["--seed", "-1"], ["--ema_decay", "50"], ["--save_interval", "x"]],
)
def test_numbers_out_of_range(
    tiny_config: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        train.main(["--config", str(tiny_config), *flags])
    assert ended.value.code == 2
    assert f"must be a number in {'1' if 'x' in flags else '0'}.." in capsys.readouterr().err


def test_what_the_terminal_cannot_show_prints_as_an_escape(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = open(1, "w", encoding="latin-1", closefd=False)  # noqa: SIM115
    monkeypatch.setattr("sys.stdout", stream)
    name = os.fsdecode(b"b\xff.png")
    assert run(lambda arguments: print(f"\u8857 {name}"), argparse.Namespace()) == 0
    stream.flush()
    assert capfd.readouterr().out == "\\u8857 b\\udcff.png\n"
