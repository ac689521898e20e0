"""Agreement with mmdetection's SOLOv2, whose numbers lie in data/parity_solov2.npz.

mmdetection 2.28.2: `network` is its light ResNet-50 form with weights and an image drawn as below,
nothing trained, of which 64 values of each output are kept; `scenes` are masks with their targets,
losses and norms of the gradients for drawn predictions; `nms` is its suppression of duplicates.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import paddle
import pytest
from drawn_networks import drawn_image, drawn_weight

from panoptic_deeplab.losses.solo import category_loss, mask_loss
from panoptic_deeplab.models import SOLOv2
from panoptic_deeplab.models.backbones import ResNet
from panoptic_deeplab.models.solo.instances import SoloSettings, find_instances
from panoptic_deeplab.models.solo.matrix_nms import matrix_nms, points_nms
from panoptic_deeplab.structures import Segment
from panoptic_deeplab.targets.runs import segment_runs
from panoptic_deeplab.targets.solo_grid import SoloGrid, centers_of_mass

GRID = SoloGrid()
FIRST = np.cumsum([0, *(side * side for side in GRID.grids)])
SEED_OF_NETWORK, SEED_OF_SCENES = 8, 4
FACTORS = {
    r"neck\.lateral_convs\..*weight$": (0.5, 0.0),
    r"neck\.fpn_convs\..*weight$": (0.7, 0.0),
    r"mask_head\.conv_cls\.weight$": (1.5, 0.0),
    r"mask_head\.conv_cls\.bias$": (1.0, -7.0),
    r"mask_head\.conv_kernel\.weight$": (0.2, 0.0),
    r"\.bn3\.weight$": (0.25, 0.0),
}
"""Of some weights, and what is added, so that some cells are instances."""


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "data" / "parity_solov2.npz") as arrays:
        return dict(arrays)


# --- the network ---


def test_the_network_and_the_instances_it_finds(expected: dict[str, np.ndarray]) -> None:
    network = SOLOv2(range(80), ResNet(50), 256, GRID.grids, 256, 2, 128)
    network.eval()
    for name, value in network.state_dict().items():
        value.set_value(drawn_weight(SEED_OF_NETWORK, name, value.shape, FACTORS))
    image = (drawn_image(SEED_OF_NETWORK, 96, 160) - [123.675, 116.28, 103.53]) / [
        58.395,
        57.12,
        57.375,
    ]
    tensor = paddle.to_tensor(image.transpose(2, 0, 1)[np.newaxis].astype(np.float32))
    with paddle.no_grad():
        logits, kernels, features = network(tensor, targets={})["train"].values()
    stages = {"mask_features": features}
    for level, side in enumerate(GRID.grids):
        part = slice(FIRST[level], FIRST[level + 1])
        for name, cells in (("category", logits), ("kernel", kernels)):
            by_place = cells[:, part].transpose([0, 2, 1]).reshape([1, -1, side, side])
            stages[f"{name}/level{level}"] = by_place
    for name, value in stages.items():
        sample = expected[f"network/{name}/value"]
        found = value.numpy().ravel()[expected[f"network/{name}/index"]]
        np.testing.assert_allclose(found, sample, rtol=0, atol=1e-4 * sample.std(), err_msg=name)

    found = find_instances(logits[0], kernels[0], features[0], GRID.grids, SoloSettings())
    np.testing.assert_array_equal(found.labels.numpy(), expected["network/final/labels"])
    np.testing.assert_allclose(found.scores.numpy(), expected["network/final/scores"], atol=1e-4)


# --- targets and losses ---


def scene(expected: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Targets of a scene as `SoloGridTargets` makes them, from the reference's masks and boxes."""
    arrays = {key: expected[f"scenes/{name}/{key}"] for key in ("masks", "count", "boxes")}
    count, *size = arrays["count"].tolist()
    masks = np.unpackbits(arrays["masks"])[: count * size[0] * size[1]].reshape(count, *size)
    ids = np.zeros(size, np.int32)
    for number, mask in enumerate(masks, start=1):
        ids[mask > 0] = number
    runs = segment_runs(ids, [Segment(number, 0) for number in range(1, count + 1)])
    positives = GRID.positives(arrays["boxes"], centers_of_mass(runs, count), tuple(size))
    categories = np.zeros(GRID.num_cells, np.int64)
    labels = expected[f"scenes/{name}/labels"]
    categories[positives.cells] = labels[positives.instances] + 1
    cells, owners = np.zeros((2, max(len(positives.cells), 1)), np.int64)
    cells[: len(positives.cells)] = positives.cells
    owners[: len(positives.cells)] = positives.instances + 1
    return {"instances": ids, "categories": categories, "cells": cells, "owners": owners}


SCENES = ["one", "shapes", "none"]


@pytest.mark.parametrize("name", SCENES)
def test_targets(expected: dict[str, np.ndarray], name: str) -> None:
    targets = scene(expected, name)
    cells = targets["cells"][targets["owners"] > 0]
    np.testing.assert_array_equal(cells, expected[f"scenes/{name}/index"])
    background_last = (targets["categories"] - 1) % 9  # there the background is class 8
    np.testing.assert_array_equal(background_last, expected[f"scenes/{name}/category"])


@pytest.mark.parametrize("name", SCENES)
def test_losses_and_gradients(expected: dict[str, np.ndarray], name: str) -> None:
    rng = np.random.default_rng([SEED_OF_SCENES, zlib.crc32(f"solo predictions {name}".encode())])
    logits, kernels = [], []
    for side in GRID.grids:
        logits.append(rng.standard_normal((1, 8, side, side)) - 3)
        kernels.append(rng.standard_normal((1, 32, side, side)) * 0.3)
    features = paddle.to_tensor(rng.standard_normal((1, 32, 48, 80)), "float32")
    logits, kernels = (
        paddle.concat([paddle.to_tensor(x, "float32").flatten(2) for x in parts], 2).transpose(
            [0, 2, 1]
        )
        for parts in (logits, kernels)
    )
    inputs = (kernels, logits, features)
    for value in inputs:
        value.stop_gradient = False
    targets = {key: paddle.to_tensor(x[np.newaxis]) for key, x in scene(expected, name).items()}
    losses = (
        3 * mask_loss(kernels, features, targets),
        category_loss(logits, targets["categories"]),
    )
    np.testing.assert_allclose(list(map(float, losses)), expected[f"scenes/{name}/loss"], rtol=1e-5)
    sum(losses).backward()
    norms = [float(value.grad.norm()) for value in inputs]
    np.testing.assert_allclose(norms, expected[f"scenes/{name}/grad_norm"], rtol=1e-3, atol=1e-9)


# --- duplicates ---


@pytest.mark.parametrize("name", ["hand", "random", "same_class"])
def test_matrix_nms(expected: dict[str, np.ndarray], name: str) -> None:
    count, height, width = expected[f"nms/{name}/masks_shape"]
    masks = np.unpackbits(expected[f"nms/{name}/masks"])[: count * height * width]
    masks = masks.reshape(count, -1).astype(np.float32)
    labels, scores = expected[f"nms/{name}/labels"], expected[f"nms/{name}/scores"]
    order = np.argsort(-scores, kind="stable")
    lowered = matrix_nms(*(paddle.to_tensor(x[order]) for x in (masks, labels, scores))).numpy()
    kept = np.argsort(-lowered, kind="stable")
    kept = kept[lowered[kept] >= 0.05]
    np.testing.assert_array_equal(order[kept], expected[f"nms/{name}/gaussian/index"])
    np.testing.assert_allclose(lowered[kept], expected[f"nms/{name}/gaussian/scores"], atol=1e-6)


def test_points_nms_keeps_ties(expected: dict[str, np.ndarray]) -> None:
    found = points_nms(paddle.to_tensor(expected["nms/points/scores"]))
    np.testing.assert_array_equal(found.numpy(), expected["nms/points/output"])
