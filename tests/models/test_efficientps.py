"""EfficientPS as a whole: sizes, names, training on extreme samples, detection."""

from __future__ import annotations

import gzip
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from small_scenes import CAR, CASES, PERSON, THINGS, plain, scene

from panoptic_deeplab.engine.loading import collate
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.losses import EfficientPSLoss
from panoptic_deeplab.models import EfficientPS
from panoptic_deeplab.models.backbones import EfficientNet
from panoptic_deeplab.models.roi.boxes import pairwise_iou
from panoptic_deeplab.structures import Segment

CITYSCAPES_THINGS = tuple(range(11, 19))


def released_shapes() -> dict[str, tuple[int, ...]]:
    """Name -> shape of the state dict that the authors publish."""
    path = Path(__file__).parents[1] / "data" / "efficientps_state_keys.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    names = (line.split(" ", 1) for line in lines)
    return {name: tuple(int(n) for n in shape.strip("()").split(",") if n) for name, shape in names}


@pytest.fixture(scope="session")
def released() -> EfficientPS:
    """The network in the authors' size."""
    return EfficientPS(19, CITYSCAPES_THINGS, EfficientNet("b5"))


def tiny_model(**changes: object) -> EfficientPS:
    """All parts of the network, a few channels wide."""
    arguments = {
        "channels": 16,
        "semantic_channels": 8,
        "box_channels": 32,
        "train_proposals": 64,
        "test_proposals": 64,
        "rpn_samples": 64,
        "region_samples": 32,
    }
    paddle.seed(0)
    backbone = EfficientNet("b0", width=0.25, depth=0.3)
    return EfficientPS(4, THINGS, backbone, **(arguments | changes))


def trainable(layer: nn.Layer) -> int:
    return sum(p.size for p in layer.parameters() if not p.stop_gradient)


def test_parameters_of_the_released_form(released: EfficientPS) -> None:
    assert trainable(released) == 42_988_744
    assert {name: trainable(part) for name, part in released.named_children()} == {
        "backbone": 23_148_912,
        "neck": 3_557_376,
        "rpn_head": 593_935,
        "bbox_head": 13_941_805,
        "mask_head": 540_169,
        "semantic_head": 1_206_547,
    }


def test_parameters_of_the_papers_form(released: EfficientPS) -> None:
    model = EfficientPS(19, CITYSCAPES_THINGS, released.backbone, separable_fpn=True)
    assert trainable(model) == 40_900_808


def test_names_and_shapes_are_the_released_ones(released: EfficientPS) -> None:
    """Paddle's linear layers hold their weights transposed."""
    linear = {f"bbox_head.{name}.weight" for name in ("fc_cls", "fc_reg", "shared_fcs.0")}
    linear.add("bbox_head.shared_fcs.1.weight")
    expected = released_shapes()
    assert len(expected) == 890
    found = {name: tuple(value.shape) for name, value in released.state_dict().items()}
    assert found == {n: s[::-1] if n in linear else s for n, s in expected.items()}


def test_operations_are_those_of_the_released_network(released: EfficientPS) -> None:
    """In billions at 1024 x 2048, which is 512 times 64 x 64; 1000 regions, 100 masks."""
    released.eval()
    finder = released.find_instances
    finder.settings = replace(finder.settings, score_threshold=1.0)
    counts: dict[str, int] = defaultdict(int)
    hooks = [
        layer.register_forward_post_hook(counter(counts, name.split(".")[0]))
        for name, layer in released.named_sublayers()
        if isinstance(layer, (nn.Conv2D, nn.Conv2DTranspose))
    ]
    with paddle.no_grad():
        released(paddle.zeros([1, 3, 64, 64]))
        full = {name: count * 512 / 1e9 for name, count in counts.items()}
        counts.clear()
        released.mask_head(paddle.zeros([1, 256, 14, 14]), paddle.to_tensor([1]))
    for hook in hooks:
        hook.remove()
    assert {name: round(count, 2) for name, count in full.items()} == {
        "backbone": 98.19,
        "neck": 109.32,
        "rpn_head": 103.35,
        "semantic_head": 16.48,
    }
    assert round(counts["mask_head"] * 100 / 1e9, 2) == 10.64


def counter(counts: dict[str, int], part: str):
    """A hook that adds a convolution's multiplications to those of its part."""

    def count(layer: nn.Layer, inputs: tuple, output: paddle.Tensor) -> None:
        transposed = isinstance(layer, nn.Conv2DTranspose)
        positions = inputs[0] if transposed else output
        counts[part] += layer.weight.size * positions.shape[2] * positions.shape[3]

    return count


@pytest.mark.parametrize("size", [(128, 256), (256, 512), (65, 97)])
def test_shapes(size: tuple[int, int]) -> None:
    model = tiny_model(score_threshold=0.0, max_instances=7)
    model.eval()
    with paddle.no_grad():
        features = model.backbone(paddle.rand([1, 3, *size]))
        levels = model.neck(features)
        outputs = model(paddle.rand([2, 3, *size]))
    sizes = [[-(-side // stride) for side in size] for stride in (4, 8, 16, 32)]
    assert [level.shape for level in levels] == [[1, 16, *level_size] for level_size in sizes]
    assert {name: value.shape for name, value in outputs.items()} == {
        "semantic": [2, 4, *sizes[0]],
        "boxes": [14, 4],
        "scores": [14],
        "classes": [14],
        "masks": [14, 28, 28],
        "counts": [2],
    }
    assert set(outputs["classes"].tolist()) <= set(THINGS)
    boxes = outputs["boxes"].numpy()
    assert boxes.min() >= 0
    assert boxes.max(0)[2] <= size[1] - 1
    assert boxes.max(0)[3] <= size[0] - 1
    assert np.all(boxes[:, 2:] >= boxes[:, :2]), "closed boxes have a pixel"


def test_a_batch_equals_its_images_one_by_one() -> None:
    model = tiny_model(score_threshold=0.34)
    for layer in (model.rpn_head.rpn_cls, model.bbox_head.fc_cls):
        layer.weight.set_value(
            layer.weight * 50
        )  # untrained heads predict nearly the same everywhere
    images = paddle.rand([3, 3, 128, 192]) * paddle.to_tensor([1.0, 2.0, 3.0]).reshape([3, 1, 1, 1])
    model.eval()
    with paddle.no_grad():
        together = model(images)
        alone = [model(image.unsqueeze(0)) for image in images]
    assert min(together["counts"].tolist()) > 0
    for name, value in together.items():
        apart = np.concatenate([output[name].numpy() for output in alone])
        np.testing.assert_allclose(value.numpy(), apart, atol=1e-3, err_msg=name)


@pytest.mark.parametrize(("legacy", "last"), [(True, (95, 63)), (False, (96, 64))])
def test_a_box_of_the_whole_image_in_both_conventions(legacy: bool, last: tuple[int, int]) -> None:
    """Closed boxes end with the last pixel, open ones after it."""
    model = tiny_model(legacy_boxes=legacy, score_threshold=0.0, max_instances=1)
    model.bbox_head.fc_reg.bias.set_value(paddle.full_like(model.bbox_head.fc_reg.bias, 20))
    model.eval()
    with paddle.no_grad():
        (box,) = model(paddle.rand([1, 3, 64, 96]))["boxes"].tolist()
    assert tuple(box[2:]) == last


@pytest.fixture(scope="module")
def model_to_train() -> EfficientPS:
    return tiny_model()


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_learns_from_extreme_samples(
    case: str, model_to_train: EfficientPS
) -> None:
    model = model_to_train
    model.train()
    model.clear_gradients()
    batch = {name: paddle.to_tensor(value) for name, value in collate(CASES[case]).items()}
    images = paddle.rand([len(CASES[case]), 3, 64, 96])
    losses = EfficientPSLoss()(model(images, batch), batch)
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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_network_does_not_crash(value: float) -> None:
    """Its losses say so."""
    model = tiny_model()
    for bias in (model.rpn_head.rpn_reg.bias, model.rpn_head.rpn_cls.bias):
        bias.set_value(paddle.full_like(bias, value))
    batch = {n: paddle.to_tensor(v) for n, v in collate(CASES["some and none"]).items()}
    images = paddle.rand([2, 3, 64, 96])
    losses = EfficientPSLoss()(model(images, batch), batch)
    assert not np.isfinite(float(losses["rpn_cls_loss"]))
    model.eval()
    with paddle.no_grad():
        assert model(images)["counts"].shape == [2]


def test_synchronized_batch_norm_keeps_the_names() -> None:
    model = tiny_model()
    names = list(model.state_dict())
    assert list(nn.SyncBatchNorm.convert_sync_batchnorm(model).state_dict()) == names


def test_instance_norm_keeps_no_statistics() -> None:
    """What an image gives follows from the image alone, in training too."""
    model = tiny_model(instance_norm=True)
    assert not [name for name in model.state_dict() if "running" in name]
    images = paddle.rand([2, 3, 64, 96])
    found = []
    for training, batch in ((True, images), (False, images[:1])):
        model.train() if training else model.eval()
        with paddle.no_grad():
            levels = model.neck(model.backbone(batch))
            found.append(model.semantic_head(levels)[:1].numpy())
    np.testing.assert_allclose(*found, atol=1e-4)


def test_padding_is_not_sampled() -> None:
    """Where the image is smaller than every anchor, none is sampled."""
    model = tiny_model()
    batch = {n: paddle.to_tensor(v) for n, v in collate(CASES["no instance"]).items()}
    images = paddle.rand([1, 3, 64, 96])
    for side, any_sampled in ((64, True), (8, False)):
        batch["valid_box"] = paddle.to_tensor([[0, 0, side, side]])
        outputs = model(images, batch)["train"]
        assert (float(outputs["rpn_weights"].sum()) > 0) == any_sampled


def test_a_step_follows_from_the_seed() -> None:
    model = tiny_model()
    batch = {n: paddle.to_tensor(v) for n, v in collate(CASES["some and none"]).items()}
    images = paddle.rand([2, 3, 64, 96])
    drawn = []
    for seed in (3, 3, 4):
        paddle.seed(seed)
        outputs = model(images, batch)["train"]
        drawn.append(outputs["rpn_logits"].tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_scene_is_learned() -> None:
    """Two cars and a person, each in a color of its own: found again with their boxes and masks."""
    boxes = ((8, 8, 40, 56), (30, 60, 60, 92), (2, 64, 26, 76))
    classes = (CAR, CAR, PERSON)
    segments = [Segment(i, category) for i, category in enumerate(classes, start=2)]
    ids = scene(*boxes)
    batch = {n: paddle.to_tensor(v[None]) for n, v in plain(ids, *segments).items()}
    colors = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    images = paddle.to_tensor(np.ascontiguousarray(colors[ids].transpose(2, 0, 1)[None])) * 4 - 1
    model, criterion = tiny_model(anchor_scale=4, instance_norm=True), EfficientPSLoss()
    optimizer = paddle.optimizer.Adam(4e-3, parameters=model.parameters())
    totals = []
    for step in range(80):
        paddle.seed(step)
        losses = criterion(model(images, batch), batch)
        total = sum(losses.values())
        total.backward()
        optimizer.step()
        optimizer.clear_grad()
        totals.append(float(total))
    assert np.mean(totals[-5:]) < 0.4 * np.mean(totals[:5])
    model.eval()
    with paddle.no_grad():
        found = model(images)
    # After so few steps a part of a thing may be seen as one more; rounding decides whether.
    same_class = found["classes"].unsqueeze(0) == paddle.to_tensor(classes).unsqueeze(1)
    overlaps = pairwise_iou(batch["boxes"][0], found["boxes"]) * same_class.astype("float32")
    assert float(overlaps.max(1).min()) > 0.6, "each is found"
    assert float(overlaps.max(0).min()) > 0, "nothing else is"


def test_recompute_changes_nothing() -> None:
    batch = {n: paddle.to_tensor(v) for n, v in collate(CASES["some and none"]).items()}
    images = paddle.rand([2, 3, 64, 96])
    gradients = []
    for recompute in (False, True):
        model = tiny_model(recompute=recompute)
        paddle.seed(1)
        sum(EfficientPSLoss()(model(images, batch), batch).values()).backward()
        gradients.append([p.grad.numpy() for p in model.parameters() if not p.stop_gradient])
    for plain_one, again in zip(*gradients, strict=True):
        np.testing.assert_allclose(plain_one, again, atol=1e-5)


def test_data_without_things_is_refused() -> None:
    with pytest.raises(UsageError, match="needs classes that are things"):
        EfficientPS(4, (), EfficientNet("b0", width=0.25, depth=0.3))
