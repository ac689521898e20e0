"""Learners as OpenDR's users call them, on a tiny network."""

from __future__ import annotations

import inspect
import json
import math
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_CONFIG, TINY_PANOPTIC_FPN_CONFIG
from PIL import Image as PillowImage
from small_learners import CONFIGS, write_raw_scenes, write_small_config
from small_trees import write_kitti
from torch_files import write_pth

import panoptic_deeplab as pdl
from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.learners import (
    CityscapesDataset,
    EfficientPsLearner,
    Heatmap,
    Image,
    KittiDataset,
    PanopticDeepLabLearner,
    PanopticFpnLearner,
    PanopticLearner,
)
from panoptic_deeplab.learners.efficient_ps import known_config
from panoptic_deeplab.weights import zoo
from panoptic_deeplab.weights.download import CACHE_VARIABLE

CLASSES = 19


def small_learner(config: str, **settings: Any) -> EfficientPsLearner:
    return EfficientPsLearner(config, **{"iters": 1, "device": "cpu", "num_workers": 0} | settings)


@pytest.fixture(scope="module")
def prepared(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes as `prepare_data` makes them. Not to be changed."""
    folder = tmp_path_factory.mktemp("prepared")
    raw = write_raw_scenes(scenes, folder / "raw")
    CityscapesDataset.prepare_data(raw, folder / "cityscapes", num_workers=1)
    return folder / "cityscapes"


@pytest.fixture(scope="module")
def small_config(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_small_config(scenes, tmp_path_factory.mktemp("config") / "small.yml")


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the training of `trained`."""
    return tmp_path_factory.mktemp("logging")


@pytest.fixture(scope="module")
def trained(
    small_config: str, prepared: Path, log_folder: Path
) -> tuple[EfficientPsLearner, dict[str, Any]]:
    """A learner after an epoch of two steps of two samples, and what `fit` returned."""
    learner = small_learner(small_config, lr=0.001, batch_size=2, seed=3)
    datasets = [CityscapesDataset(prepared / name) for name in ("train", "val")]
    return learner, learner.fit(*datasets, logging_path=str(log_folder), silent=True)


@pytest.fixture
def image(prepared: Path) -> Image:
    return CityscapesDataset(prepared / "val")[0][0]


def parameters_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Name -> default of all arguments but `self`; `...` for those without."""
    found = inspect.signature(function).parameters.values()
    return {p.name: ... if p.default is p.empty else p.default for p in found if p.name != "self"}


def test_signatures_and_defaults_are_opendrs() -> None:
    made = parameters_of(EfficientPsLearner.__init__)
    assert Path(made.pop("temp_path")).name == "eval_tmp_dir"
    assert list(made.items()) == [
        ("config_file", "efficientps_b5_cityscapes"),
        ("lr", 0.07),
        ("iters", 160),
        ("batch_size", 1),
        ("optimizer", "SGD"),
        ("lr_schedule", None),
        ("momentum", 0.9),
        ("weight_decay", 0.0001),
        ("optimizer_config", None),
        ("checkpoint_after_iter", 1),
        ("device", "cuda:0"),
        ("num_workers", 1),
        ("seed", None),
    ]
    fit = parameters_of(EfficientPsLearner.fit)
    assert Path(fit.pop("logging_path")).name == "logging"
    assert fit == {"dataset": ..., "val_dataset": None, "silent": False, "verbose": None}
    assert parameters_of(EfficientPsLearner.eval) == {"dataset": ..., "print_results": False}
    assert parameters_of(EfficientPsLearner.infer) == {"batch": ..., "return_raw_logits": False}
    assert parameters_of(EfficientPsLearner.save) == {"path": ...}
    assert parameters_of(EfficientPsLearner.load) == {"path": ...}
    assert parameters_of(EfficientPsLearner.download) == {
        "path": ...,
        "mode": "model",
        "trained_on": "cityscapes",
    }
    assert parameters_of(EfficientPsLearner.visualize) == {
        "image": ...,
        "prediction": ...,
        "show_figure": True,
        "save_figure": False,
        "figure_filename": None,
        "figure_size": (15, 10),
        "detailed": False,
    }


def test_importing_the_learners_does_not_import_paddle() -> None:
    program = "import sys, panoptic_deeplab.learners; assert 'paddle' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=CONFIGS.parent)


def test_without_arguments_it_is_the_released_network() -> None:
    learner = EfficientPsLearner()
    assert sum(p.size for p in learner.model.parameters() if p.trainable) == 42_988_744
    assert not learner._is_model_trained
    assert learner.config.info.num_classes == CLASSES
    assert learner.lr_schedule["step"] == [120, 144]


def test_the_first_version_has_the_learning_rate_first(small_config: str) -> None:
    learner = EfficientPsLearner(0.05, 7, 3, device="cpu", config_file=small_config)
    assert (learner.lr, learner.iters, learner.batch_size) == (0.05, 7, 3)
    assert learner.config.path == small_config
    with pytest.raises(TypeError, match="lr should be a float"):
        EfficientPsLearner(1, 7, device="cpu", config_file=small_config)
    with pytest.raises(TypeError, match="multiple values for keyword argument 'lr'"):
        EfficientPsLearner(0.05, lr=0.1)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("singlegpu_cityscapes.py", "efficientps_b5_cityscapes"),
        ("efficient_ps/configs/singlegpu_kitti.py", "efficientps_b5_kitti"),
        ("own/efficientps.yml", "own/efficientps.yml"),
    ],
)
def test_opendrs_configurations_stand_for_those_here(given: str, used: str) -> None:
    assert known_config(given) == used


def test_fit_returns_the_lines_of_its_log(
    trained: tuple[EfficientPsLearner, Any], log_folder: Path
) -> None:
    learner, history = trained
    assert learner._is_model_trained
    assert [(row["epoch"], row["iter"]) for row in history["train"]] == [(1, 1), (1, 2)]
    for row in history["train"]:
        losses = [row[name] for name in row if name.endswith("_loss")]
        assert len(losses) == 6
        assert row["loss"] == pytest.approx(sum(losses))
        assert row["lr"] < 0.001  # still warming up
    (row,) = history["val"]
    assert {"epoch", "iter", "All", "Things", "Stuff", "per_class"} == row.keys()
    (run,) = log_folder.iterdir()
    assert {"iter_2", "best_model", "train.log", "metrics.jsonl"} <= {
        path.name for path in run.iterdir()
    }
    tree = learner.config.tree
    assert tree["optimizer"] == {
        "type": "Momentum",
        "momentum": 0.9,
        "weight_decay": 0.0001,
        "grad_clip_cfg": {"name": "ClipGradByGlobalNorm", "clip_norm": 35.0},
    }
    assert tree["iters"] == 2


def test_it_trains_on_and_prints_unless_silent(
    small_config: str, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = CityscapesDataset(prepared / "train")
    learner = small_learner(small_config, lr=0.001, iters=1, batch_size=5)
    before = learner.model.state_dict()["rpn_head.rpn_cls.weight"].numpy().copy()
    assert learner.fit(dataset, logging_path=str(tmp_path), silent=True).keys() == {"train"}
    assert capsys.readouterr().out == ""
    first = learner.model.state_dict()["rpn_head.rpn_cls.weight"].numpy().copy()
    with pytest.warns(UserWarning, match="verbose parameter is not supported"):
        learner.fit(dataset, logging_path=str(tmp_path), verbose=True)
    assert "[TRAIN] epoch=1, iter=1/1" in capsys.readouterr().out
    last = learner.model.state_dict()["rpn_head.rpn_cls.weight"].numpy()
    assert (before != first).any()
    assert (first != last).any()
    assert len(list(tmp_path.iterdir())) == 2
    assert dataset.pipeline == learner.config.tree["train_dataset"]["transforms"]


def test_eval_returns_fractions_by_name(
    trained: tuple[EfficientPsLearner, Any], prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learner, history = trained
    results = learner.eval(CityscapesDataset(prepared / "val"), print_results=True)
    assert results == {key: history["val"][0][key] for key in results}
    assert {key: results["All"].keys() for key in ("All", "Things", "Stuff")} == {
        key: {"pq", "sq", "rq", "n"} for key in ("All", "Things", "Stuff")
    }
    assert len(results["per_class"]) == CLASSES
    assert results["per_class"]["road"].keys() == {"pq", "sq", "rq"}
    assert all(0 <= value["pq"] <= 1 for value in results["per_class"].values())
    assert "traffic light" in capsys.readouterr().out


def test_infer_takes_an_image_or_a_list(
    trained: tuple[EfficientPsLearner, Any], image: Image
) -> None:
    learner, _ = trained
    instance, semantic = learner.infer(image)
    assert isinstance(instance, Heatmap)
    assert isinstance(semantic, Heatmap)
    assert instance.data.shape == semantic.numpy().shape == (64, 128)
    assert instance.data.dtype == semantic.data.dtype == np.uint8
    assert semantic.class_names[13] == "car"
    assert (semantic.data[instance.data == 0] == 255).all()
    many = learner.infer([image, image])
    assert [(pair.instance.data == instance.data).all() for pair in many] == [True, True]


def test_heatmaps_are_a_result(trained: tuple[EfficientPsLearner, Any], image: Image) -> None:
    pair = trained[0].infer(image)
    result = pair.to_result()
    assert isinstance(result, pdl.Result)
    assert (result.ids == pair.instance.data).all()
    assert {s.id: s.label for s in result} == pair.instance.class_names
    assert (result.image == image.convert("channels_last")).all()


def test_raw_outputs_are_ids_classes_and_facts(
    trained: tuple[EfficientPsLearner, Any], image: Image
) -> None:
    learner, _ = trained
    ids, categories, meta = learner.infer(image, return_raw_logits=True)
    assert (categories[ids] == learner.infer(image).semantic.data).all()
    assert meta["ori_shape"] == (64, 128, 3)
    assert len(learner.infer([image, image], return_raw_logits=True)) == 2


class OpenDrImage:
    """What the learner sees of an image of OpenDR: `data`, an array."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data


def test_images_of_opendr_and_of_this_project_are_the_same(
    trained: tuple[EfficientPsLearner, Any], image: Image, prepared: Path
) -> None:
    path = next((prepared / "val" / "images").glob("lindau_000001*"))
    rgb = image.convert("channels_last")
    forms = [
        OpenDrImage(image.data),
        OpenDrImage(rgb),  # before 2022
        Image(image.opencv()),
        Image.open(path),
        rgb,
        PillowImage.fromarray(rgb),
        str(path),
    ]
    expected = trained[0].infer(image).instance.data
    for pair in trained[0].infer(forms):
        assert (pair.instance.data == expected).all()
    with pytest.raises(DataError, match="expected an image"):
        trained[0].infer(OpenDrImage(np.zeros((4, 4), np.uint8)))


def test_an_untrained_learner_warns(small_config: str, image: Image) -> None:
    learner = small_learner(small_config)
    with pytest.warns(UserWarning, match="The current model has not been trained"):
        learner.infer(image)


def test_without_a_model_nothing_is_done(
    small_config: str, image: Image, prepared: Path, tmp_path: Path
) -> None:
    learner = small_learner(small_config)
    learner.model = None
    dataset = CityscapesDataset(prepared / "val")
    for call in (
        lambda: learner.infer(image),
        lambda: learner.eval(dataset),
        lambda: learner.fit(dataset, logging_path=str(tmp_path)),
        lambda: learner.save(tmp_path),
    ):
        with pytest.raises(RuntimeError, match="No model loaded"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_what_is_saved_is_loaded(
    trained: tuple[EfficientPsLearner, Any], small_config: str, image: Image, tmp_path: Path
) -> None:
    learner, _ = trained
    assert learner.save(str(tmp_path / "model"))
    folder = tmp_path / "model" / "efficient_ps"
    assert {path.name for path in folder.iterdir()} == {
        "model.pdparams",
        "config.yml",
        "dataset_info.json",
        "efficient_ps.json",
    }
    meta = json.loads((folder / "efficient_ps.json").read_text())
    assert meta == {
        "model_paths": ["/efficient_ps/model.pdparams"],
        "framework": "paddle",
        "format": "pdparams",
        "has_data": False,
        "inference_params": {},
        "optimized": True,
        "optimizer_info": {},
    }
    expected = learner.infer(image)
    untrained = small_learner(small_config)
    of_another_method = PanopticFpnLearner(write_fpn_config(tmp_path), device="cpu")
    for other, path in (
        (untrained, tmp_path / "model"),
        (untrained, folder / "model.pdparams"),
        (of_another_method, folder),  # takes the network and its classes too
    ):
        assert other.load(str(path)) is True
        assert (other.infer(image).instance.data == expected.instance.data).all()
    result = pdl.load_model(folder, "cpu")(image.convert("channels_last"))
    assert (result.ids == expected.instance.data).all()


def write_fpn_config(folder: Path) -> str:
    path = folder / "fpn.yml"
    base = CONFIGS / "panoptic_fpn" / "panoptic_fpn_r18_scenes.yml"
    path.write_text(TINY_PANOPTIC_FPN_CONFIG.format(root=folder, base=base))
    return str(path)


def test_saving_again_warns_and_keeps_other_files(small_config: str, tmp_path: Path) -> None:
    learner = small_learner(small_config)
    with pytest.warns(UserWarning, match="has not been trained"):
        learner.save(tmp_path)
    (tmp_path / "efficient_ps" / "notes.txt").write_text("mine")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert learner.save(tmp_path)
    assert "already exists. Any content will be overwritten." in str(told[-1].message)
    assert (tmp_path / "efficient_ps" / "notes.txt").read_text() == "mine"


def write_authors_pth(learner: PanopticLearner, path: Path) -> Path:
    """The learner's weights as PyTorch's file, linear ones [out, in]."""
    arrays = {name: value.numpy() for name, value in learner.model.state_dict().items()}
    linear = [n for n in arrays if n.startswith("bbox_head.") and n.endswith("weight")]
    return write_pth(path, arrays | {name: np.ascontiguousarray(arrays[name].T) for name in linear})


def test_the_authors_and_opendrs_files_are_loaded(
    trained: tuple[EfficientPsLearner, Any], small_config: str, image: Image, tmp_path: Path
) -> None:
    expected = trained[0].infer(image).instance.data
    folder = tmp_path / "efficient_ps"
    folder.mkdir()
    weights = write_authors_pth(trained[0], folder / "model.pth")
    meta = {"model_paths": ["/efficient_ps/model.pth"], "framework": "pytorch", "format": "pth"}
    (folder / "efficient_ps.json").write_text(json.dumps(meta))
    for path in (weights, folder, tmp_path):
        learner = small_learner(small_config)
        assert learner.load(str(path))
        assert learner._is_model_trained
        assert (learner.infer(image).instance.data == expected).all()


def text_file(path: Path) -> Path:
    path.write_text("no weights")
    return path


def folder_without_weights(path: Path) -> Path:
    path.mkdir()
    (path / f"{path.name}.json").write_text('{"model_paths": ["/x/model.pth"]}')
    return path


def folder_with_a_broken_list(path: Path) -> Path:
    path.mkdir()
    (path / f"{path.name}.json").write_text('{"model_paths": []}')
    return path


def empty_folder(path: Path) -> Path:
    path.mkdir()
    return path


NO_MODELS = [
    (lambda path: path, "no such file or folder"),
    (empty_folder, "No model meta data found at .*thing.pth.json"),
    (folder_without_weights, "No model weights found at .*model.pth"),
    (folder_with_a_broken_list, "expected model_paths, a list of file names"),
    (text_file, "thing.pth"),
]


@pytest.mark.parametrize(("write", "message"), NO_MODELS)
def test_what_is_no_model_is_not_loaded(
    write: Callable[[Path], Path], message: str, small_config: str, tmp_path: Path
) -> None:
    learner = small_learner(small_config)
    with pytest.warns(UserWarning, match=message):
        assert learner.load(write(tmp_path / "thing.pth")) is False
    assert not learner._is_model_trained


WRONG_SETTINGS = [
    ({"lr": 1}, TypeError, "lr should be a float"),
    ({"iters": 1.0}, TypeError, "iters should be an int"),
    ({"batch_size": "1"}, TypeError, "batch_size should be an int"),
    ({"optimizer": 3}, TypeError, "optimizer should be a str"),
    ({"temp_path": Path("x")}, TypeError, "temp_path should be a str"),
    ({"device": 0}, TypeError, "device should be a str"),
    ({"checkpoint_after_iter": 0.5}, TypeError, "checkpoint_after_iter should be an int"),
    ({"iters": 0}, ValueError, "iters should be at least 1, got 0"),
    ({"batch_size": 0}, ValueError, "batch_size should be at least 1, got 0"),
    ({"checkpoint_after_iter": -1}, ValueError, "checkpoint_after_iter should be at least 0"),
    ({"num_workers": -1}, ValueError, r"num_workers should be positive\."),
    ({"num_workers": 1.5}, TypeError, r"num_workers should be an integer\."),
    ({"seed": -3}, UsageError, "seed: expected a number from 0"),
    ({"seed": "3"}, UsageError, "seed: expected a number from 0"),
    ({"device": "tpu"}, UsageError, "expected cpu, cuda or cuda:N, got 'tpu'"),
    ({"optimizer": "Adan"}, UsageError, r'did you mean "Adam"\?'),
    ({"lr_schedule": {"policy": "steps"}}, UsageError, r'did you mean "step"\?'),
    ({"lr_schedule": "step"}, UsageError, "lr_schedule: expected a dictionary, got 'step'"),
    ({"optimizer_config": 35}, UsageError, "optimizer_config: expected a dictionary, got 35"),
    ({"optimizer_config": {"grad_clip": 35}}, UsageError, "grad_clip: expected a dictionary"),
    ({"config_file": "efficientps_b6"}, UsageError, "no such configuration file"),
]


@pytest.mark.parametrize(("settings", "error", "message"), WRONG_SETTINGS)
def test_wrong_settings_are_refused_at_once(
    settings: dict[str, Any], error: type[Exception], message: str, small_config: str
) -> None:
    with pytest.raises(error, match=message):
        EfficientPsLearner(**{"config_file": small_config, "device": "cpu"} | settings)


def test_properties_are_checked_when_they_are_set(small_config: str) -> None:
    learner = small_learner(small_config)
    learner.num_workers = 3
    assert learner.num_workers == 3
    with pytest.raises(TypeError, match=r"num_workers should be an integer\."):
        learner.num_workers = 1.5
    with pytest.raises(ValueError, match=r"num_workers should be positive\."):
        learner.num_workers = 0
    with pytest.raises(TypeError, match="iters should be an int"):
        learner.iters = True
    for call in (lambda: learner.optimize("cpu"), learner.reset):
        with pytest.raises(NotImplementedError):
            call()


def test_data_sets_that_do_not_fit_are_refused_before_training(
    small_config: str, prepared: Path, tmp_path: Path
) -> None:
    train = CityscapesDataset(prepared / "train")
    with pytest.raises(RuntimeError, match="does not contain panoptic ground truth values"):
        small_learner(small_config).fit(train, train, logging_path=str(tmp_path))
    for datasets in [("cityscapes",), (train, [])]:
        with pytest.raises(TypeError, match="expected a CityscapesDataset or a KittiDataset"):
            small_learner(small_config).fit(*datasets, logging_path=str(tmp_path))
    with pytest.raises(UsageError, match="batch_size 6"):
        small_learner(small_config, batch_size=6).fit(train, logging_path=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_visualize_draws_what_infer_returns(
    trained: tuple[EfficientPsLearner, Any], image: Image, tmp_path: Path
) -> None:
    pair = trained[0].infer(image)
    path = tmp_path / "overlay.png"
    drawn = EfficientPsLearner.visualize(image, pair, False, True, str(path))
    overlay = pair.to_result().plot()
    assert (drawn.convert("channels_last") == overlay).all()
    assert (np.asarray(PillowImage.open(path)) == overlay).all()
    sheet = EfficientPsLearner.visualize(
        image, pair, show_figure=False, figure_size=(6, 4), detailed=True
    )
    assert sheet.data.shape == (3, 400, 600)


def test_visualize_takes_opendrs_maps_and_shows_them(
    image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenDR counts segments from 0: here the road is 0 and a car 1."""
    ids = np.zeros((64, 128), np.uint8)
    ids[20:40, 30:60] = 1
    semantic = np.where(ids == 1, 13, 0).astype(np.uint8)
    shown: list[PillowImage.Image] = []
    monkeypatch.setattr(PillowImage.Image, "show", lambda image: shown.append(image))
    EfficientPsLearner.visualize(image, (OpenDrImage(ids), OpenDrImage(semantic)))
    assert len(shown) == 1
    with pytest.raises(ValueError, match="save_figure needs a figure_filename"):
        EfficientPsLearner.visualize(image, (ids, semantic), save_figure=True)
    with pytest.raises(DataError, match=r"overlay.txt: expected an image file such as .png"):
        EfficientPsLearner.visualize(
            image, (OpenDrImage(ids), OpenDrImage(semantic)), False, True, "overlay.txt"
        )
    with pytest.raises(DataError, match="expected two maps"):
        EfficientPsLearner.visualize(image, (OpenDrImage(ids[1:]), OpenDrImage(semantic)))


def test_ids_above_255_are_kept() -> None:
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES
    from panoptic_deeplab.learners.heatmap import heatmaps_of
    from panoptic_deeplab.structures import Prediction, Segment

    ids = np.arange(300, dtype=np.int32).reshape(15, 20)
    segments = [Segment(number, 13, area=1, is_thing=True) for number in range(1, 300)]
    image = np.zeros((15, 20, 3), np.uint8)
    pair = heatmaps_of(pdl.Result(image, Prediction(ids, segments), CITYSCAPES))
    assert pair.instance.data.max() == 299
    assert pair.semantic.data.dtype == np.uint8


def test_download_asks_a_person_where_only_one_can_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"only a browser can fetch https.*put the file under"):
        EfficientPsLearner.download(str(tmp_path / "weights"))
    (tmp_path / "weights" / "model_kitti.pth").write_bytes(b"fetched before")
    found = EfficientPsLearner.download(str(tmp_path / "weights"), trained_on="kitti")
    assert found == str(tmp_path / "weights" / "model_kitti.pth")


def test_download_copies_what_was_fetched(
    trained: tuple[EfficientPsLearner, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    weights = write_authors_pth(trained[0], tmp_path / "model.pth")
    shutil.make_archive(str(tmp_path / "cache" / "efficientPS_kitti"), "zip", tmp_path, "model.pth")
    found = EfficientPsLearner.download(str(tmp_path / "weights"), "model", "kitti")
    assert found == str(tmp_path / "weights" / "model_kitti.pth")
    assert Path(found).read_bytes() == weights.read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "models"}, r'Invalid mode\. Valid options are \["model", "test_data"\]'),
        ({"mode": "test_data"}, "OpenDR's own images"),
        (
            {"trained_on": "coco"},
            r"pre-trained on coco\. Valid options are \['cityscapes', 'kitti'\]",
        ),
    ],
)
def test_download_refuses(settings: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        EfficientPsLearner.download(str(tmp_path), **settings)


def solov2_config(folder: Path) -> str:
    path = folder / "solo.yml"
    base = CONFIGS / "efficientps" / "efficientps_solov2_b0_scenes.yml"
    path.write_text(
        f"_base_: {base}\nmodel: {{backbone: {{width: 0.25, depth: 0.3}}, channels: 16, "
        "semantic_channels: 8, solo_channels: 32, kernel_channels: 8, mask_channels: 8}\n"
        "train_dataset: {transforms: [{type: RandomPaddingCrop, crop_size: [96, 64]}]}\n"
    )
    return str(path)


def deeplab_config(folder: Path) -> str:
    path = folder / "deeplab.yml"
    path.write_text(TINY_CONFIG.format(root=folder))
    return str(path)


@pytest.mark.parametrize(
    ("learner_class", "write_config", "method"),
    [
        (EfficientPsLearner, solov2_config, "efficient_ps"),
        (PanopticDeepLabLearner, deeplab_config, "panoptic_deeplab"),
        (PanopticFpnLearner, write_fpn_config, "panoptic_fpn"),
    ],
)
def test_all_methods_have_one_face(
    learner_class: type[PanopticLearner],
    write_config: Callable[[Path], str],
    method: str,
    prepared: Path,
    image: Image,
    tmp_path: Path,
) -> None:
    settings = {"lr": 0.001, "iters": 1, "batch_size": 5, "device": "cpu", "num_workers": 0}
    learner = learner_class(write_config(tmp_path), **settings)
    dataset = CityscapesDataset(prepared / "train")
    history = learner.fit(dataset, logging_path=str(tmp_path / "log"), silent=True)
    assert math.isfinite(history["train"][0]["loss"])
    assert learner.eval(CityscapesDataset(prepared / "val"))["All"]["n"] > 0
    assert learner.save(tmp_path)
    assert (tmp_path / method / f"{method}.json").is_file()
    other = learner_class(learner.config.path, device="cpu")
    assert other.load(tmp_path)
    assert (other.infer(image).instance.data == learner.infer(image).instance.data).all()


def test_kitti_is_trained_and_scored_at_its_size(small_config: str, tmp_path: Path) -> None:
    KittiDataset.prepare_data(write_kitti(tmp_path / "raw"), tmp_path / "kitti")
    train, val = (KittiDataset(tmp_path / "kitti" / name) for name in ("train", "val"))
    learner = small_learner(small_config, lr=0.001)
    history = learner.fit(train, val, logging_path=str(tmp_path / "log"), silent=True)
    assert history["val"][0]["All"]["n"] >= 4
    assert learner.infer(val[0][0]).instance.data.shape == (320, 1248)  # of the image itself


@pytest.mark.parametrize(
    "learner_class", [EfficientPsLearner, PanopticDeepLabLearner, PanopticFpnLearner]
)
def test_what_a_learner_names_is_there(learner_class: type[PanopticLearner]) -> None:
    """By default it learns the classes that the data sets here have."""
    config = Config(learner_class.default_config)
    assert config.info.name == "Cityscapes"
    assert set(learner_class.published.values()) <= set(zoo())


def test_what_is_not_given_follows_the_configuration(tmp_path: Path) -> None:
    learner = PanopticDeepLabLearner(deeplab_config(tmp_path), device="cpu")
    assert (learner.lr, learner.batch_size, learner.optimizer) == (0.001, 2, "Adam")
    assert (learner.iters, learner.lr_schedule) == (242, None)


def test_what_is_given_changes_the_configurations_optimizer(tmp_path: Path, prepared: Path) -> None:
    clip = {"grad_clip": {"max_norm": 1, "norm_type": 2}}
    learner = PanopticDeepLabLearner(
        deeplab_config(tmp_path),
        iters=1,
        weight_decay=0.5,
        optimizer_config=clip,
        device="cpu",
        num_workers=0,
    )
    learner.fit(CityscapesDataset(prepared / "train"), logging_path=str(tmp_path), silent=True)
    assert learner.config.tree["optimizer"] == {
        "type": "Adam",
        "weight_decay": 0.5,
        "grad_clip_cfg": {"name": "ClipGradByGlobalNorm", "clip_norm": 1.0},
    }


def test_other_classes_than_the_data_sets_are_refused(tmp_path: Path, prepared: Path) -> None:
    config = tmp_path / "other.yml"
    categories = "categories: [{id: 1, name: road, isthing: 0, color: [1, 2, 3]}]\n"
    config.write_text(categories + TINY_CONFIG.format(root=tmp_path))
    learner = PanopticDeepLabLearner(str(config), device="cpu")
    dataset = CityscapesDataset(prepared / "val")
    for call in (learner.eval, learner.fit):
        with pytest.raises(DataError, match=r"trained for 1 classes .*, the data set here has 19"):
            call(dataset)
