"""Half precision as far as a CPU shows it: types, names, numbers; no half-precision kernel runs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.base.framework import _dygraph_tracer

from panoptic_deeplab.engine import checkpoint
from panoptic_deeplab.engine import precision as precisions
from panoptic_deeplab.engine.averaging import WeightAverage
from panoptic_deeplab.engine.checkpoint import Position, TrainingState
from panoptic_deeplab.engine.precision import PRECISIONS, Precision, single_precision_weights
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.preprocess import Preprocess
from panoptic_deeplab.structures import Frame
from panoptic_deeplab.weights import read_weights

HALF = ["fp16", "bf16"]


class GpuPlace:
    """A place that Paddle takes for a GPU's."""

    def is_gpu_place(self) -> bool:
        return True

    def is_xpu_place(self) -> bool:
        return False

    is_custom_place = is_xpu_place


class GpuTracer:
    """Paddle's tracer, as it would be on a GPU."""

    def __getattr__(self, name: str) -> object:
        return GpuPlace() if name == "_expected_place" else getattr(_dygraph_tracer(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_dygraph_tracer(), name, value)


@pytest.fixture
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Precision:
    """Level O2 of a precision. Weights and lists of operators are a GPU's; kernels are float32."""
    amp = sys.modules["paddle.amp.auto_cast"]
    monkeypatch.setattr(amp, "_dygraph_tracer", GpuTracer)
    monkeypatch.setattr(amp, "_is_gpu_float16_supported", lambda: True)
    monkeypatch.setattr(amp, "_is_gpu_bfloat16_supported", lambda: True)
    made = Precision("fp32", "O2")
    made.name = request.param
    return made


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2D(3, 2, 1),
        nn.BatchNorm2D(2),
        nn.InstanceNorm2D(2),
        nn.Conv2D(2, 2, 3, padding=1, groups=2),
    )


def prepared(precision: Precision, model: nn.Layer) -> tuple[nn.Layer, paddle.optimizer.Optimizer]:
    optimizer = paddle.optimizer.AdamW(1e-3, parameters=model.parameters())
    return precision.prepare(model, optimizer)


def begin(model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> None:
    """Make the master weights and all slots, as the first step does."""
    block = paddle.static.default_main_program().global_block()
    optimizer._create_accumulators(block, [p for p in model.parameters() if not p.stop_gradient])


def state_of(precision: Precision, model: nn.Layer) -> TrainingState:
    """A model in half precision, its optimizer after a step, and its average."""
    model, optimizer = prepared(precision, model)
    begin(model, optimizer)
    return TrainingState(model, optimizer, precision, WeightAverage(model, optimizer, decay=0.999))


def half_precision(test: object) -> object:
    return pytest.mark.parametrize("precision", HALF, indirect=True)(test)


@half_precision
def test_norms_stay_in_float32(precision: Precision) -> None:
    """Paddle keeps batch norm so; its instance norm reads its parameters so in bf16 too."""
    model, _ = prepared(precision, network())
    kinds = {name: str(p.dtype).removeprefix("paddle.") for name, p in model.named_parameters()}
    halves = {name for name, kind in kinds.items() if kind == PRECISIONS[precision.name]}
    assert halves == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert {kinds[name] for name in kinds.keys() - halves} == {"float32"}


@half_precision
@pytest.mark.parametrize("level", ["O1", "O2"])
def test_depthwise_convolutions_are_on_the_white_list(precision: Precision, level: str) -> None:
    precision.level = level
    with precision.autocast():
        white, black = _dygraph_tracer()._get_amp_op_list()
    assert {"conv2d", "depthwise_conv2d"} <= white
    assert "depthwise_conv2d" not in black


def test_the_first_offset_gradients_are_no_subnormal_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Factor 0.001, offsets in units of 4 pixels, 16 pixels a location, eight crops all things."""
    scales: list[float] = []

    def scaler(enable: bool, init_loss_scaling: float) -> None:
        scales.append(init_loss_scaling)

    monkeypatch.setattr(precisions, "on_gpu", lambda: True)
    monkeypatch.setattr(paddle.device.cuda, "get_device_capability", lambda: (7, 0))
    monkeypatch.setattr(paddle.amp, "GradScaler", scaler)
    Precision("fp16")
    gradient = 0.001 * 4 * 16 / (2 * 8 * 1025 * 513)
    assert scales[0] * gradient >= np.finfo(np.float16).tiny > 1024 * gradient


@pytest.mark.parametrize(
    ("name", "capability", "needed"),
    [
        ("fp16", (6, 1), "7.0"),
        ("bf16", (7, 5), "8.0"),
        ("bf16", (8, 6), None),
        ("fp32", (3, 5), None),
    ],
)
def test_a_gpu_that_is_too_old_is_refused(
    name: str, capability: tuple[int, int], needed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precisions, "on_gpu", lambda: True)
    monkeypatch.setattr(paddle.device.cuda, "get_device_capability", lambda: capability)
    if needed is None:
        assert Precision(name).name == name
        return
    with pytest.raises(UsageError, match=rf"compute capability {needed}, this one has") as error:
        Precision(name)
    assert "use --precision fp32" in str(error.value)


class HalfSemantic(nn.Layer):
    """A network whose outputs are those of its convolution, in half precision on a GPU."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.convolution = nn.Conv2D(3, 2, 1)
        self.kind = kind

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        value = self.convolution(images).astype(self.kind)
        return {"semantic": value, "count": paddle.ones([1], "int64")}


@half_precision
def test_a_model_is_evaluated_in_the_precision_of_its_training(precision: Precision) -> None:
    model = HalfSemantic(PRECISIONS[precision.name])
    expected = model(paddle.zeros([1, 3, 4, 4]))["semantic"].astype("float32")
    model, _ = prepared(precision, model)
    predictor = Predictor(
        model,
        Preprocess(),
        (),
        lambda outputs, frames: [],
        CITYSCAPES,
        precision=precision,
    )
    image = np.full((1, 4, 4, 3), 127.5).astype(np.uint8)
    outputs = predictor.outputs(image, [Frame.whole(4, 4)])
    assert outputs["semantic"].dtype == paddle.float32
    assert outputs["count"].dtype == paddle.int64
    np.testing.assert_allclose(outputs["semantic"].numpy(), expected.numpy(), atol=0.02)


@half_precision
def test_an_average_follows_the_master_weights(precision: Precision) -> None:
    """Half precision cannot tell 1 from 1.0002, a thousandth of the way to 1.2."""
    state = state_of(precision, nn.Linear(1, 1))
    (master,) = (m for n, m in state.optimizer._master_weights.items() if "w_0" in n)
    state.average.values["weight"].set_value(paddle.ones([1, 1]))
    state.average.steps = 100_000
    master.set_value(paddle.full([1, 1], 1.2))
    for _ in range(10):
        state.average.update()
    expected = 1.2 - 0.2 * 0.999**10
    assert state.average.values["weight"].item() == pytest.approx(expected, abs=1e-6)
    assert state.average.state()["weight"].dtype == np.float32


@half_precision
def test_an_applied_average_leaves_the_weights_as_they_were(precision: Precision) -> None:
    state = state_of(precision, nn.Linear(1, 1))
    weight = state.model.weight
    paddle.assign(paddle.full([1, 1], 2.0, weight.dtype), weight)
    state.average.values["weight"].set_value(paddle.full([1, 1], 0.5))
    with state.average.applied():
        assert weight.astype("float32").item() == 0.5
    assert weight.astype("float32").item() == 2.0


@half_precision
def test_a_resumed_training_has_all_slots_and_the_master_weights(
    precision: Precision, tmp_path: Path
) -> None:
    state, rng = state_of(precision, network()), np.random.default_rng(0)
    slots = state.optimizer.state_dict()
    masters = slots.pop("master_weights")
    for tensor in [*slots.values(), *masters.values()]:
        tensor.set_value(rng.random(tensor.shape, np.float32))
    checkpoint.save_checkpoint(tmp_path / "iter_1", state, Position(1), CITYSCAPES, "")

    model, optimizer = prepared(precision, network())
    checkpoint.resume(tmp_path / "iter_1", TrainingState(model, optimizer, precision))
    begin(model, optimizer)
    found = optimizer.state_dict()
    found_masters = found.pop("master_weights")
    assert len(found) == len(slots) == 6 * 4 + 2 * 4
    for expected, value in [
        *zip(slots.values(), found.values(), strict=True),
        *zip(masters.values(), found_masters.values(), strict=True),
    ]:
        np.testing.assert_array_equal(value.numpy(), expected.numpy())


@half_precision
def test_weights_are_saved_in_float32(precision: Precision, tmp_path: Path) -> None:
    state = state_of(precision, nn.Linear(1, 1))
    for master in state.optimizer._master_weights.values():
        master.set_value(paddle.full_like(master, 1.2))
    checkpoint.save_checkpoint(tmp_path / "iter_1", state, Position(1), CITYSCAPES, "")
    saved = read_weights(tmp_path / "iter_1")
    assert saved["weight"].dtype == np.float32
    assert saved["weight"].item() == np.float32(1.2)


def test_in_single_precision_the_weights_are_the_models_own() -> None:
    model = network()
    weights = single_precision_weights(model, paddle.optimizer.SGD(parameters=[model[0].weight]))
    own = model.state_dict()
    assert list(weights) == list(own)
    assert all(weights[name] is own[name] or weights[name].name == own[name].name for name in own)
