"""A compiled network takes over from Paddle when it agrees, is kept, and is made anew if broken."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

pytest.importorskip("paddle2onnx")
pytest.importorskip("onnxruntime")

from panoptic_deeplab.runtimes import compiled, kept_files
from panoptic_deeplab.runtimes.compilation import Compilation
from panoptic_deeplab.runtimes.compiled import CompiledNetwork
from panoptic_deeplab.runtimes.conversion import ConverterKilledError
from panoptic_deeplab.runtimes.identity import identity_of
from panoptic_deeplab.runtimes.patience import Patience
from panoptic_deeplab.structures import Prediction


class Tiny(nn.Layer):
    """One convolution for each output."""

    def __init__(self, slope: float = 0.5) -> None:
        super().__init__()
        self.slope = slope
        self.heads = nn.LayerDict(
            {name: nn.Conv2D(3, n, 3, padding=1) for name, n in compiled_outputs().items()}
        )

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        return {name: head(images) * self.slope for name, head in self.heads.items()}


def compiled_outputs() -> dict[str, int]:
    return {"semantic": 4, "center": 1, "offset": 2}


def group(outputs: dict[str, paddle.Tensor], shape: Sequence[int]) -> list[Prediction]:
    """Each class is one segment."""
    labels = outputs["semantic"].argmax(1).numpy()
    assert labels.shape == (shape[0], *shape[2:])
    return [Prediction(one + 1, [], one) for one in labels]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PANOPTIC_DEEPLAB_CACHE", str(tmp_path))
    return tmp_path / "compiled"


@pytest.fixture(scope="module")
def converted() -> tuple[Tiny, Compilation, Path]:
    """A network and its ONNX file; converting takes most of the time of these tests."""
    paddle.seed(1)
    model = Tiny()
    compilation = Compilation(model, tuple(compiled_outputs()))
    return model, compilation, compilation.finish()


class Converting:
    """A conversion that takes no time."""

    is_done = True
    seconds = 0.0
    begun = 0

    def __init__(self, file: Path, *_: object) -> None:
        self.finish = lambda: file
        type(self).begun += 1


@pytest.fixture
def model(converted: tuple[Tiny, Compilation, Path], monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The network, whose conversion takes no time."""
    monkeypatch.setattr(compiled, "Compilation", partial(Converting, converted[2]))
    monkeypatch.setattr(Converting, "is_done", True)
    monkeypatch.setattr(Converting, "begun", 0)
    return converted[0]


IMAGES = [
    np.random.default_rng(0).normal(size=(count, 3, *size)).astype("float32")
    for count, size in ((1, (8, 12)), (2, (9, 7)))
]


def assert_same(network: CompiledNetwork, model: Tiny) -> None:
    for images in map(paddle.to_tensor, IMAGES):
        expected = model(images)
        for name, value in network(images).items():
            np.testing.assert_allclose(value.numpy(), expected[name].numpy(), atol=1e-5)


@paddle.no_grad()
def test_a_network_is_compiled_once_and_kept(model: Tiny, cache: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    first = CompiledNetwork(model, "onnxruntime", group)
    assert not first.is_compiled
    assert_same(first, model)
    assert first.is_compiled
    (file,) = cache.iterdir()
    assert CompiledNetwork(model, "onnxruntime", group).is_compiled
    assert [f"kept in {file}" in m or f", {file}" in m for m in caplog.messages] == [True, True]

    file.write_bytes(file.read_bytes()[:100])
    anew = CompiledNetwork(model, "onnxruntime", group)
    assert not anew.is_compiled
    assert "made anew, as it cannot be loaded" in caplog.text
    assert_same(anew, model)
    assert anew.is_compiled


@paddle.no_grad()
def test_paddle_computes_until_compiling_pays_and_is_done(
    model: Tiny, cache: Path, monkeypatch
) -> None:
    patience, images = Patience(2), paddle.to_tensor(IMAGES[0])
    network = CompiledNetwork(model, "onnxruntime", group, patience)
    assert_same(network, model)
    assert (network.is_compiled, Converting.begun) == (False, 0)

    patience.note(1, 60.0)
    monkeypatch.setattr(Converting, "is_done", False)
    network(images)
    network(images)
    assert (network.is_compiled, Converting.begun) == (False, 1)
    assert not cache.exists()

    monkeypatch.setattr(Converting, "is_done", True)
    network(images)
    assert network.is_compiled
    assert_same(network, model)


@paddle.no_grad()
def test_large_inputs_are_left_to_paddle_unless_somebody_asked(
    model: Tiny, cache: Path, monkeypatch
) -> None:
    asked = CompiledNetwork(model, "onnxruntime", group)
    assert_same(asked, model)
    network = CompiledNetwork(model, "onnxruntime", group, Patience(2))
    used: list[CompiledNetwork] = []
    run = CompiledNetwork._run

    def noted(network: CompiledNetwork, *inputs: Any) -> dict[str, paddle.Tensor]:
        used.append(network)
        return run(network, *inputs)

    monkeypatch.setattr(CompiledNetwork, "_run", noted)
    monkeypatch.setattr(compiled, "_MOST_PIXELS", 95)  # the first image has 96, the second 63
    for each in (network, asked):
        assert_same(each, model)
    assert used == [network, asked, asked]


@pytest.mark.parametrize(
    ("limit", "message"),
    [("MAX_DEVIATION", "of its highest value"), ("MAX_PIXELS", "another id or class")],
)
@paddle.no_grad()
def test_paddle_goes_on_where_the_results_differ(
    limit: str, message: str, model: Tiny, cache: Path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(compiled, limit, -1.0)
    network = CompiledNetwork(model, "onnxruntime", group)
    assert_same(network, model)
    assert not network.is_compiled
    assert caplog.text.count("Paddle runs the network, and not onnxruntime") == 1
    assert message in caplog.text
    assert [path.suffix for path in cache.iterdir()] == [".failed"]

    caplog.clear()
    later = CompiledNetwork(model, "onnxruntime", group)
    assert_same(later, model)
    assert Converting.begun == 1
    (told,) = caplog.messages
    assert message in told
    assert told.endswith(".failed to try again)")


@paddle.no_grad()
def test_a_failure_that_says_nothing_of_the_network_is_not_remembered(
    model: Tiny, cache: Path, monkeypatch, caplog
) -> None:
    def killed(*_: object) -> None:
        raise ConverterKilledError("the converter to ONNX was ended by SIGKILL")

    monkeypatch.setattr(compiled, "Compilation", killed)
    assert_same(CompiledNetwork(model, "onnxruntime", group), model)
    assert "not onnxruntime: the converter to ONNX was ended by SIGKILL" in caplog.text
    assert not cache.exists()


@paddle.no_grad()
def test_a_cache_that_cannot_be_written_to_is_no_hindrance(
    model: Tiny, tmp_path: Path, monkeypatch, caplog
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "file").touch()
    monkeypatch.setenv("PANOPTIC_DEEPLAB_CACHE", str(tmp_path / "file"))
    network = CompiledNetwork(model, "onnxruntime", group)
    assert_same(network, model)
    assert network.is_compiled
    assert "not kept (" in caplog.text


@paddle.no_grad()
def test_a_runtime_that_fails_hands_back_to_paddle(model: Tiny, cache: Path, caplog) -> None:
    network = CompiledNetwork(model, "onnxruntime", group)
    network(paddle.to_tensor(IMAGES[0]))

    def fail(_: object) -> None:
        raise RuntimeError("no memory left")

    network._session.run = fail
    assert_same(network, model)
    assert "it failed: no memory left" in caplog.text


def test_the_identity_is_of_weights_settings_and_runtime() -> None:
    paddle.seed(1)
    first = Tiny()
    paddle.seed(1)
    assert identity_of(Tiny(), "openvino") == identity_of(first, "openvino")
    others = {identity_of(first, "openvino"), identity_of(first, "onnxruntime")}
    first.slope = 0.25
    others.add(identity_of(first, "openvino"))
    first.heads["center"].bias.set_value(paddle.ones([1]))
    others.add(identity_of(first, "openvino"))
    assert len(others) == 4


def test_the_cache_drops_what_was_used_longest_ago(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(kept_files, "MAX_BYTES", 25)
    source = tmp_path / "source"
    source.write_bytes(b"x" * 10)
    folder = tmp_path / "compiled"
    for age, name in enumerate(["new", "old", "newest"], start=1):
        kept_files.keep(source, folder / f"{name}.onnx")
        if name != "newest":
            os.utime(folder / f"{name}.onnx", (9000 - age, 9000 - age))
    assert sorted(path.name for path in folder.iterdir()) == ["new.onnx", "newest.onnx"]
