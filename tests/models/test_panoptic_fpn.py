"""Panoptic FPN as a whole: sizes, names, training on extreme samples, detection."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import paddle
import pytest
from small_scenes import CAR, CASES, PERSON, SKY, THINGS, plain, scene

from panoptic_deeplab.engine.loading import collate
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.losses import PanopticFPNLoss
from panoptic_deeplab.models import PanopticFPN
from panoptic_deeplab.models.backbones import ResNet
from panoptic_deeplab.models.necks import FPN
from panoptic_deeplab.models.roi.boxes import pairwise_iou
from panoptic_deeplab.models.semantic_fpn import SemanticFPNHead
from panoptic_deeplab.structures import Segment

BDD100K_THINGS = tuple(range(30, 40))
CRITERION = PanopticFPNLoss(4, THINGS)


def tiny_model(**changes: object) -> PanopticFPN:
    """All parts of the network, a few channels wide."""
    arguments = {
        "channels": 16,
        "semantic_channels": 32,
        "box_channels": 32,
        "train_candidates": 128,
        "train_proposals": 64,
        "test_candidates": 128,
        "test_proposals": 64,
        "rpn_samples": 64,
        "region_samples": 32,
    }
    paddle.seed(0)
    backbone = ResNet(18, width=8, frozen_stages=0, norm="instance")
    return PanopticFPN(4, THINGS, backbone, **(arguments | changes))


def batch_of(case: str) -> dict[str, paddle.Tensor]:
    return {name: paddle.to_tensor(value) for name, value in collate(CASES[case]).items()}


@pytest.fixture(scope="module")
def published() -> PanopticFPN:
    """The network in the size of BDD100K's models."""
    return PanopticFPN(40, BDD100K_THINGS, ResNet(50))


def test_names_and_shapes_are_mmdetections(published: PanopticFPN) -> None:
    """Paddle's linear layers hold their weights transposed."""
    path = Path(__file__).parents[1] / "data" / "panoptic_fpn_state_keys.txt.gz"
    lines = (line.split() for line in gzip.decompress(path.read_bytes()).decode().splitlines())
    expected = {name: tuple(map(int, shape)) for name, *shape in lines}
    assert len(expected) == 330
    linear = {f"roi_head.bbox_head.{name}.weight" for name in ("fc_cls", "fc_reg")}
    linear |= {f"roi_head.bbox_head.shared_fcs.{i}.weight" for i in range(2)}
    found = {name: tuple(value.shape) for name, value in published.state_dict().items()}
    assert found == {n: s[::-1] if n in linear else s for n, s in expected.items()}


def test_parameters(published: PanopticFPN) -> None:
    """All but the statistics; stem and first stage, 225,344 of them, do not learn."""
    numbers = {n: v.size for n, v in published.state_dict().items() if ".running_" not in n}
    assert sum(numbers.values()) == 45_647_403
    trained = sum(p.size for p in published.parameters() if not p.stop_gradient)
    assert trained == 45_647_403 - 225_344


def test_a_pyramid_of_ones() -> None:
    """Laterals that copy, coarse ones enlarged and added: 1, then 1 + 1, then 2 + 1."""
    neck = FPN([4, 4, 4], channels=4)
    for convolutions in (neck.lateral_convs, neck.fpn_convs):
        for unit in convolutions:
            weight = np.zeros(unit.conv.weight.shape, np.float32)
            middle = weight.shape[-1] // 2
            weight[range(4), range(4), middle, middle] = 1
            unit.conv.weight.set_value(paddle.to_tensor(weight))
            unit.conv.bias.set_value(paddle.zeros([4]))
    levels = neck([paddle.ones([1, 4, *size]) for size in ((9, 12), (5, 6), (3, 3))])
    assert [level.shape[2:] for level in levels] == [[9, 12], [5, 6], [3, 3], [2, 2]]
    assert [(float(level.min()), float(level.max())) for level in levels] == [
        (3, 3),
        (2, 2),
        (1, 1),
        (1, 1),
    ]


def test_the_semantic_head_convolves_coarse_levels_more_often() -> None:
    head = SemanticFPNHead(5, in_channels=8, channels=32)
    assert [len(branch.conv) for branch in head.conv_upsample_layers] == [1, 1, 2, 3]
    sizes = [(17, 25), (9, 13), (5, 7), (3, 4)]
    assert head([paddle.rand([2, 8, *size]) for size in sizes]).shape == [2, 5, 17, 25]


@pytest.mark.parametrize("size", [(128, 256), (65, 97)])
def test_shapes(size: tuple[int, int]) -> None:
    model = tiny_model(score_threshold=0.0, max_instances=7)
    model.eval()
    with paddle.no_grad():
        outputs = model(paddle.rand([2, 3, *size]))
    assert {name: value.shape for name, value in outputs.items()} == {
        "semantic": [2, 3, -(-size[0] // 4), -(-size[1] // 4)],
        "boxes": [14, 4],
        "scores": [14],
        "classes": [14],
        "masks": [14, 28, 28],
        "counts": [2],
    }
    assert set(outputs["classes"].tolist()) <= set(THINGS)
    boxes = outputs["boxes"].numpy()
    assert boxes.min() >= 0
    assert np.all(boxes.max(0)[2:] <= size[::-1])


def test_a_batch_equals_its_images_one_by_one_whatever_their_padding() -> None:
    model = tiny_model(score_threshold=0.34)
    for layer in (model.rpn_head.rpn_cls, model.roi_head["bbox_head"].fc_cls):
        layer.weight.set_value(layer.weight * 50)  # untrained heads say the same everywhere
    images = paddle.rand([3, 3, 128, 192]) * paddle.to_tensor([1.0, 2.0, 3.0]).reshape([3, 1, 1, 1])
    images[1, :, 90:] = 0
    images[2, :, :, 130:] = 0
    model.eval()
    with paddle.no_grad():
        together = model(images)
        alone = [model(image.unsqueeze(0)) for image in images]
    assert min(together["counts"].tolist()) > 0
    for name, value in together.items():
        apart = np.concatenate([output[name].numpy() for output in alone])
        np.testing.assert_allclose(value.numpy(), apart, atol=1e-3, err_msg=name)
    for boxes, right, bottom in zip(
        np.split(together["boxes"].numpy(), np.cumsum(together["counts"].numpy())[:-1]),
        (192, 192, 130),
        (128, 90, 128),
        strict=True,
    ):
        assert np.all(boxes <= [right, bottom, right, bottom])


@pytest.fixture(scope="module")
def model_to_train() -> PanopticFPN:
    return tiny_model()


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_learns_from_extreme_samples(
    case: str, model_to_train: PanopticFPN
) -> None:
    model, batch = model_to_train, batch_of(case)
    model.train()
    model.clear_gradients()
    losses = CRITERION(model(paddle.rand([len(CASES[case]), 3, 64, 96]), batch), batch)
    assert list(losses) == [
        f"{name}_loss" for name in ("semantic", "rpn_cls", "rpn_bbox", "cls", "bbox", "mask")
    ]
    assert all(value.shape == [] and np.isfinite(float(value)) for value in losses.values())
    sum(losses.values()).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if not p.stop_gradient}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(bool(paddle.isfinite(gradient).all()) for gradient in gradients.values())
    if case in ("no instance", "crowd only", "void only"):
        assert float(losses["mask_loss"]) == float(losses["bbox_loss"]) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e4])
def test_a_diverged_network_does_not_crash(value: float) -> None:
    """Its losses say so; boxes far outside of the image leave no proposal but the image."""
    model = tiny_model()
    for bias in (model.rpn_head.rpn_reg.bias, model.rpn_head.rpn_cls.bias):
        bias.set_value(paddle.full_like(bias, value))
    batch, images = batch_of("some and none"), paddle.rand([2, 3, 64, 96])
    losses = CRITERION(model(images, batch), batch)
    assert np.isfinite(value) or not np.isfinite(float(losses["rpn_cls_loss"]))
    model.eval()
    with paddle.no_grad():
        assert model(images)["counts"].shape == [2]


def test_a_step_follows_from_the_seed() -> None:
    model, batch = tiny_model(), batch_of("some and none")
    images = paddle.rand([2, 3, 64, 96])
    drawn = []
    for seed in (3, 3, 4):
        paddle.seed(seed)
        drawn.append(model(images, batch)["train"]["rpn_logits"].tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_scene_is_learned() -> None:
    """Two cars and a person on the road, each in a color of its own, and the sky above."""
    boxes = ((24, 8, 48, 44), (34, 48, 60, 92), (14, 64, 38, 76))
    classes = (CAR, CAR, PERSON)
    ids = scene(*boxes)
    ids[:12] = 5
    segments = [Segment(i, category) for i, category in enumerate((*classes, SKY), start=2)]
    batch = {n: paddle.to_tensor(v[None]) for n, v in plain(ids, *segments).items()}
    colors = np.array([[0, 0, 0]] * 2 + [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], np.float32)
    images = paddle.to_tensor(np.ascontiguousarray(colors[ids].transpose(2, 0, 1)[None])) * 4 - 1
    model = tiny_model(anchor_scale=4)
    optimizer = paddle.optimizer.Adam(4e-3, parameters=model.parameters())
    totals = []
    for step in range(80):
        paddle.seed(step)
        total = sum(CRITERION(model(images, batch), batch).values())
        total.backward()
        optimizer.step()
        optimizer.clear_grad()
        totals.append(float(total))
    assert np.mean(totals[-5:]) < 0.4 * np.mean(totals[:5])
    model.eval()
    with paddle.no_grad():
        found = model(images)
    same_class = found["classes"].unsqueeze(0) == paddle.to_tensor(classes).unsqueeze(1)
    overlaps = pairwise_iou(batch["boxes"][0], found["boxes"]) * same_class.astype("float32")
    assert float(overlaps.max(1).min()) > 0.5, "each is found"
    channels = found["semantic"][0].argmax(0).numpy()  # road, sky, things
    assert np.mean(channels[:3] == 1) > 0.9
    assert np.mean(channels[10:14, 14:22] == 2) > 0.9
    assert np.mean(channels[6:] == 1) < 0.1


def test_recompute_changes_nothing() -> None:
    batch, images = batch_of("some and none"), paddle.rand([2, 3, 64, 96])
    gradients = []
    for recompute in (False, True):
        model = tiny_model(recompute=recompute)
        paddle.seed(1)
        sum(CRITERION(model(images, batch), batch).values()).backward()
        gradients.append([p.grad.numpy() for p in model.parameters() if not p.stop_gradient])
    for plain_one, again in zip(*gradients, strict=True):
        np.testing.assert_allclose(plain_one, again, atol=1e-5)


def test_data_without_things_is_refused_and_data_without_stuff_is_not() -> None:
    with pytest.raises(UsageError, match="needs classes that are things"):
        PanopticFPN(4, (), ResNet(18, width=8))
    model = PanopticFPN(2, (0, 1), ResNet(18, width=8), channels=16, semantic_channels=32)
    assert model.semantic_head.conv_logits.weight.shape[0] == 1
