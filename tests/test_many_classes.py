"""With 300 classes, 255 is a class like any other in every form, and void is another label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
from conftest import TINY_CONFIG

from panoptic_deeplab.cli import export as export_tool
from panoptic_deeplab.config import Config
from panoptic_deeplab.convert.objects import SemanticFolder, _semantic_map
from panoptic_deeplab.convert.run import AnnotatedImage
from panoptic_deeplab.deployment import PANOPTIC_OUTPUTS, Deployment
from panoptic_deeplab.evaluation import (
    InstanceAP,
    PanopticQuality,
    SemanticIoU,
    evaluate_panoptic_files,
)
from panoptic_deeplab.formats.coco import read_info
from panoptic_deeplab.formats.images import read_ids, write_image
from panoptic_deeplab.fusion import majority_vote
from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.inference.exported import prediction_of
from panoptic_deeplab.losses.panoptic_deeplab import PanopticDeepLabLoss
from panoptic_deeplab.normalization import Normalization
from panoptic_deeplab.postprocess import AdaptiveFusion, CenterGrouping, plain
from panoptic_deeplab.postprocess.tensor_grouping import predict_one
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.folder import make_forms, prepared
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.structures import DatasetInfo, Frame, Prediction, Segment
from panoptic_deeplab.targets import CenterOffsetTargets, InstanceTargets
from panoptic_deeplab.visualization import draw_semantic

CLASSES, SIZE = 300, (24, 40)
FRAME = Frame.whole(*SIZE)
IDS = np.ones(SIZE, np.int32)  # stuff of the last class
IDS[:8] = 2  # class 255
IDS[12:20, 4:14] = 3  # a thing
IDS[:, 36:] = 0
CAR, MIDDLE, LAST = 4, 255, 299


def settings_of(thing_ids: tuple[int, ...]) -> GroupingSettings:
    return GroupingSettings(CLASSES, thing_ids, nms_kernel=3, min_stuff_area=1)


def info_of(thing_ids: tuple[int, ...]) -> DatasetInfo:
    entries = [
        {"id": i + 1, "name": f"c{i}", "isthing": i in thing_ids, "color": [i % 256, i // 256, 9]}
        for i in range(CLASSES)
    ]
    return DatasetInfo.from_dict({"name": "many", "categories": entries})


def truth_of(thing_ids: tuple[int, ...]) -> list[Segment]:
    classes = {1: LAST, 2: MIDDLE, 3: CAR}
    return [
        Segment(i, c, area=int((i == IDS).sum()), is_thing=c in thing_ids)
        for i, c in classes.items()
    ]


def sample_of(thing_ids: tuple[int, ...]) -> dict[str, object]:
    return {"panoptic": IDS, "segments": truth_of(thing_ids)}


def outputs_of(thing_ids: tuple[int, ...]) -> dict[str, np.ndarray]:
    """What a perfect network gives; void looks like the class 7."""
    targets = CenterOffsetTargets(thing_ids, ignore_index=300, sigma=2)(sample_of(thing_ids))
    labels = np.where(targets["semantic"] == 300, 7, targets["semantic"])
    logits = 20 * (labels == np.arange(CLASSES)[:, None, None]).astype(np.float32)
    return {
        "semantic": logits,
        "center": targets["center"][None],
        "offset": targets["offset"],
    }


def by_plain(outputs: dict[str, np.ndarray], settings: GroupingSettings) -> Prediction:
    return plain.predict(outputs, FRAME, settings)


def by_sparse(outputs: dict[str, np.ndarray], settings: GroupingSettings) -> Prediction:
    batch = {name: paddle.to_tensor(value[None]) for name, value in outputs.items()}
    return CenterGrouping(**vars(settings))(batch, [FRAME])[0]


def by_tensors(outputs: dict[str, np.ndarray], settings: GroupingSettings) -> Prediction:
    batch = {name: paddle.to_tensor(value[None]) for name, value in outputs.items()}
    return predict_one(batch, FRAME, settings)


def by_onnx(outputs: dict[str, np.ndarray], settings: GroupingSettings) -> Prediction:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from panoptic_deeplab.export.onnx_grouping import grouping

    session = onnxruntime.InferenceSession(grouping(settings, 17).SerializeToString())
    sizes = {"image_size": np.array(SIZE), "input_size": np.array(SIZE)}
    batch = {name: value[None] for name, value in outputs.items()}
    found = dict(zip(PANOPTIC_OUTPUTS, session.run(None, batch | sizes), strict=True))
    info = info_of(settings.thing_ids)
    deployment = Deployment(True, info, Normalization.of(), (1, 1), settings, {})
    again = Deployment.from_dict(deployment.to_dict(), "deploy.yaml")
    assert again.info == info
    return prediction_of(found, 0, again, "graph")


def by_fusion(outputs: dict[str, np.ndarray], settings: GroupingSettings) -> Prediction:
    """One detected box for each thing, with a mask that fills it."""
    boxes = {CAR: (4, 12, 14, 20), MIDDLE: (0, 0, 36, 8)}
    found = [category for category in boxes if category in settings.thing_ids]
    given = {
        "semantic": outputs["semantic"][None],
        "boxes": np.array([boxes[c] for c in found], np.float32),
        "scores": np.ones(len(found), np.float32),
        "classes": np.array(found),
        "masks": np.full((len(found), 28, 28), 9, np.float32),
        "counts": np.array([len(found)]),
    }
    fusion = AdaptiveFusion(CLASSES, settings.thing_ids, min_stuff_area=1, legacy_boxes=False)
    return fusion({n: paddle.to_tensor(v) for n, v in given.items()}, [FRAME])[0]


FORMS = [by_plain, by_sparse, by_tensors, by_onnx, by_fusion]


@pytest.mark.parametrize("thing_ids", [(CAR,), (CAR, MIDDLE)], ids=["stuff", "thing"])
@pytest.mark.parametrize("form", FORMS)
def test_every_postprocessor_keeps_class_255(
    form: Callable[..., Prediction], thing_ids: tuple[int, ...]
) -> None:
    prediction = form(outputs_of(thing_ids), settings_of(thing_ids))
    found = {segment.category: segment for segment in prediction.segments}
    assert set(found) == {CAR, MIDDLE, LAST, 7}
    for segment in truth_of(thing_ids):
        mine = found[segment.category]
        assert (mine.area, mine.is_thing) == (segment.area, segment.is_thing)
        assert ((prediction.ids == mine.id) == (segment.id == IDS)).all()
    assert (prediction.labels[:8, :36] == MIDDLE).all()


def test_the_majority_vote_takes_the_label_of_void_that_it_is_told() -> None:
    semantic = np.where(IDS == 2, MIDDLE, LAST)
    fused = majority_vote(semantic, np.zeros(SIZE, int), thing_ids=[CAR], min_stuff_area=1,
                          ignore_index=300)  # fmt: skip
    assert (fused == semantic).all()


def test_targets_have_a_label_of_void_beside_all_classes() -> None:
    for targets in (CenterOffsetTargets([CAR], 300), InstanceTargets([CAR], 300)):
        labels = targets(sample_of((CAR,)))["semantic"]
        assert set(np.unique(labels).tolist()) == {CAR, MIDDLE, LAST, 300}
        assert (labels[IDS == 2] == MIDDLE).all()


def test_a_negative_label_of_void_is_no_class_either() -> None:
    """In 8 bits -1 is 255."""
    for targets in (CenterOffsetTargets([CAR], -1), InstanceTargets([CAR], -1)):
        assert (targets(sample_of((CAR,)))["semantic"][IDS == 0] == -1).all()
    few = Prediction(IDS, [Segment(1, 0), Segment(2, MIDDLE), Segment(3, CAR)])
    assert set(np.unique(few.semantic(-1)).tolist()) == {-1, 0, CAR, MIDDLE}


def test_class_255_counts_in_the_losses_and_void_does_not() -> None:
    outputs = {n: paddle.to_tensor(v[None]) for n, v in outputs_of((CAR,)).items()}
    targets = CenterOffsetTargets([CAR], 300, sigma=2)(sample_of((CAR,)))
    batch = {n: paddle.to_tensor(v[None]) for n, v in targets.items() if n != "segments"}
    criterion = PanopticDeepLabLoss(ignore_index=300, top_k_percent_pixels=1)
    assert float(criterion(outputs, batch)["semantic_loss"]) < 1e-5  # void looks like class 7
    wrong = outputs | {"semantic": outputs["semantic"].clone()}
    wrong["semantic"][:, MIDDLE] = 0
    assert float(criterion(wrong, batch)["semantic_loss"]) > 1


def test_class_255_is_drawn_written_read_and_scored(tmp_path: Path) -> None:
    info = info_of((CAR,))
    assert info.ignore_index == 300
    labels = np.where(IDS == 0, LAST, np.array([0, LAST, MIDDLE, CAR])[IDS]).astype(np.int32)
    truth = Prediction(IDS, truth_of((CAR,)), labels)
    image = np.zeros((*SIZE, 3), np.uint8)
    result = Result(image, truth, info, "a.png")
    assert (draw_semantic(result.semantic, info)[:8, :36] == (255, 0, 9)).all()
    assert (draw_semantic(truth.semantic(info.ignore_index), info)[:, 36:] == 0).all()
    forms = make_forms(tmp_path, info, ["images", "coco", "csv", "crops"])
    with prepared(tmp_path, forms, ["a"]):
        ResultWriter(tmp_path, forms).write("a", result)
    assert "c255" in (tmp_path / "segments.csv").read_text()
    json, folder = tmp_path / "coco" / "panoptic.json", tmp_path / "coco" / "panoptic"
    assert read_info(json).ignore_index == 300
    assert (read_ids(folder / "a.png") == IDS).all()
    assert evaluate_panoptic_files(json, folder, json, folder)["per_class"][256]["pq"] == 1
    for evaluator in (PanopticQuality(info), SemanticIoU(info)):
        evaluator.update(truth, truth)
        scores = evaluator.compute()["per_class"]["c255"]
        assert (scores["pq"] if isinstance(scores, dict) else scores) == 1
    many = info_of((CAR, MIDDLE))
    precision = InstanceAP(many)
    segments = [Segment(s.id, s.category, area=s.area, score=1.0) for s in truth.segments]
    precision.update(Prediction(IDS, segments, labels), truth)
    assert precision.compute()["per_class"]["c255"]["ap"] == 1


def test_a_semantic_png_may_have_a_class_255(tmp_path: Path) -> None:
    """Values have names up to 299; where 255 has none it is void."""
    write_image(tmp_path / "a.png", np.where(IDS == 2, MIDDLE, LAST).astype(np.uint16))
    names = {i: f"c{i}" for i in range(CLASSES)}
    for named, expected in ((names, {MIDDLE, LAST}), ({LAST: f"c{LAST}"}, {LAST})):
        folder = SemanticFolder(tmp_path, named)
        image = AnnotatedImage("a", "a.jpg", None)
        found = _semantic_map(image, SIZE, tmp_path / "a.json", info_of((CAR,)), folder)
        assert {segment.category for segment in found.segments} == expected


@pytest.mark.parametrize("form", ["paddle", "onnx"])
def test_an_export_keeps_class_255(form: str, tmp_path: Path) -> None:
    """The semantic head sees nothing but class 255, so every pixel is of its one segment."""
    for package in ("onnx", "onnxruntime", "paddle2onnx"):
        pytest.importorskip(package)
    path = tmp_path / "config.yml"
    entries = [{"id": c.official_id, "name": c.name, "isthing": int(c.is_thing), "color": [9, 9, 9]}
               for c in info_of((CAR,)).categories]  # fmt: skip
    path.write_text(f"{TINY_CONFIG.format(root=tmp_path)}\ncategories: {entries}\n")
    config = Config(path)
    assert config.info.ignore_index == config.criterion.ignore_index == 300
    predict = config.model.semantic_head
    predict.bias.set_value(50 * (paddle.arange(CLASSES) == MIDDLE).astype("float32"))
    paddle.save(config.model.state_dict(), str(tmp_path / "model.pdparams"))
    words = ["--model_path", str(tmp_path), "--config", str(path), "--device", "cpu"]
    words += ["--save_dir", str(tmp_path / "export"), "--format", form, "--with_postprocess"]
    assert export_tool.main([*words, "--repeats", "1"]) == 0
    image = np.zeros((1, 80, 144, 3), np.uint8)
    if form == "paddle":
        program = paddle.jit.load(str(tmp_path / "export" / "inference"))
        values = [value.numpy() for value in program(paddle.to_tensor(image))]
    else:
        from panoptic_deeplab.inference.exported import ExportedModel

        values = list(ExportedModel(tmp_path / "export" / "model.onnx").run(image).values())
    found = dict(zip(PANOPTIC_OUTPUTS, values, strict=True))
    assert (found["panoptic"] == 1).all()
    assert found["segment_class"][0, 0] == MIDDLE
    assert (found["semantic_map"] == MIDDLE).all()
