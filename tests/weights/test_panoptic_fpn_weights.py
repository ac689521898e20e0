"""Weights of Panoptic FPN as mmdetection and detectron2 publish them become a network's here."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
from torch_files import Arrays, dictionary, text, write_old_pth, write_pth

from panoptic_deeplab.cli.weights import main
from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.inference.location import locate_model
from panoptic_deeplab.weights import (
    load_first_weights,
    load_network,
    load_pretrained,
    read_info_beside,
    read_weights,
)

CLASSES = (("car", 1), ("road", 0), ("person", 1), ("sky", 0), ("bus", 1))
CONFIG = "name: own\ncategories:\n" + "".join(
    f"  - {{id: {i}, name: {name}, isthing: {thing}, color: [0, 0, {i}]}}\n"
    for i, (name, thing) in enumerate(CLASSES, start=1)
)
MODEL = """
model: {{type: PanopticFPN, channels: 8, semantic_channels: 32, box_channels: 8,
  backbone: {{type: ResNet, depth: 50, width: 8, stride_in_1x1: {early}, norm: {norm}}}}}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.yml"
    path.write_text(CONFIG + MODEL.format(early="true", norm="frozen"))
    return path


@pytest.fixture(scope="module")
def here(config: Path) -> Arrays:
    """Random weights of the network."""
    random = np.random.default_rng(0)
    state = Config(config).model.state_dict()
    return {n: random.normal(size=tuple(v.shape)).astype(np.float32) for n, v in state.items()}


def mmdetections(here: Arrays, things: list[int], stuff: list[int]) -> Arrays:
    """The same weights with the classes in another order: the ith thing there is things[i] here."""
    there = {}
    for name, array in here.items():
        if ".bbox_head." in name and array.ndim == 2:
            array = array.T
        if ".fc_cls." in name:
            array = array[[*things, 3]]
        elif ".fc_reg." in name:
            array = np.concatenate([array[4 * thing : 4 * thing + 4] for thing in things])
        elif ".mask_head.conv_logits." in name:
            array = array[things]
        elif "semantic_head.conv_logits." in name:
            array = array[[*stuff, 2]]
        there[name] = np.ascontiguousarray(array)
    return there | {"backbone.bn1.num_batches_tracked": np.array(7, np.int64)}


def detectron2s(here: Arrays) -> Arrays:
    """The same weights by detectron2's names; colors are blue, green, red, and things first."""
    there = {}
    for name, array in mmdetections(here, [0, 1, 2], [0, 1]).items():
        if name == "backbone.conv1.weight":
            array = array[:, ::-1]
        elif name.startswith("semantic_head.conv_logits"):
            array = array[[2, 0, 1]]
        if not name.endswith("num_batches_tracked"):
            there[detectron2_name(name)] = np.ascontiguousarray(array)
    assert set(SOME_NAMES.values()) <= set(there)
    return there | {"pixel_mean": np.zeros((3, 1, 1), np.float32)}


SOME_NAMES = {
    "backbone.conv1.weight": "backbone.bottom_up.stem.conv1.weight",
    "backbone.bn1.running_var": "backbone.bottom_up.stem.conv1.norm.running_var",
    "backbone.layer1.0.conv1.weight": "backbone.bottom_up.res2.0.conv1.weight",
    "backbone.layer2.3.bn2.bias": "backbone.bottom_up.res3.3.conv2.norm.bias",
    "backbone.layer4.0.downsample.0.weight": "backbone.bottom_up.res5.0.shortcut.weight",
    "backbone.layer4.0.downsample.1.weight": "backbone.bottom_up.res5.0.shortcut.norm.weight",
    "neck.lateral_convs.0.conv.weight": "backbone.fpn_lateral2.weight",
    "neck.fpn_convs.3.conv.bias": "backbone.fpn_output5.bias",
    "rpn_head.rpn_conv.weight": "proposal_generator.rpn_head.conv.weight",
    "rpn_head.rpn_cls.bias": "proposal_generator.rpn_head.objectness_logits.bias",
    "rpn_head.rpn_reg.bias": "proposal_generator.rpn_head.anchor_deltas.bias",
    "roi_head.bbox_head.shared_fcs.1.weight": "roi_heads.box_head.fc2.weight",
    "roi_head.bbox_head.fc_cls.weight": "roi_heads.box_predictor.cls_score.weight",
    "roi_head.bbox_head.fc_reg.weight": "roi_heads.box_predictor.bbox_pred.weight",
    "roi_head.mask_head.convs.0.conv.weight": "roi_heads.mask_head.mask_fcn1.weight",
    "roi_head.mask_head.upsample.bias": "roi_heads.mask_head.deconv.bias",
    "roi_head.mask_head.conv_logits.weight": "roi_heads.mask_head.predictor.weight",
    "semantic_head.conv_upsample_layers.0.conv.0.conv.weight": "sem_seg_head.p2.0.weight",
    "semantic_head.conv_upsample_layers.3.conv.2.conv.weight": "sem_seg_head.p5.4.weight",
    "semantic_head.conv_upsample_layers.2.conv.1.gn.bias": "sem_seg_head.p4.2.norm.bias",
    "semantic_head.conv_logits.bias": "sem_seg_head.predictor.bias",
}
"""Each kind of name, as it stands in a published file."""


def detectron2_name(name: str) -> str:
    """The name with the numbers of a like one of `SOME_NAMES`."""
    from panoptic_deeplab.weights.origins import DETECTRON2

    found = DETECTRON2.names_of([name])[name]
    assert SOME_NAMES.get(name, found) == found
    return found


def run(config: Path, weights: Path) -> tuple[int, Path]:
    output = weights.parent / "converted"
    paths = {"--config": config, "--model_path": weights, "--save_dir": output}
    return main(["convert", *(str(part) for pair in paths.items() for part in pair)]), output


def names(*classes: str) -> dict[str, bytes]:
    """What mmdetection writes beside weights."""
    listed = b"](" + b"".join(map(text, classes)) + b"e"
    return {"meta": dictionary({"CLASSES": listed, "mmdet_version": text("2.25.0")})}


@pytest.mark.parametrize("write", [write_pth, write_old_pth], ids=["zip", "old format"])
def test_mmdetections_weights_with_their_classes_in_another_order(
    write: Callable[..., Path],
    tmp_path: Path,
    config: Path,
    here: Arrays,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Here the things are car, person, bus and the stuff road, sky; there otherwise."""
    there = mmdetections(here, [2, 0, 1], [1, 0])
    beside = names("bus", "car", "person", "sky", "road")
    code, output = run(config, write(tmp_path / "fpn.pth", there, beside))
    assert code == 0
    assert read_weights(output).keys() == here.keys()
    for name, array in read_weights(output).items():
        np.testing.assert_array_equal(array, here[name], err_msg=name)
    told = capsys.readouterr().out
    assert "Panoptic FPN of mmdetection" in told
    assert "license: Apache License 2.0" in told
    assert "arranged: the classes" in told
    assert "backbone.bn1.num_batches_tracked" in told
    assert "made" not in told, "its batch norms scale by their weights"
    assert [c.name for c in read_info_beside(output).categories] == [name for name, _ in CLASSES]
    again = Config(output / "config.yml")
    again.model.set_state_dict(read_weights(output))
    again.model.eval()
    with paddle.no_grad():
        assert again.model(paddle.rand([1, 3, 64, 64]))["semantic"].shape == [1, 3, 16, 16]


def test_without_names_the_classes_are_those_of_the_configuration(
    tmp_path: Path, config: Path, here: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = run(
        config, write_pth(tmp_path / "fpn.pth", mmdetections(here, [0, 1, 2], [0, 1]))
    )
    assert code == 0
    for name, array in read_weights(output).items():
        np.testing.assert_array_equal(array, here[name], err_msg=name)
    assert "arranged" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("classes", "other"),
    [
        (("car", "person", "tram", "road", "sky"), "tram"),
        (("car", "person", "road", "bus", "sky"), "5 of them"),  # things are first
        (("car", "person", "bus", "road"), "4 of them"),
    ],
)
def test_other_classes_are_refused(
    classes: tuple[str, ...],
    other: str,
    tmp_path: Path,
    config: Path,
    here: Arrays,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = mmdetections(here, [0, 1, 2], [0, 1])
    code, output = run(config, write_pth(tmp_path / "fpn.pth", weights, names(*classes)))
    told = capsys.readouterr().err
    assert code == 1
    assert f"got others: {other}" in told
    assert told.count("\n") == 1
    assert not output.exists()


def test_detectron2s_pickle(
    tmp_path: Path, config: Path, here: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model_final.pkl"
    content = {"model": detectron2s(here), "__author__": "somebody", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(content, protocol=2))
    code, output = run(config, path)
    assert code == 0
    for name, array in read_weights(output).items():
        np.testing.assert_array_equal(array, here[name], err_msg=name)
    told = capsys.readouterr().out
    assert "Panoptic FPN of detectron2" in told
    assert "license: Creative Commons Attribution-ShareAlike 3.0" in told
    report = json.loads((output / "conversion.json").read_text())
    assert "backbone.conv1.weight" in report["arranged"], "blue and red change places"
    assert set(report["dropped"]) == {"pixel_mean", "__author__", "matching_heuristics"}


def test_a_pickle_of_anything_else_is_refused(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model_final.pkl"
    for content, message in (
        ({"model": {"a": "text"}}, "expected named arrays of numbers, got str for 'a'"),
        ([1, 2], "expected named weights, got list"),
        ({"model": {"conv.weight": np.zeros(3)}}, "got entries such as conv.weight"),
    ):
        path.write_bytes(pickle.dumps(content))
        assert run(config, path)[0] == 1
        assert message in capsys.readouterr().err


def test_old_storages_that_lie(
    tmp_path: Path, config: Path, here: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut off, of another version, or with a length that no tensor has."""
    whole = write_old_pth(tmp_path / "fpn.pth", mmdetections(here, [0, 1, 2], [0, 1])).read_bytes()
    version = b"J" + (1001).to_bytes(4, "little")
    first = whole.rindex(b"e.", 0, whole.index(here["backbone.conv1.weight"].tobytes())) + 2
    for content in (
        whole[:-4],
        whole[: len(whole) // 2],
        whole.replace(version, b"J" + (1002).to_bytes(4, "little"), 1),
        whole[:first] + b"\xff" + whole[first + 1 :],
        whole[:first] + b"\xff" * 8 + whole[first + 8 :],
    ):
        (tmp_path / "fpn.pth").write_bytes(content)
        code, output = run(config, tmp_path / "fpn.pth")
        told = capsys.readouterr().err
        assert code == 1
        assert told.startswith(f"error: {tmp_path / 'fpn.pth'}: not ")
        assert told.count("\n") == 1
        assert not output.exists()


def backbone_of(here: Arrays) -> Arrays:
    prefix = "backbone."
    return {n.removeprefix(prefix): value for n, value in here.items() if n.startswith(prefix)}


def test_torchvisions_backbone(
    tmp_path: Path, config: Path, here: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is what a network starts from: `model.backbone.pretrained`."""
    others = {"fc.weight": np.ones((5, 256), np.float32), "fc.bias": np.ones(5, np.float32)}
    code, output = run(config, write_pth(tmp_path / "resnet50.pth", backbone_of(here) | others))
    assert code == 0
    told = capsys.readouterr().out
    assert "ResNet of torchvision" in told
    assert "dropped: fc.weight, fc.bias: the classifier of ImageNet" in told
    assert read_info_beside(output) is None, "it knows no classes"
    check_backbone(config, output, here)


@pytest.mark.parametrize("file", ["resnet50.pth", "R-50.pkl"])
def test_a_training_starts_from_a_published_backbone(
    tmp_path: Path,
    config: Path,
    here: Arrays,
    file: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / file
    if path.suffix == ".pth":
        write_pth(path, backbone_of(here))
    else:
        path.write_bytes(pickle.dumps({"model": caffe2s(backbone_of(here))}))
    started = Config(config, [f"model.backbone.pretrained={path}"])
    with caplog.at_level("INFO", "panoptic_deeplab"):
        load_first_weights(started)
    assert "Loaded model.backbone.pretrained from" in caplog.text
    assert "license:" in caplog.text
    for name, value in started.model.state_dict().items():
        in_file = file == "resnet50.pth" or "running_" not in name
        if name.startswith("backbone.") and in_file:
            np.testing.assert_array_equal(value.numpy(), here[name], err_msg=name)
    with pytest.raises(DataError, match=r"are for the backbone, not for what model\.pretrained"):
        load_first_weights(Config(config, [f"model.pretrained={path}"]))


def test_detectron2s_backbone(
    tmp_path: Path, config: Path, here: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blue and red change places."""
    prefix = "backbone.bottom_up."
    there = {n.removeprefix(prefix): v for n, v in detectron2s(here).items() if prefix in n}
    assert {"stem.conv1.weight", "res2.0.conv1.norm.running_mean"} <= set(there)
    path = tmp_path / "R-50.pkl"
    content = there | {"stem.fc.weight": np.ones((5, 256), np.float32)}
    path.write_bytes(pickle.dumps({"model": content, "matching_heuristics": True}))
    code, output = run(config, path)
    assert code == 0
    assert "ResNet of MSRA, as detectron2 has it" in capsys.readouterr().out
    check_backbone(config, output, here)


def test_torchvisions_backbone_in_detectron2s_form_keeps_its_colors(
    tmp_path: Path, config: Path, here: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = "backbone.bottom_up."
    there = {n.removeprefix(prefix): v for n, v in detectron2s(here).items() if prefix in n}
    there["stem.conv1.weight"] = here["backbone.conv1.weight"]
    path = tmp_path / "R-50.pkl"
    content = {"model": there, "__author__": "torchvision", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(content))
    code, output = run(config, path)
    assert code == 0
    told = capsys.readouterr().out
    assert "ResNet of torchvision, as detectron2 has it" in told
    assert "dropped: __author__, matching_heuristics: about the file, no weight" in told
    check_backbone(config, output, here)


CAFFE2 = {
    r"^layer1\.(\d)\.": r"res2_\1_",
    r"^layer2\.(\d)\.": r"res3_\1_",
    r"^layer3\.(\d)\.": r"res4_\1_",
    r"^layer4\.(\d)\.": r"res5_\1_",
    "_conv1": "_branch2a",
    "_conv2": "_branch2b",
    "_conv3": "_branch2c",
    r"_bn1\.": "_branch2a_bn.",
    r"_bn2\.": "_branch2b_bn.",
    r"_bn3\.": "_branch2c_bn.",
    "downsample.0": "branch1",
    "downsample.1": "branch1_bn",
    r"^bn1\.": "res_conv1_bn.",
    "bn.weight": "bn_s",
    "bn.bias": "bn_b",
    ".weight": "_w",
}


def caffe2s(backbone: Arrays) -> Arrays:
    """As Detectron has them: norms without statistics, blue first."""
    there = {}
    for name, array in backbone.items():
        if "running_" in name:
            continue
        place = name
        for pattern, word in CAFFE2.items():
            place = re.sub(pattern, word, place)
        there[place] = array[:, ::-1] if name == "conv1.weight" else array
    return there


@pytest.mark.parametrize("under", ["blobs", "nothing"])
def test_caffe2s_backbone(
    tmp_path: Path, config: Path, here: Arrays, under: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Means are 0 and variances 1 where a norm is a scale and a shift only."""
    there = caffe2s(backbone_of(here))
    assert {"res2_0_branch2a_w", "res5_2_branch2c_bn_s", "res3_0_branch1_bn_b"} <= set(there)
    extra = {"fc1000_w": np.ones((5, 256), np.float32), "conv1_w_momentum": there["conv1_w"]}
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps({"blobs": there | extra} if under == "blobs" else there | extra))
    code, output = run(config, path)
    assert code == 0
    told = capsys.readouterr().out
    assert f"mapped: {len(there)} entries" in told
    assert "dropped: fc1000_w: the classifier of ImageNet" in told
    assert "dropped: conv1_w_momentum: the state of a training" in told
    means = sum(name.endswith("mean") for name in backbone_of(here))
    assert "filled: what the file does not hold: " in told
    assert f"and {2 * means - 3} more" in told
    fresh = {n: 0 if n.endswith("mean") else 1 for n in here if "running_" in n or "._" in n}
    expected = {n: np.full_like(v, fresh[n]) if n in fresh else v for n, v in here.items()}
    check_backbone(config, output, expected)


def check_backbone(config: Path, output: Path, here: Arrays) -> None:
    network = Config(config).model
    load_pretrained(network, {"backbone": str(output / "model.pdparams")})
    for name, value in network.state_dict().items():
        if name.startswith("backbone."):
            np.testing.assert_array_equal(value.numpy(), here[name], err_msg=name)


@pytest.mark.parametrize("kind", ["mmdetection", "detectron2", "its own"])
def test_published_weights_are_loaded_as_they_are(
    kind: str, tmp_path: Path, config: Path, here: Arrays
) -> None:
    """By the function behind `--model_path` of val and predict, and behind `load_model`."""
    if kind == "mmdetection":
        there = mmdetections(here, [2, 0, 1], [1, 0])
        beside = names("bus", "car", "person", "sky", "road")
        path = write_old_pth(tmp_path / "fpn.pth", there, beside)
    else:
        path = tmp_path / "fpn.pkl"
        path.write_bytes(pickle.dumps(detectron2s(here) if kind == "detectron2" else here))
    assert locate_model(path, config).weights == path
    loaded = Config(config)
    load_network(loaded, path, "no hint")
    for name, value in loaded.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), here[name], err_msg=name)


def test_a_published_backbone_is_no_network(tmp_path: Path, config: Path, here: Arrays) -> None:
    path = write_pth(tmp_path / "resnet50.pth", backbone_of(here))
    with pytest.raises(DataError, match="expected the weights of a whole network, got those of"):
        load_network(Config(config), path, "no hint")


FEWER_CLASSES = (("car", 1), ("road", 0), ("truck", 1))
HEADS = ("fc_cls.", "fc_reg.", "mask_head.conv_logits.", "semantic_head.conv_logits.")


@pytest.mark.parametrize("kind", ["mmdetection", "detectron2"])
def test_fine_tuning_starts_from_a_published_network_of_other_classes(
    kind: str, tmp_path: Path, here: Arrays, caplog: pytest.LogCaptureFixture
) -> None:
    """Its heads for the classes are replaced, all else is taken."""
    config = tmp_path / "fewer.yml"
    config.write_text(
        CONFIG[: CONFIG.index("  -")]
        + "".join(
            f"  - {{id: {i}, name: {name}, isthing: {thing}, color: [0, 0, {i}]}}\n"
            for i, (name, thing) in enumerate(FEWER_CLASSES, start=1)
        )
        + MODEL.format(early="true", norm="frozen")
    )
    if kind == "mmdetection":
        there = mmdetections(here, [0, 1, 2], [0, 1])
        path = write_pth(tmp_path / "fpn.pth", there, names("car", "person", "bus", "road", "sky"))
    else:
        path = tmp_path / "fpn.pkl"
        path.write_bytes(pickle.dumps(detectron2s(here)))
    started = Config(config, [f"model.pretrained={path}"])
    fresh = {name: value.numpy() for name, value in started.model.state_dict().items()}
    with pytest.raises(DataError, match=r"of another shape .*--allow_partial"):
        load_first_weights(started)
    with caplog.at_level("INFO", "panoptic_deeplab"):
        load_first_weights(started, partial=True)
    assert "Replaced, to be trained anew" in caplog.text
    for name, value in started.model.state_dict().items():
        is_replaced = any(head in name for head in HEADS)
        expected = fresh[name] if is_replaced else here[name]
        np.testing.assert_array_equal(value.numpy(), expected, err_msg=name)
    assert f"{len(here) - 8} weights loaded; 8 of another shape" in caplog.text


def test_fine_tuning_to_the_same_classes_keeps_their_heads(
    tmp_path: Path, config: Path, here: Arrays
) -> None:
    there = mmdetections(here, [2, 0, 1], [1, 0]) | {"other_head.bias": np.ones(3, np.float32)}
    beside = names("bus", "car", "person", "sky", "road")
    path = write_pth(tmp_path / "fpn.pth", there, beside)
    started = Config(config, [f"model.pretrained={path}"])
    load_first_weights(started, partial=True)
    for name, value in started.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), here[name], err_msg=name)


def test_fine_tuning_from_a_network_that_shares_nothing(tmp_path: Path, config: Path) -> None:
    strange = {"roi_head.mask_head.strange.weight": np.ones(3, np.float32)}
    path = write_pth(tmp_path / "fpn.pth", strange)
    with pytest.raises(DataError, match="not of the network that --config describes"):
        load_first_weights(Config(config, [f"model.pretrained={path}"]), partial=True)


@pytest.mark.parametrize("partial", [False, True])
def test_the_whole_networks_weights_stand_above_its_backbones(
    partial: bool, tmp_path: Path, config: Path, here: Arrays
) -> None:
    """A shipped configuration names ImageNet weights; they do not replace what is fine-tuned."""
    whole = write_pth(tmp_path / "fpn.pth", mmdetections(here, [0, 1, 2], [0, 1]))
    backbone = tmp_path / "resnet50.pth"
    if partial:  # else it is not asked for
        write_pth(backbone, {name: value + 1 for name, value in backbone_of(here).items()})
    sources = [f"model.pretrained={whole}", f"model.backbone.pretrained={backbone}"]
    started = Config(config, sources)
    load_first_weights(started, partial=partial)
    for name, value in started.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), here[name], err_msg=name)
