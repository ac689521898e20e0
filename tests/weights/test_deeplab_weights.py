"""Weights of Panoptic-DeepLab as detectron2 and bowenc0221 publish them become a network's here."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest
from torch_files import Arrays, write_old_pth, write_pth

from panoptic_deeplab.cli.weights import main
from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights import load_network, load_pretrained, read_weights
from panoptic_deeplab.weights.origins import (
    BOWENC0221,
    DETECTRON2_DEEPLAB,
    DETECTRON2_DEEPLAB_BACKBONE,
    Origin,
)

CONFIG = """
train_dataset: {type: CityscapesPanoptic, dataset_root: nowhere, mode: train}
model: {type: PanopticDeepLab, aspp_out_channels: 8, decoder_channels: 8,
  instance_aspp_out_channels: 8, instance_decoder_channels: 8, instance_head_channels: 4,
  backbone: {type: ResNet, depth: 50, width: 4, norm: batch, frozen_stages: 0}}
"""
DETECTRON2 = (
    "model.backbone.deep_stem=true",
    "model.backbone_indices=[1,0,3]",
    "model.low_level_channels_projects=[6,4]",
    "model.instance_low_level_channels_projects=[6,4]",
    "model.aspp_pooling=bias",
)
SEPARABLE = (*DETECTRON2, "model.separable_aspp=true", "model.separable_center=false")
PLAIN = (*DETECTRON2, "model.separable=false", "model.separable_center=false")
FORMS = {
    "separable": (DETECTRON2_DEEPLAB, SEPARABLE),
    "plain": (DETECTRON2_DEEPLAB, PLAIN),
    "bowenc0221": (BOWENC0221, ("model.aspp_pooling=plain",)),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.yml"
    path.write_text(CONFIG)
    return path


def drawn(part: paddle.nn.Layer) -> Arrays:
    random = np.random.default_rng(0)
    state = part.state_dict()
    return {n: random.normal(size=tuple(v.shape)).astype(np.float32) for n, v in state.items()}


def published(here: Arrays, origin: Origin) -> Arrays:
    """The same weights under the names there, with the counters that PyTorch adds."""
    there = {name: here[own] for own, name in origin.names_of(list(here)).items()}
    assert len(there) == len(here)
    norms = [name for name in there if name.endswith(".running_mean")]
    counters = {n.replace("running_mean", "num_batches_tracked"): np.array(9) for n in norms}
    return there | counters


def write_pkl(path: Path, arrays: Arrays) -> Path:
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "someone"}, 2))
    return path


def write_training(path: Path, arrays: Arrays) -> Path:
    """As a training of several GPUs saves them, an optimizer beside."""
    return write_pth(path, {f"module.{name}": array for name, array in arrays.items()})


WRITERS = {"a.pkl": write_pkl, "a.pth": write_training, "old.pth": write_old_pth}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("file", WRITERS)
def test_weights_are_taken_as_they_are(
    tmp_path: Path,
    small: Path,
    form: str,
    file: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    origin, opts = FORMS[form]
    config = Config(small, opts)
    here = drawn(config.model)
    path = WRITERS[file](tmp_path / file, published(here, origin))
    with caplog.at_level("WARNING", "panoptic_deeplab"):
        load_network(config, path, "")
    assert f"license: {origin.license}" in caplog.text
    for name, value in config.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), here[name], err_msg=name)

    arguments = {"--config": small, "--model_path": path, "--save_dir": tmp_path / "converted"}
    words = [str(word) for pair in arguments.items() for word in pair]
    assert main(["convert", *words, "--opts", *opts]) == 0
    told = capsys.readouterr().out
    assert f"mapped: {len(here)} entries" in told
    assert f"license: {origin.license}" in told
    np.testing.assert_equal(read_weights(tmp_path / "converted"), here)


def test_another_form_is_refused_by_its_names(tmp_path: Path, small: Path) -> None:
    here = drawn(Config(small, SEPARABLE).model)
    path = write_pkl(tmp_path / "a.pkl", published(here, DETECTRON2_DEEPLAB))
    with pytest.raises(DataError, match="are not of the network that --config describes") as error:
        load_network(Config(small, PLAIN), path, "")
    assert "missing (" in str(error.value)
    assert "not of this network (" in str(error.value)


def test_the_backbone_with_three_convolutions_keeps_its_colors(tmp_path: Path, small: Path) -> None:
    config = Config(small, SEPARABLE)
    here = drawn(config.model.backbone)
    there = published(here, DETECTRON2_DEEPLAB_BACKBONE)
    assert {"stem.conv1.weight", "stem.conv3.norm.bias", "res2.0.shortcut.weight"} <= set(there)
    there |= {"stem.fc.weight": np.ones((1000, 8), np.float32)}
    path = write_pkl(tmp_path / "R-52.pkl", there)
    words = ["--config", small, "--model_path", path, "--save_dir", tmp_path / "made"]
    assert main(["convert", *map(str, words), "--opts", *SEPARABLE]) == 0
    load_pretrained(config.model, {"backbone": str(tmp_path / "made" / "model.pdparams")})
    for name, value in config.model.backbone.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), here[name], err_msg=name)
