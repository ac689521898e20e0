"""A network begins with the weights of one for other classes: rows by name, the others anew."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import paddle
import pytest
from conftest import TINY_CONFIG

from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import Category, DatasetInfo
from panoptic_deeplab.weights import INFO_FILE, load_first_weights
from panoptic_deeplab.weights.other_classes import class_axes

HEAD = ("semantic_head.weight", "semantic_head.bias")


def classes(*names: str) -> DatasetInfo:
    """Classes of these names; those that begin with a capital letter are things."""
    return DatasetInfo(
        "drawn", tuple(Category(n, n.istitle(), (0, 0, 0), i) for i, n in enumerate(names))
    )


def network(info: DatasetInfo, tmp_path: Path, seed: int, *opts: str) -> Config:
    path = tmp_path / "tiny.yml"
    path.write_text(TINY_CONFIG.format(root=tmp_path / "nowhere"))
    config = Config(path, opts)
    config.info = info
    paddle.seed(seed)
    bias = config.model.semantic_head.bias
    bias.set_value(paddle.arange(info.num_classes, dtype="float32") + 100 * seed)
    return config


def saved(config: Config, folder: Path, names_classes: bool = True) -> str:
    """The folder of a checkpoint of the network."""
    folder.mkdir()
    paddle.save(config.model.state_dict(), str(folder / "model.pdparams"))
    if names_classes:
        (folder / INFO_FILE).write_text(json.dumps(config.info.to_dict()))
    return str(folder)


def values(config: Config) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in config.model.state_dict().items()}


@pytest.mark.parametrize(
    ("there", "here", "bias", "told"),
    [
        (("road", "sky", "Car"), ("floor", "Car", "Box", "sky"), [200, 102, 202, 101],
         "Classes to be trained anew: floor, Box; the weights of Car, sky are loaded by name"),
        (("road", "sky", "Car"), ("Car", "sky", "road"), [102, 101, 100],
         "Classes to be trained anew: no class; the weights of Car, sky, road are loaded by name"),
        (("road", "Car"), ("floor", "Box"), [200, 201], "Classes to be trained anew: floor, Box"),
        (("road", "Car"), ("road", "Car"), [100, 101], ""),
    ],
    ids=["some", "another order", "none", "the same"],
)  # fmt: skip
def test_a_class_takes_the_row_of_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
    there: tuple[str, ...], here: tuple[str, ...], bias: list[int], told: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    trained, config = network(classes(*there), tmp_path, 1), network(classes(*here), tmp_path, 2)
    load_first_weights(config, init=saved(trained, tmp_path / "run"))
    before, after = values(trained), values(config)
    assert after["semantic_head.bias"].tolist() == bias
    rows = [there.index(name) for name in here if name in there]
    places = [index for index, name in enumerate(here) if name in there]
    np.testing.assert_array_equal(after[HEAD[0]][places], before[HEAD[0]][rows])
    others = before.keys() - set(HEAD)
    assert all(np.array_equal(before[name], after[name]) for name in others)
    assert f"trained for {len(there)} classes" in caplog.messages[0]
    assert caplog.messages[1:] == ([told] if told else [])


def test_without_names_of_classes_all_begin_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained = network(classes("road", "Car"), tmp_path, 1)
    config = network(classes("road", "Car", "Box"), tmp_path, 2)
    load_first_weights(config, init=saved(trained, tmp_path / "run", names_classes=False))
    assert values(config)["semantic_head.bias"].tolist() == [200, 201, 202]
    assert "Classes to be trained anew: road, Car, Box" in caplog.text


@pytest.mark.parametrize("opts", [["model.channels=[4,4,4,8,8]"], ["model.blocks=[0,0,1,2]"]])
def test_another_network_is_refused_in_one_line(tmp_path: Path, opts: list[str]) -> None:
    trained = network(classes("road", "Car"), tmp_path, 1, *opts)
    config = network(classes("floor", "Box", "wall"), tmp_path, 2)
    before = values(config)
    folder = saved(trained, tmp_path / "run")
    with pytest.raises(DataError) as failure:
        load_first_weights(config, init=folder)
    message = str(failure.value)
    assert message.startswith(f"{folder}: these weights are not of the network of tiny: ")
    assert message.endswith("or add --allow_partial to load what fits")
    assert "semantic_head" not in message, "what depends on the classes may differ"
    assert len(message) < 500 + len(folder)
    assert all(np.array_equal(before[name], value) for name, value in values(config).items())
    load_first_weights(config, partial=True, init=folder)
    assert not np.array_equal(
        before["center_head.predict.weight"], values(config)["center_head.predict.weight"]
    )


def test_names_of_another_training_beside_the_weights_are_refused(tmp_path: Path) -> None:
    folder = saved(network(classes("road", "Car"), tmp_path, 1), tmp_path / "run")
    other = classes("road", "Car", "sky").to_dict()
    (tmp_path / "run" / INFO_FILE).write_text(json.dumps(other))
    config = network(classes("floor", "sky"), tmp_path, 2)
    with pytest.raises(DataError, match=r"for 2 classes, but dataset_info\.json beside it names 3"):
        load_first_weights(config, init=folder)


def test_no_such_weights(tmp_path: Path) -> None:
    config = network(classes("floor", "Box"), tmp_path, 2)
    with pytest.raises(
        DataError, match="efficientps_b5_citiscapes: no such weights file, nor a name"
    ):
        load_first_weights(config, init="efficientps_b5_citiscapes")


def test_all_heads_of_a_two_stage_network_are_found(tiny_panoptic_fpn_config: Path) -> None:
    axes = class_axes(Config(tiny_panoptic_fpn_config))
    layers = {name.rpartition(".")[0] for name in axes}
    assert layers == {
        "roi_head.bbox_head.fc_cls",
        "roi_head.bbox_head.fc_reg",
        "roi_head.mask_head.conv_logits",
        "semantic_head.conv_logits",
    }
    assert not any(axis.is_row_per_class for axis in axes.values()), "things, or with a background"
