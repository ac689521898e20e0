"""Published weights: small files of each kind are converted, everything odd is refused by name.

PyTorch is not needed: its files are written here as it writes them, a zip archive around a pickle.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from torch_files import (
    Arrays,
    dictionary,
    integer,
    pickled_tuple,
    tensor,
    text,
    write_archive,
    write_pth,
)

from panoptic_deeplab.cli.weights import main
from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.weights import read_info_beside, read_weights
from panoptic_deeplab.weights.origins import PADDLECLAS
from panoptic_deeplab.weights.torch_file import open_torch_file

CONFIG = """
train_dataset: {type: CityscapesPanoptic, dataset_root: nowhere, mode: train}
model: {type: EfficientPS, channels: 8, semantic_channels: 8, box_channels: 8,
  backbone: {type: EfficientNet, variant: b0, width: 0.25, depth: 0.5}}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.yml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def network(config: Path) -> paddle.nn.Layer:
    return Config(config).model


def is_linear(name: str) -> bool:
    return name.startswith("bbox_head.") and name.endswith("weight")


@pytest.fixture
def released(network: paddle.nn.Layer) -> Arrays:
    """Random weights as the authors' files have them, linear ones [out, in]."""
    random = np.random.default_rng(0)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    return {
        name: random.normal(size=shape[::-1] if is_linear(name) else shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def run(config: Path, weights: Path, *more: str) -> tuple[int, Path]:
    output = weights.parent / "converted"
    paths = {"--config": config, "--model_path": weights, "--save_dir": output}
    return main(
        ["convert"] + [str(part) for pair in paths.items() for part in pair] + list(more)
    ), output


def failure(config: Path, weights: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The one line that a refused file gives; nothing is written."""
    code, output = run(config, weights, *more)
    told = capsys.readouterr()
    assert code == 1
    assert told.err.startswith(f"error: {weights}: ")
    assert told.err.count("\n") == 1
    assert not output.exists()
    return told.err


# --- the authors' weights ---


def test_the_authors_weights(
    tmp_path: Path, config: Path, released: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    counter = {"backbone.bn1.num_batches_tracked": np.array(7, np.int64)}
    code, output = run(config, write_pth(tmp_path / "eps.pth", released | counter))
    assert code == 0
    here = read_weights(output)
    assert list(here) == list(released)
    scales = [name for name in here if "bn" in name and name.endswith(".weight")]
    for name, array in released.items():
        expected = array.T if is_linear(name) else array
        if name in scales:
            expected = np.abs(array) + np.float32(1e-3 if name.startswith("backbone.") else 1e-5)
        np.testing.assert_array_equal(here[name], expected, err_msg=name)
    told = capsys.readouterr().out
    assert "academic use only" in told
    assert f"mapped: {len(released)} entries" in told
    assert "transposed: 4 weights" in told
    assert "dropped: meta, optimizer: the state of a training" in told
    report = json.loads((output / "conversion.json").read_text())
    assert "academic use only" in report["license"]
    assert report["mapped"] == {name: name for name in released}
    assert report["made"]["neck.fpn_convs.0.bn.weight"] == "|weight| + 1e-05"
    assert set(report["made"]) == set(scales)
    assert set(report["dropped"]) == {*counter, "meta", "optimizer"}
    assert "academic use only" in paddle.load(str(output / "model.pdparams"))["license@@"]


def test_what_is_written_is_a_checkpoint(tmp_path: Path, config: Path, released: Arrays) -> None:
    _, output = run(config, write_pth(tmp_path / "eps.pth", released))
    assert read_info_beside(output) == CITYSCAPES
    again = Config(output / "config.yml", ["model.pretrained=" + str(output / "model.pdparams")])
    assert again.info == CITYSCAPES
    assert run(config, tmp_path / "eps.pth")[0] == 2  # the folder is not empty
    assert run(config, tmp_path / "eps.pth", "--overwrite")[0] == 0
    (output / "mine.txt").touch()
    assert run(config, tmp_path / "eps.pth", "--overwrite")[0] == 2
    assert (output / "mine.txt").exists()


def test_half_precision_is_widened(tmp_path: Path, config: Path, released: Arrays) -> None:
    names = ["rpn_head.rpn_cls.bias", "rpn_head.rpn_reg.bias"]
    exact = {name: np.round(released[name] * 8) / 8 for name in names}
    bits = (exact[names[1]].astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    changed = {names[0]: exact[names[0]].astype(np.float16), names[1]: bits}
    _, output = run(config, write_pth(tmp_path / "eps.pth", released | changed))
    for name in names:
        np.testing.assert_array_equal(read_weights(output)[name], exact[name])
    report = json.loads((output / "conversion.json").read_text())
    assert report["widened"] == dict(zip(names, ["float16", "bfloat16"], strict=True))


def test_a_network_of_several_gpus_names_its_wrapper(
    tmp_path: Path, config: Path, released: Arrays
) -> None:
    wrapped = {f"module.{name}": array for name, array in released.items()}
    code, output = run(config, write_pth(tmp_path / "eps.pth", wrapped))
    assert code == 0
    found = read_weights(output / "model.pdparams")
    name = "neck.fpn_convs.0.conv.weight"
    np.testing.assert_array_equal(found[name], released[name])


def test_parameters_are_read_as_their_tensors(tmp_path: Path) -> None:
    hooks = b"ccollections\nOrderedDict\n)R"
    arguments = pickled_tuple(tensor("0", "Float", 3, (3,), (1,)), b"\x88", hooks)
    parameter = b"ctorch._utils\n_rebuild_parameter\n" + arguments + b"R"
    storage = np.arange(3, dtype=np.float32)
    path = write_archive(tmp_path / "a.pth", dictionary({"a": parameter}), [storage.tobytes()])
    with open_torch_file(path) as file:
        np.testing.assert_array_equal(file.array(file.content["a"]), storage)


def test_parts_of_a_storage_are_read_with_their_strides(tmp_path: Path) -> None:
    storage = np.arange(12, dtype=np.float32)
    views = {
        "transposed": tensor("0", "Float", 12, (4, 3), (1, 4)),
        "tail": tensor("0", "Float", 12, (2,), (1,), offset=10),
        "repeated": tensor("0", "Float", 12, (2, 3), (0, 1)),
        "number": tensor("0", "Float", 12, (), (), offset=5),
        "nothing": tensor("0", "Float", 12, (0,), (1,)),
    }
    path = write_archive(tmp_path / "a.pth", dictionary(views), [storage.tobytes()])
    with open_torch_file(path) as file:
        arrays = {name: file.array(value) for name, value in file.content.items()}
    np.testing.assert_array_equal(arrays["transposed"], storage.reshape(3, 4).T)
    np.testing.assert_array_equal(arrays["tail"], [10, 11])
    np.testing.assert_array_equal(arrays["repeated"], [[0, 1, 2]] * 2)
    assert arrays["number"] == 5
    assert arrays["nothing"].shape == (0,)


# --- PaddleClas's backbones ---


def paddleclas(network: paddle.nn.Layer) -> tuple[Arrays, dict[str, str]]:
    """Random weights under PaddleClas's names; these names -> ours."""
    random = np.random.default_rng(1)
    state = network.backbone.state_dict()
    names = PADDLECLAS.names_of(list(state))
    arrays = {
        names[name]: random.normal(size=value.shape).astype(np.float32)
        for name, value in state.items()
    }
    arrays |= {
        "_ef._blocks.0.._se._conv1._conv.weight": np.ones((2, 8, 1, 1), np.float32),
        "_fc.weight": np.ones((320, 1000), np.float32),
        "_fc.bias": np.ones(1000, np.float32),
    }
    return arrays, names


def test_paddleclas_backbones(
    tmp_path: Path,
    config: Path,
    network: paddle.nn.Layer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arrays, names = paddleclas(network)
    paddle.save({n: paddle.to_tensor(a) for n, a in arrays.items()}, str(tmp_path / "b.pdparams"))
    code, output = run(config, tmp_path / "b.pdparams")
    assert code == 0
    here = read_weights(output)
    assert set(here) == set(names)
    stem = "_ef._conv_stem._conv._conv._conv.weight"
    np.testing.assert_array_equal(here["conv_stem.weight"], arrays[stem])
    scale = np.abs(arrays["_conv._bn.weight"]) + np.float32(1e-3)
    np.testing.assert_array_equal(here["bn2.weight"], scale)
    np.testing.assert_array_equal(here["bn2.running_var"], arrays["_conv._bn._variance"])
    assert not (output / "dataset_info.json").exists()
    told = capsys.readouterr().out
    assert "Apache License 2.0" in told
    assert "_se._conv1._conv.weight: squeeze and excitation" in told
    assert "_fc.weight, _fc.bias: the classifier" in told


def test_paddleclas_numbers_its_blocks_through() -> None:
    # Stage 0 has three blocks without a widening convolution; stage 1 begins at number 3.
    blocks = [f"blocks.{s}.{b}." for s, count in ((0, 3), (1, 2)) for b in range(count)]
    names = PADDLECLAS.names_of([block + "conv_pw.weight" for block in blocks])
    assert list(names.values()) == [
        "_ef._blocks.0.._pcn._conv._conv._conv.weight",
        "_ef.block.1.._pcn._conv._conv._conv.weight",
        "_ef.block.2.._pcn._conv._conv._conv.weight",
        "_ef._blocks.3.._ecn._conv._conv._conv.weight",
        "_ef.block.4.._ecn._conv._conv._conv.weight",
    ]
    layers = ["bn1.weight", "conv_dw.weight", "bn2.running_mean", "conv_pwl.weight", "bn3.bias"]
    names = PADDLECLAS.names_of([f"blocks.1.0.{layer}" for layer in layers])
    assert [name.removeprefix("_ef._blocks.0..") for name in names.values()] == [
        "_ecn._conv._bn.weight",
        "_dcn._conv._conv._conv.weight",
        "_dcn._conv._bn._mean",
        "_pcn._conv._conv._conv.weight",
        "_pcn._conv._bn.bias",
    ]


# --- what is refused ---


def without(name: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {n: a for n, a in arrays.items() if n != name}


def with_entry(name: str, array: np.ndarray) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {name: array}


BIAS = "rpn_head.rpn_cls.bias"
CHANGES = {
    "missing": (without(BIAS), f"1 missing ({BIAS})"),
    "unknown": (
        with_entry("neck.extra", np.zeros(1, np.float32)),
        "1 not of this network (neck.extra)",
    ),
    "another shape": (
        with_entry(BIAS, np.zeros(5, np.float32)),
        f"1 of another shape ({BIAS} [5] -> [3])",
    ),
    "untransposed": (
        lambda arrays: arrays | {"bbox_head.fc_cls.weight": arrays["bbox_head.fc_cls.weight"].T},
        "bbox_head.fc_cls.weight [8, 9] -> [9, 8]",
    ),
    "whole numbers": (
        with_entry(BIAS, np.zeros(3, np.int64)),
        f"expected floating-point weights, got {BIAS} int64",
    ),
    "no number": (
        with_entry(BIAS, np.array([0, np.nan, 0], np.float32)),
        f"{BIAS} holds a value that is no finite number",
    ),
    "another network's": (
        lambda arrays: {"conv.weight": np.zeros(3, np.float32)},
        "or EfficientPS by Mohan and Valada",
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_entries_that_do_not_fit_are_named(
    tmp_path: Path,
    config: Path,
    released: Arrays,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    change, message = CHANGES[kind]
    path = write_pth(tmp_path / "eps.pth", change(released))
    assert message in failure(config, path, capsys)


def test_the_papers_network_is_told_apart_from_the_released_one(
    tmp_path: Path, config: Path, released: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pth(tmp_path / "eps.pth", released)
    told = failure(config, path, capsys, "--opts", "model.separable_fpn=true")
    assert "missing (neck.fpn_convs.0." in told
    assert "choose the configuration of the released network" in told


def test_other_classes_of_equal_number_are_refused(
    tmp_path: Path, released: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = CITYSCAPES.to_dict()["categories"]
    classes[0]["name"] = "street"
    config = tmp_path / "other.yml"
    config.write_text(f"categories: {json.dumps(classes)}{CONFIG}")
    told = failure(config, write_pth(tmp_path / "eps.pth", released), capsys)
    assert "was trained for other classes: class 0 is 'road' there and 'street' in" in told
    assert "choose a configuration of Cityscapes" in told


class Hostile:
    """Pickles into a call."""

    def __init__(self, function: Any, argument: str) -> None:
        self.call = function, (argument,)

    def __reduce__(self) -> Any:
        return self.call


def named(module: str, name: str, argument: bytes) -> bytes:
    return f"c{module}\n{name}\n".encode() + pickled_tuple(argument) + b"R"


ONE = struct.pack("<f", 1)
HOSTILE = {
    "a command": (named("os", "system", text("touch mark")), "it asks for os.system"),
    "eval": (named("builtins", "eval", text("1")), "it asks for builtins.eval"),
    "a module": (
        named("torch.nn.modules.linear", "Linear", text("")),
        "it asks for torch.nn.modules.linear.Linear",
    ),
    "a torch function": (named("torch", "load", text("x")), "it asks for torch.load"),
    "another storage": (
        tensor("0", "Double", 1, (1,), (1,)),
        "it asks for torch.DoubleStorage",
    ),
    "another reference": (
        pickled_tuple(text("module"), text("a"), text("b"), text("c"), integer(1)) + b"Q",
        "it refers to a 'module'",
    ),
    "a reach beyond the storage": (
        tensor("0", "Float", 1, (2,), (1,)),
        "a tensor reaches beyond the 1 numbers of its storage",
    ),
    "a negative stride": (
        tensor("0", "Float", 1, (1,), (-1,)),
        "a tensor has a negative side, stride or offset",
    ),
    "a negative offset": (
        tensor("0", "Float", 1, (1,), (1,), offset=-1),
        "a tensor has a negative side, stride or offset",
    ),
    "sides without strides": (
        tensor("0", "Float", 1, (1, 1), (1,)),
        "a tensor has 2 sides and 1 strides",
    ),
    "no tensor": (text("hello"), "expected named tensors, got str for 'a'"),
    "a parameter of no tensor": (
        named("torch._utils", "_rebuild_parameter", text("hello")),
        "damaged",
    ),
    "an endless number": (b"\x8b\xff\xff\xff\x7f", "damaged"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles(
    tmp_path: Path,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    content, message = HOSTILE[kind]
    path = write_archive(tmp_path / "a.pth", dictionary({"a": content}), [ONE])
    assert message in failure(config, path, capsys)
    assert not (tmp_path / "mark").exists()


def test_hostile_pickles_in_paddles_form(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps({"_fc.bias": Hostile(eval, "1")}))
    assert "asks for builtins.eval" in failure(config, path, capsys)


def claims_more(path: Path) -> None:
    """Make the archive's directory claim a storage of a thousand million numbers."""
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"archive/data/0"))
    content[entry + 20 : entry + 28] = struct.pack("<II", 4 * 10**9 // 4 * 4, 4 * 10**9 // 4 * 4)
    path.write_bytes(content)


def cut(fraction: float) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(
        path.read_bytes()[: math.ceil(fraction * path.stat().st_size)]
    )


DAMAGES = {
    "half": (cut(0.5), "not a checkpoint of PyTorch that can be read, or damaged"),
    "nearly whole": (cut(0.999), "not a checkpoint of PyTorch that can be read, or damaged"),
    "four bytes": (lambda path: path.write_bytes(b"PK\x03\x04"), "damaged"),
    "empty": (lambda path: path.write_bytes(b""), "not a file of weights: it is empty"),
    "missing": (lambda path: path.unlink(), "no such file"),
    "more than there is": (claims_more, "its entry data/0 claims more bytes than the file has"),
    "the old format without its end": (
        lambda path: path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(600)),
        "not a checkpoint of PyTorch that can be read, or damaged",
    ),
    "the oldest format": (
        lambda path: path.write_bytes(bytes(257) + b"ustar" + bytes(600)),
        "is a tar archive, as PyTorch wrote before version 0.2",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_files(
    tmp_path: Path,
    config: Path,
    released: Arrays,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    damage, message = DAMAGES[kind]
    path = write_pth(tmp_path / "eps.pth", released)
    damage(path)
    assert message in failure(config, path, capsys)


def test_compressed_entries_are_refused(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bomb.pth"
    content = dictionary({"a": tensor("0", "Float", 1 << 20, (1 << 20,), (1,))})
    write_archive(path, content, [bytes(4 << 20)], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    assert "is compressed, which PyTorch does not do" in failure(config, path, capsys)


def test_storages_of_another_length_are_refused(tmp_path: Path) -> None:
    path = write_archive(
        tmp_path / "a.pth", dictionary({"a": tensor("0", "Float", 2, (1,), (1,))}), [ONE]
    )
    with (
        open_torch_file(path) as file,
        pytest.raises(DataError, match="storage 0 claims 8 bytes, has 4"),
    ):
        file.array(file.content["a"])


def test_a_storage_is_read_a_few_times_at_most(tmp_path: Path) -> None:
    numbers = 1 << 20
    slices = {f"w{i}": tensor("0", "Float", numbers, (1,), (1,), offset=i) for i in range(9)}
    path = write_archive(tmp_path / "a.pth", dictionary(slices), [bytes(4 * numbers)])
    with open_torch_file(path) as file:
        array = file.array(file.content["w0"])
        assert array.base is None  # it does not hold the megabytes that it is a slice of
        with pytest.raises(DataError, match="would become more than 4 times as many"):
            _ = [file.array(stored) for stored in file.content.values()]


ARCHIVES = {
    "no pickle": ({"archive/version": b"3"}, "expected one data.pkl in the archive, got 0"),
    "two": ({"a/data.pkl": b"", "b/data.pkl": b""}, "expected one data.pkl in the archive, got 2"),
    "another byte order": (
        {"a/data.pkl": b"", "a/byteorder": b"big"},
        "byte order b'big', expected b'little'",
    ),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_other_archives(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    entries, message = ARCHIVES[kind]
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    assert message in failure(config, tmp_path / "a.pth", capsys)


def test_help_names_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    assert (
        "panoptic-deeplab weights convert --model_path efficientps.pth" in capsys.readouterr().out
    )
