"""The ONNX graph of the grouping gives the ids of the postprocessor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from same_predictions import assert_equal

from panoptic_deeplab.deployment import PANOPTIC_OUTPUTS, Deployment
from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.inference.exported import prediction_of
from panoptic_deeplab.normalization import Normalization
from panoptic_deeplab.postprocess import CenterGrouping, plain
from panoptic_deeplab.structures import Category, DatasetInfo, Frame, Prediction

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from panoptic_deeplab.export.onnx_grouping import grouping  # noqa: E402


def drawn_outputs(rng: np.random.Generator, batch: int, size: tuple[int, int], classes: int):
    """Outputs at stride 4 with heat in steps of a quarter: plateaus and ties."""
    h, w = (size[0] + 3) // 4, (size[1] + 3) // 4
    return {
        "semantic": rng.normal(size=(batch, classes, h, w)).astype(np.float32),
        "center": rng.integers(0, 5, (batch, 1, h, w)).astype(np.float32) / 4,
        "offset": rng.normal(scale=8, size=(batch, 2, h, w)).astype(np.float32),
    }


SETTINGS = {
    "num_classes": 5,
    "thing_ids": [1, 3],
    "threshold": 0.1,
    "nms_kernel": 7,
    "top_k": 200,
    "min_stuff_area": 64,
    "align_corners": True,
}
CASES = {
    "one image": ({}, 1, (65, 97), (65, 97)),
    "three images, padded": ({}, 3, (50, 61), (65, 97)),
    "more peaks than top_k, with ties": ({"top_k": 4}, 2, (65, 97), (65, 97)),
    "no center": ({"threshold": 9.0}, 1, (65, 97), (65, 97)),
    "no thing": ({"thing_ids": []}, 1, (65, 97), (65, 97)),
    "no stuff": ({"thing_ids": [0, 1, 2, 3, 4]}, 1, (65, 97), (65, 97)),
    "every pixel a center of its own": ({"nms_kernel": 1, "top_k": 9}, 1, (33, 33), (33, 33)),
    "small window": ({"nms_kernel": 3, "min_stuff_area": 0}, 2, (33, 49), (33, 49)),
    "pixels as areas": ({"align_corners": False}, 1, (64, 96), (64, 96)),
    "more classes than uint8 holds": ({"num_classes": 300}, 1, (17, 17), (17, 17)),
    "smaller than the window": ({}, 1, (2, 3), (5, 5)),
    "blocks that end with an image": ({}, 3, (97, 129), (97, 129)),
}


def reference(settings: GroupingSettings, outputs, size, input_size) -> list[Prediction]:
    postprocessor = CenterGrouping(**vars(settings))
    frames = [frame_of(size, input_size)] * len(outputs["center"])
    return postprocessor({k: paddle.to_tensor(v) for k, v in outputs.items()}, frames)


def frame_of(size: tuple[int, int], input_size: tuple[int, int]) -> Frame:
    return Frame(size, input_size, (1.0, 1.0), (0, 0, *size))


def described(settings: GroupingSettings) -> Deployment:
    """A deployment whose classes are as many as the settings have."""
    categories = tuple(
        Category(str(i), i in settings.thing_ids, (i % 256, 0, 0), i)
        for i in range(settings.num_classes)
    )
    info = DatasetInfo("drawn", categories, ignore_index=999)
    return Deployment(True, info, Normalization.of(), (1, 1), settings, {})


@pytest.mark.parametrize(
    ("name", "opset"), [*((name, 17) for name in CASES), ("three images, padded", 21)]
)
def test_the_graph_gives_the_ids_of_the_numpy_form(name: str, opset: int) -> None:
    changes, batch, size, input_size = CASES[name]
    settings = GroupingSettings(**(SETTINGS | changes))
    outputs = drawn_outputs(np.random.default_rng(7), batch, input_size, settings.num_classes)
    model = grouping(settings, opset)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    sizes = {"image_size": np.array(size), "input_size": np.array(input_size)}
    values = session.run(None, outputs | sizes)
    found = dict(zip(PANOPTIC_OUTPUTS, values, strict=True))
    deployment = described(settings)
    for i, expected in enumerate(reference(settings, outputs, size, input_size)):
        # noise leaves some pixel of the small maps to the last bit of the interpolation
        mine = prediction_of(found, i, deployment, "graph")
        assert_equal(mine, expected, tolerance=1e-3)
        own = {name: value[i] for name, value in outputs.items()}
        scores = plain.scores(mine, own, frame_of(size, input_size), settings)
        np.testing.assert_allclose([s.score for s in mine.segments], scores, atol=1e-5)


def test_nothing_is_added_as_int32() -> None:
    """Some runtimes add int32 as floats."""
    graph = onnx.shape_inference.infer_shapes(grouping(GroupingSettings(**SETTINGS), 17)).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    adding = [
        node
        for node in graph.node
        if node.op_type in ("ReduceSum", "CumSum")
        or any(a.name == "reduction" and a.s == b"add" for a in node.attribute)
    ]
    assert len(adding) >= 10
    allowed = {onnx.TensorProto.INT64, onnx.TensorProto.FLOAT}
    wrong = [node.output[0] for node in adding if kinds[node.output[0]] not in allowed]
    assert wrong == []


def test_openvino_runs_the_graph_too(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    settings = GroupingSettings(**SETTINGS)
    path = tmp_path / "graph.onnx"
    onnx.save(grouping(settings, 17), str(path))
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    # more images and blocks than before, and fewer: the weak side of its loops
    for batch, size in [(1, (49, 33)), (3, (64, 128)), (2, (9, 9)), (4, (129, 150))]:
        rng = np.random.default_rng(3)
        outputs = drawn_outputs(rng, batch, size, settings.num_classes)
        outputs["semantic"][:1, [1, 3]] += size[0] % 2  # things are not as many in each
        # it rounds the interpolation otherwise, which moves the peak of a plateau
        outputs["center"] = rng.random(outputs["center"].shape, np.float32)
        sizes = {"image_size": np.array(size), "input_size": np.array(size)}
        values = list(model(outputs | sizes).values())
        found = dict(zip(PANOPTIC_OUTPUTS, values, strict=True))
        deployment = described(settings)
        for i, expected in enumerate(reference(settings, outputs, size, size)):
            assert_equal(prediction_of(found, i, deployment, "graph"), expected, tolerance=1e-3)


def test_no_whole_numbers_are_added_to_a_common_place() -> None:
    """ONNX Runtime's GPUs add them one after the other: seconds for the pixels of an image."""
    model = onnx.shape_inference.infer_shapes(grouping(GroupingSettings(**SETTINGS), opset=17))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    added = [
        types[node.input[2]]
        for node in model.graph.node
        if any(attribute.name == "reduction" for attribute in node.attribute)
    ]
    assert added
    assert set(added) == {onnx.TensorProto.FLOAT}
