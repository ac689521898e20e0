"""The tensor form works on batches and as a program for any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
from drawn_outputs import (
    CLASSES,
    assert_same_map,
    frame_of,
    grouping,
    scene,
    settings,
    tensors,
)
from paddle.base.core import TracerEventType
from paddle.profiler import Profiler, ProfilerTarget

from panoptic_deeplab.postprocess import plain, tensor_grouping
from panoptic_deeplab.postprocess.tensor_grouping import TensorGrouping, predict_one, to_host
from panoptic_deeplab.structures import Frame


@pytest.mark.parametrize("centers", [0, 40])
def test_a_batch_equals_its_images_in_both_forms(centers: int) -> None:
    frames = [frame_of((33, 49), (0, 0, 30, 40)), frame_of((33, 49)), frame_of((33, 49))]
    outputs = [scene((9, 13), seed, max(centers, 1)) for seed in range(3)]
    outputs[1]["center"] *= 0 if centers == 0 else 1
    together = grouping(True)(tensors(*outputs), frames)
    for prediction, one, frame in zip(together, outputs, frames, strict=True):
        assert_same_map(prediction, plain.predict(one, frame, settings()))
    form = TensorGrouping(settings())
    result = to_host(form(tensors(*outputs[1:]), (33, 49)))
    for i, prediction in enumerate(together[1:]):
        np.testing.assert_array_equal(result["panoptic"][i], prediction.ids)
        assert result["segment_count"][i] == len(prediction.segments)
        rows = result["segment_class"][i]
        assert rows[rows >= 0].tolist() == [s.category for s in prediction.segments]


class Program(paddle.nn.Layer):
    """The tensor form behind a network that cuts its input into outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = self.create_parameter([1], is_bias=True)
        self.grouping = TensorGrouping(settings())

    def forward(self, maps: paddle.Tensor) -> list[paddle.Tensor]:
        size = 4 * (paddle.shape(maps)[2:] - 1) + 1
        parts = {
            "semantic": maps[:, :CLASSES] + self.bias,
            "center": maps[:, CLASSES : CLASSES + 1],
            "offset": maps[:, CLASSES + 1 :],
        }
        result = self.grouping(parts, [size[0], size[1]])
        return [result["panoptic"], result["segment_class"], result["segment_score"]]


@pytest.mark.filterwarnings("ignore:Tensor do not have 'place'")
def test_the_tensor_form_is_a_program_for_any_size_and_batch(tmp_path: Path) -> None:
    spec = paddle.static.InputSpec([None, CLASSES + 3, None, None], "float32", "maps")
    program = Program()
    program.eval()
    paddle.jit.save(program, str(tmp_path / "program"), input_spec=[spec])
    loaded = paddle.jit.load(str(tmp_path / "program"))
    for count, coarse in ((1, (9, 13)), (2, (5, 6)), (3, (1, 1))):
        outputs = [scene(coarse, seed) for seed in range(count)]
        maps = np.stack([np.concatenate(list(one.values())) for one in outputs])
        panoptic, categories, scores = (v.numpy() for v in loaded(paddle.to_tensor(maps)))
        size = tuple(4 * (side - 1) + 1 for side in coarse)
        for i, one in enumerate(outputs):
            (prediction,) = grouping(True)(tensors(one), [frame_of(size)])
            np.testing.assert_array_equal(panoptic[i], prediction.ids)
            assert categories[i][categories[i] >= 0].tolist() == [
                s.category for s in prediction.segments
            ]
            expected = [s.score for s in prediction.segments]
            np.testing.assert_allclose(scores[i][: len(expected)], expected, atol=5e-3)


def test_one_image_on_a_device_is_the_plain_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances in many small blocks, and the numbers as narrow as they travel to the host."""
    outputs, frame = scene((9, 13), 0, 40), frame_of((33, 49), (0, 0, 30, 40))
    expected = plain.predict(outputs, frame, settings())
    assert_same_map(predict_one(tensors(outputs), frame, settings()), expected)
    monkeypatch.setattr(tensor_grouping, "_PAIRS", 100)
    found = predict_one(tensors(outputs), frame, settings())
    assert_same_map(found, expected)
    assert (found.ids.dtype, found.labels.dtype) == (np.int32, np.uint8)


def test_what_travels_to_the_host_comes_as_it_was() -> None:
    sent = {
        "labels": np.arange(7, dtype=np.uint8),
        "score": np.full((2, 3), 0.1, np.float32),
        "ids": np.array([[-3, 300]], np.int16),
    }
    found = to_host({name: paddle.to_tensor(value) for name, value in sent.items()})
    for name, value in sent.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype


def operators_of(function: Callable[[], object]) -> int:
    """How many operators Paddle calls in a function."""
    profiler = Profiler(targets=[ProfilerTarget.CPU], on_trace_ready=lambda _: None)
    with profiler:
        function()
    nodes, count = list(profiler.profiler_result.get_data().values()), 0
    while nodes:
        node = nodes.pop()
        nodes += node.children_node
        count += node.type == TracerEventType.Operator
    return count


def test_an_image_of_cityscapes_takes_few_operators() -> None:
    """About 400; with the blocks of a program, and sizes as tensors, 2800. A GPU waits for each."""
    outputs, frame = scene((257, 513), 0, 40), Frame.whole(1024, 2048)
    assert operators_of(lambda: predict_one(tensors(outputs), frame, settings())) < 600
