"""Agreement with mmdetection's and detectron2's Panoptic FPN, whose numbers lie in
data/parity_panoptic_fpn.

`network.npz`: mmdetection 2.28.2 with the configuration of BDD100K's ResNet-50, weights and images
drawn as below, nothing trained. `fusion.npz`: what its fusion and detectron2 02b5c4e make of six
drawn cases; 40 and 0 are void. Things are the classes 0..9 there, stuff 10..39.
"""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import pytest
from drawn_networks import drawn_image, drawn_weight

from panoptic_deeplab.fusion.heuristic import HeuristicRule, heuristic_fusion
from panoptic_deeplab.fusion.instances import Instances
from panoptic_deeplab.losses import PanopticFPNLoss
from panoptic_deeplab.models import PanopticFPN
from panoptic_deeplab.models.backbones import ResNet
from panoptic_deeplab.postprocess import HeuristicFusion
from panoptic_deeplab.preprocess import Preprocess
from panoptic_deeplab.structures import Frame, Segment

DATA = Path(__file__).parent / "data"
PARITY = DATA / "parity_panoptic_fpn"
THINGS, STUFF = tuple(range(10)), tuple(range(10, 40))
VOID = 40
SEED = 4
SIZE = (192, 320)
FACTORS = {
    r"neck\.lateral_convs\..*weight$": (0.5, 0.0),
    r"neck\.fpn_convs\..*weight$": (0.7, 0.0),
    r"rpn_head\.rpn_reg\.weight$": (0.05, 0.0),
    r"rpn_head\.rpn_cls\.weight$": (0.5, 0.0),
    r"bbox_head\.fc_reg\.weight$": (0.2, 0.0),
    r"(\.bn3)\.weight$": (0.25, 0.0),
}
"""Of some weights, so that features and detections are of an ordinary size."""


def read(name: str) -> dict[str, np.ndarray]:
    with np.load(PARITY / f"{name}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return read("network")


@pytest.fixture(scope="module")
def model() -> PanopticFPN:
    model = PanopticFPN(40, THINGS, ResNet(50), score_threshold=0.6, class_agnostic_nms=True)
    path = DATA / "panoptic_fpn_state_keys.txt.gz"
    lines = (line.split() for line in gzip.decompress(path.read_bytes()).decode().splitlines())
    weights = {
        name: drawn_weight(SEED, name, [int(side) for side in shape], FACTORS)
        for name, *shape in lines
    }
    for name in weights:
        if weights[name].ndim == 2:
            weights[name] = np.ascontiguousarray(weights[name].T)
    assert model.set_state_dict(weights) == ([], [])
    return model


def images(*seeds: int) -> paddle.Tensor:
    """[N, 3, 192, 320] normalized."""
    drawn = [drawn_image(seed, *SIZE) for seed in seeds]
    preprocess = Preprocess([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return preprocess.normalize(paddle.to_tensor(np.stack(drawn)))


def coded(ids: np.ndarray, segments: list[Segment]) -> np.ndarray:
    """mmdetection's coding: stuff is its class, the nth thing 1000 n more."""
    codes = [VOID, *(s.category + 1000 * s.id * bool(s.is_thing) for s in segments)]
    return np.array(codes)[ids]


def test_network_and_panoptic_map(model: PanopticFPN, expected: dict[str, np.ndarray]) -> None:
    model.eval()
    with paddle.no_grad():
        given = images(SEED)
        features = model.backbone(given)
        levels = model.neck(features)
        outputs = model(given)
    for name, value in {
        "C5": features[-1],
        "P2": levels[0],
        "P5": levels[3],
        "P6": levels[4],
    }.items():
        assert value.shape == expected[f"{name}/shape"].tolist()
        sampled = value.numpy().ravel()[expected[f"{name}/index"]]
        tolerance = 1e-4 * expected[f"{name}/std"]
        np.testing.assert_allclose(sampled, expected[f"{name}/value"], atol=tolerance, rtol=0)
    boxes_scores = expected["detections/boxes_scores"]
    assert outputs["classes"].tolist() == expected["detections/labels"].tolist()
    np.testing.assert_allclose(outputs["boxes"].numpy(), boxes_scores[:, :4], atol=1e-2)
    np.testing.assert_allclose(outputs["scores"].numpy(), boxes_scores[:, 4], atol=1e-4)

    (prediction,) = HeuristicFusion(40, THINGS)(outputs, [Frame.whole(*SIZE)])
    sure = ~np.unpackbits(expected["panoptic/unsure"]).astype(bool).reshape(SIZE)
    found = coded(prediction.ids, prediction.segments)
    np.testing.assert_array_equal(found[sure], expected["panoptic/map"][sure])


def test_losses_and_gradients(model: PanopticFPN, expected: dict[str, np.ndarray]) -> None:
    """All anchors and all regions count, so that nothing is drawn; proposals are given."""
    targets, proposals = given_targets(expected)
    detector = model.detector
    model.train()
    model.clear_gradients()
    with pytest.MonkeyPatch.context() as patch:
        everything = replace(detector.settings, rpn_samples=10**6, region_samples=10**6)
        patch.setattr(detector, "settings", everything)
        patch.setattr(detector, "_propose", lambda *_: proposals)
        losses = PanopticFPNLoss(40, THINGS)(model(images(SEED, SEED + 1), targets), targets)
    told = {
        "semantic_loss": "loss_seg",
        "rpn_cls_loss": "loss_rpn_cls",  # of each level
        "rpn_bbox_loss": "loss_rpn_bbox",
        "cls_loss": "loss_cls",
        "bbox_loss": "loss_bbox",
        "mask_loss": "loss_mask",
    }
    for name, theirs in told.items():
        value = expected[f"loss/{theirs}"].sum()
        assert float(losses[name]) == pytest.approx(value, rel=1e-5), name
    sum(losses.values()).backward()
    parameters = dict(model.named_parameters())
    for name, norm in zip(expected["gradients/names"], expected["gradients/norms"], strict=True):
        gradient = parameters[name].grad.numpy().astype(np.float64)
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=1e-3), name


def given_targets(
    expected: dict[str, np.ndarray],
) -> tuple[dict[str, paddle.Tensor], list[paddle.Tensor]]:
    """Two images with four instances and one."""
    boxes, classes = np.zeros((2, 4, 4), np.float32), np.zeros((2, 4), np.int64)
    instances = np.zeros((2, *SIZE), np.int32)
    for i in range(2):
        given = {
            name: expected[f"loss/image{i}/{name}"]
            for name in ("masks", "masks_shape", "boxes", "labels")
        }
        masks = np.unpackbits(given["masks"]).reshape(given["masks_shape"])
        for slot, mask in enumerate(masks, start=1):
            instances[i][mask > 0] = slot
        boxes[i, : len(masks)] = given["boxes"]
        classes[i, : len(masks)] = given["labels"] + 1
    semantic = np.stack([expected[f"loss/image{i}/semantic"] for i in range(2)])
    targets = {
        "boxes": boxes,
        "classes": classes,
        "instances": instances,
        "semantic": semantic,
    }
    proposals = [paddle.to_tensor(expected[f"loss/image{i}/proposals"]) for i in range(2)]
    return {name: paddle.to_tensor(value) for name, value in targets.items()}, proposals


CASES = (
    *("overlap", "exactly_half", "empty_and_hidden"),
    *("no_instance", "stuff_area", "threshold"),
)


@pytest.mark.parametrize("case", CASES)
def test_fusion(case: str) -> None:
    """Masks of the whole image; detectron2 leaves out what scores below a half."""
    given = {
        name.removeprefix(f"{case}/"): value
        for name, value in read("fusion").items()
        if name.startswith(f"{case}/")
    }
    rule = HeuristicRule(STUFF, int(given["stuff_area_limit"]), overlap_threshold=0.5)
    probabilities = given["masks"].astype(np.float64)
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities / (1 - probabilities)).clip(-80, 80).astype(np.float32)
    height, width = given["semantic"].shape
    boxes = np.tile(np.array([0, 0, width, height], np.float32), (len(logits), 1))
    found = Instances(boxes, given["scores"], given["labels"], logits)
    ids, segments = heuristic_fusion(given["semantic"], found, rule)
    np.testing.assert_array_equal(coded(ids, segments), given["mmdetection"])
    scores = given["detectron2_scores"]
    confident = replace(found, scores=scores).only(np.flatnonzero(scores >= 0.5))
    ids, _ = heuristic_fusion(given["semantic"], confident, rule)
    np.testing.assert_array_equal(ids, given["detectron2"])
