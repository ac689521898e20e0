"""Anchors, boxes, matching, sampling, proposals and the features of regions."""

from __future__ import annotations

import math

import cv2
import numpy as np
import paddle
import pytest

from panoptic_deeplab.models.roi import matching
from panoptic_deeplab.models.roi.align import RoIAlign, image_of, level_of
from panoptic_deeplab.models.roi.anchors import base_anchors, grid_anchors, inside
from panoptic_deeplab.models.roi.boxes import BoxCoder, clip_boxes, kept_by_nms, pairwise_iou
from panoptic_deeplab.models.roi.detections import detect
from panoptic_deeplab.models.roi.mask_targets import cut_masks
from panoptic_deeplab.models.roi.matching import IGNORED, NEGATIVE, POSITIVE
from panoptic_deeplab.models.roi.proposals import propose
from panoptic_deeplab.models.roi.rpn import Level
from panoptic_deeplab.models.roi.sampling import sample
from panoptic_deeplab.models.roi.training import (
    ANCHOR_MATCHER,
    REGION_MATCHER,
    GroundTruth,
    rpn_samples,
    sample_regions,
)

CLOSED = np.array([0, 0, 1, 1])


def tensor(values: object) -> paddle.Tensor:
    return paddle.to_tensor(np.array(values, np.float32))


@pytest.mark.parametrize(
    ("stride", "closed"),
    [
        (4, [[-21, -9, 24, 12], [-14, -14, 17, 17], [-9, -21, 12, 24]]),
        (8, [[-41, -19, 48, 26], [-28, -28, 35, 35], [-19, -41, 26, 48]]),
        (16, [[-83, -37, 98, 52], [-56, -56, 71, 71], [-37, -83, 52, 98]]),
        (32, [[-165, -75, 196, 106], [-112, -112, 143, 143], [-75, -165, 106, 196]]),
    ],
)
def test_anchors_are_the_released_ones(stride: int, closed: list[list[int]]) -> None:
    assert (base_anchors(stride, 8) - CLOSED).tolist() == closed


def test_exact_anchors_lie_about_the_middle_of_the_cell() -> None:
    wide, square, tall = base_anchors(4, 8, legacy=False)
    assert square.tolist() == [-14, -14, 18, 18]
    half = 16 * math.sqrt(2)
    np.testing.assert_allclose(wide, [2 - half, 2 - half / 2, 2 + half, 2 + half / 2], rtol=1e-6)
    np.testing.assert_array_equal(tall, wide[[1, 0, 3, 2]])


def test_anchors_go_cell_by_cell_along_the_rows() -> None:
    anchors = grid_anchors((2, 3), 4, 8).numpy()
    base = base_anchors(4, 8)
    assert anchors.shape == (18, 4)
    np.testing.assert_array_equal(anchors[:3], base)
    np.testing.assert_array_equal(anchors[3:6], base + np.array([4, 0, 4, 0]))
    np.testing.assert_array_equal(anchors[9:12], base + np.array([0, 4, 0, 4]))


def test_anchors_may_touch_the_border_but_not_cross_it() -> None:
    anchors = tensor([[0, 0, 8, 8], [-1, 0, 8, 8], [0, 0, 8, 9], [2, 2, 4, 4]])
    assert inside(anchors, tensor([0, 0, 8, 8])).tolist() == [True, False, False, True]


def test_overlap_counts_pixels() -> None:
    """Closed (0, 0, 3, 3) and (2, 2, 5, 5) are 4 x 4 pixels each and share 2 x 2: 4 / 28."""
    boxes, others = tensor([[0, 0, 4, 4], [0, 0, 0, 0]]), tensor([[2, 2, 6, 6], [0, 0, 4, 4]])
    overlaps = pairwise_iou(boxes, others).numpy()
    np.testing.assert_allclose(overlaps, [[4 / 28, 1], [0, 0]], rtol=1e-6)


def test_coding_and_decoding_lead_back() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 500, (2, 64, 2))
    boxes = np.concatenate([start, start + rng.uniform(1, 200, (2, 64, 2))], -1)
    references, goals = tensor(boxes[0]), tensor(boxes[1])
    for coder in (BoxCoder(), BoxCoder((0.1, 0.1, 0.2, 0.2))):
        found = coder.decode(references, coder.encode(references, goals))
        inside_clip = (coder.encode(references, goals) * coder.scales).abs()[:, 2:].max(-1) < 4
        assert inside_clip.astype("float32").mean() > 0.9
        chosen = inside_clip.numpy()
        np.testing.assert_allclose(found.numpy()[chosen], goals.numpy()[chosen], atol=1e-2)


def test_a_coded_box_by_hand() -> None:
    """From 0..9 to 5..24: the middles lie 10 pixels, one side, apart; twice as wide, as high."""
    coder = BoxCoder((0.1, 0.1, 0.2, 0.2))
    offsets = coder.encode(tensor([0, 0, 10, 10]), tensor([5, 0, 25, 10]))
    np.testing.assert_allclose(offsets, [10, 0, math.log(2) / 0.2, 0], rtol=1e-6)


def test_sides_grow_and_shrink_at_most_62_5_times() -> None:
    boxes = BoxCoder().decode(tensor([0, 0, 16, 16]), tensor([[0, 0, 50, -50]])).numpy()[0]
    np.testing.assert_allclose(boxes, [8 - 500, 8 - 0.128, 8 + 500, 8 + 0.128], rtol=1e-5)


def test_clipped_boxes_keep_a_pixel_where_told_to() -> None:
    """The released code clips closed boxes to 0..W - 1, which leaves one pixel of any box."""
    bounds = tensor([0, 0, 100, 50])
    boxes = tensor([[-5, -5, 20, 60], [120, 10, 140, 20], [-9, -9, -3, -3]])
    closed = clip_boxes(boxes, bounds, 1.0).numpy() - CLOSED
    assert closed.tolist() == [[0, 0, 19, 49], [99, 10, 99, 19], [0, 0, 0, 0]]
    assert clip_boxes(boxes, bounds, 0.0).numpy()[1].tolist() == [100, 10, 100, 20]


def test_suppression_keeps_the_first_of_those_that_overlap() -> None:
    """The second covers 9 of 10 columns of the first, the third none."""
    boxes = tensor([[0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10]])
    assert kept_by_nms(boxes, 0.7).tolist() == [0, 2]
    assert kept_by_nms(boxes, 0.95).tolist() == [0, 1, 2]
    assert kept_by_nms(boxes[:0], 0.7).tolist() == []


CANDIDATES = [
    [0, 0, 10, 10],  # is the first truth
    [0, 0, 10, 5],  # half of it: 0.5
    [0, 0, 10, 2],  # a fifth of it
    [50, 50, 60, 60],  # nothing
    [20, 0, 30, 4],  # 0.4 of the second truth, its best
    [20, 6, 30, 10],  # as good
]
TRUTH = [[0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 0, 0]]


@pytest.mark.parametrize("pairs_at_once", [1, 12, 1 << 20])
def test_matching(pairs_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is compared at once. The third row of the truth is padding."""
    monkeypatch.setattr(matching, "PAIRS_AT_ONCE", pairs_at_once)
    is_truth = paddle.to_tensor([True, True, False])
    match = ANCHOR_MATCHER(tensor(CANDIDATES), tensor(TRUTH), is_truth)
    assert match.labels.tolist() == [
        POSITIVE,
        IGNORED,
        NEGATIVE,
        NEGATIVE,
        POSITIVE,
        POSITIVE,
    ]
    assert match.truth.tolist()[0] == 0
    assert match.truth.tolist()[4:] == [1, 1]


def test_of_two_truths_with_the_same_best_the_later_gets_it() -> None:
    """One candidate, 0.8 of the first and 0.4 of the second: the best of both."""
    truth = tensor([[0, 0, 10, 8], [0, 0, 10, 4]])
    match = ANCHOR_MATCHER(tensor([[0, 0, 10, 10]]), truth, paddle.to_tensor([True, True]))
    assert (match.labels.tolist(), match.truth.tolist()) == ([POSITIVE], [1])


def test_regions_need_half_even_as_the_best() -> None:
    match = REGION_MATCHER(tensor(CANDIDATES), tensor(TRUTH), paddle.to_tensor([True, True, False]))
    assert match.labels.tolist() == [POSITIVE, POSITIVE] + [NEGATIVE] * 4


def test_left_out_candidates_are_nobodys_best() -> None:
    """Without the exact one, half of the truth is the best that is left."""
    is_candidate = paddle.to_tensor([False] + [True] * 5)
    is_truth = paddle.to_tensor([True, True, False])
    match = ANCHOR_MATCHER(tensor(CANDIDATES), tensor(TRUTH), is_truth, is_candidate)
    assert match.labels.tolist()[:3] == [IGNORED, POSITIVE, NEGATIVE]


def test_matching_equals_the_plain_statement() -> None:
    rng = np.random.default_rng(1)

    def boxes(count: int) -> np.ndarray:
        start = rng.integers(0, 40, (count, 2))
        return np.concatenate([start, start + rng.integers(4, 30, (count, 2))], 1)

    candidates, truth = boxes(300), boxes(20)
    match = ANCHOR_MATCHER(tensor(candidates), tensor(truth), paddle.ones([20], "bool"))
    overlaps = pairwise_iou(tensor(truth), tensor(candidates)).numpy()
    best = overlaps.max(0)
    labels = np.where(best < 0.3, NEGATIVE, np.where(best >= 0.7, POSITIVE, IGNORED))
    found = overlaps.argmax(0)
    for row in range(20):
        if overlaps[row].max() >= 0.3:
            own = overlaps[row] == overlaps[row].max()
            labels[own], found[own] = POSITIVE, row
    np.testing.assert_array_equal(match.labels.numpy(), labels)
    positive = labels == POSITIVE
    np.testing.assert_array_equal(match.truth.numpy()[positive], found[positive])


@pytest.mark.parametrize(
    ("positives", "negatives", "chosen"),
    [
        (100, 1000, (8, 24)),
        (3, 1000, (3, 29)),
        (0, 1000, (0, 32)),
        (100, 10, (8, 10)),
        (5, 0, (5, 0)),
        (0, 0, (0, 0)),
        (2, 3, (2, 3)),
    ],
)
def test_samples_are_a_quarter_positive_at_most(
    positives: int, negatives: int, chosen: tuple[int, int]
) -> None:
    labels = np.full(max(positives + negatives + 7, 4), IGNORED)
    labels[:positives], labels[positives : positives + negatives] = POSITIVE, NEGATIVE
    paddle.seed(0)
    places, is_chosen = (t.numpy() for t in sample(paddle.to_tensor(labels), 32, 0.25))
    assert len(places) == min(32, len(labels))
    found = labels[places[is_chosen]]
    assert (np.sum(found == POSITIVE), np.sum(found == NEGATIVE)) == chosen
    assert len(set(places)) == len(places)
    assert np.all(found[: chosen[0]] == POSITIVE), "positives first"


def test_samples_follow_from_the_seed() -> None:
    labels = paddle.to_tensor([POSITIVE] * 50 + [NEGATIVE] * 500)
    drawn = []
    for seed in (1, 1, 2):
        paddle.seed(seed)
        drawn.append(sample(labels, 64, 0.25).places.tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_every_candidate_is_sampled_as_often() -> None:
    """Eight of sixteen, four of eight positive: each half the time; 400 draws, 5 deviations."""
    labels = paddle.to_tensor([POSITIVE] * 8 + [NEGATIVE] * 8)
    paddle.seed(0)
    counts = np.zeros(16)
    for _ in range(400):
        counts[sample(labels, 8, 0.5).places.numpy()] += 1
    assert np.all(np.abs(counts - 200) < 50)


@pytest.mark.parametrize(
    ("side", "level"),
    [(1, 0), (111, 0), (112, 1), (223, 1), (224, 2), (447, 2), (448, 3), (5000, 3), (0, 0)],
)
def test_level_of_a_box(side: int, level: int) -> None:
    """Closed boxes of 0..111 are 112 wide."""
    assert level_of(tensor([[3, 5, 3 + side, 5 + side]]), 4).tolist() == [level]


def numpy_roi_align(features: np.ndarray, box: np.ndarray, stride: int, size: int) -> np.ndarray:
    """[C, size, size] by the first RoIAlign: 2 x 2 samples a cell, no shift by half a pixel."""
    channels, height, width = features.shape
    x1, y1, x2, y2 = box / stride
    result = np.zeros((channels, size, size))
    for i in range(2 * size):
        for j in range(2 * size):
            y = y1 + (i + 0.5) * (y2 - y1) / (2 * size)
            x = x1 + (j + 0.5) * (x2 - x1) / (2 * size)
            if not (-1 <= y <= height and -1 <= x <= width):
                continue
            y, x = (min(max(v, 0), n - 1) for v, n in ((y, height), (x, width)))
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            dy, dx = y - top, x - left
            upper = features[:, top, left] * (1 - dx) + features[:, top, right] * dx
            lower = features[:, bottom, left] * (1 - dx) + features[:, bottom, right] * dx
            result[:, i // 2, j // 2] += (upper * (1 - dy) + lower * dy) / 4
    return result


def test_regions_equal_a_plain_roi_align_in_their_order() -> None:
    """Boxes of all levels and two of three images, mixed; some are narrower than a cell."""
    rng = np.random.default_rng(0)
    strides = (4, 8, 16, 32)
    levels = [rng.normal(size=(3, 2, 512 // s, 512 // s)).astype(np.float32) for s in strides]
    boxes = np.array(
        [
            [10, 20, 400, 500],
            [3.2, 5.7, 60.1, 90.4],
            [100, 50, 300.5, 280],
            [0, 0, 511, 511],
            [400, 400, 511.9, 470],
            [30, 30, 36, 37],
            [30, 30, 33, 32.5],  # less than a cell of 4
            [200, 20, 203, 480],
        ],
        np.float32,
    )
    counts = [4, 0, 4]
    expected_levels = [2, 0, 1, 3, 0, 0, 0, 0]
    assert level_of(tensor(boxes), 4).tolist() == expected_levels
    found = RoIAlign(strides)([tensor(level) for level in levels], tensor(boxes), counts, 7)
    for i, (box, level) in enumerate(zip(boxes, expected_levels, strict=True)):
        features = levels[level][0 if i < 4 else 2]
        expected = numpy_roi_align(features, box.astype(np.float64), strides[level], 7)
        np.testing.assert_allclose(found[i].numpy(), expected, atol=2e-5)


def test_no_regions_are_no_features() -> None:
    levels = [paddle.zeros([1, 5, 8, 8])] * 4
    assert RoIAlign((4, 8, 16, 32))(levels, paddle.zeros([0, 4]), [0], 7).shape == [0, 5, 7, 7]


def test_images_of_regions() -> None:
    assert image_of((2, 0, 1)).tolist() == [0, 0, 2]
    assert image_of((0,)).tolist() == []


@pytest.mark.parametrize("seed", range(4))
def test_mask_targets_equal_resizing_the_cut_out_mask(seed: int) -> None:
    """To the last bit what OpenCV makes of the mask of bytes, in smaller and larger boxes."""
    rng = np.random.default_rng(seed)
    instances = np.zeros((2, 60, 80), np.int32)
    for slot in (1, 2, 3):
        center = (int(rng.integers(80)), int(rng.integers(60)))
        cv2.ellipse(instances[1], center, (25, 15), 30 * slot, 0, 360, slot, -1)
    start = rng.uniform(0, 40, (25, 2))
    end = np.minimum(start + rng.uniform(1, 60, (25, 2)), [80, 60])
    boxes = np.concatenate([start, end], 1).astype(np.float32)
    slots = rng.integers(1, 4, 25)
    found = cut_masks(
        paddle.to_tensor(instances),
        paddle.ones([25], "int64"),
        paddle.to_tensor(slots),
        paddle.to_tensor(boxes),
        28,
    ).numpy()
    for mask, box, slot in zip(found, boxes, slots, strict=True):
        x1, y1 = box[:2].astype(int)
        x2, y2 = np.maximum(np.floor(box[2:]).astype(int), [x1 + 1, y1 + 1])
        cut = (instances[1, y1:y2, x1:x2] == slot).astype(np.uint8)
        expected = cv2.resize(cut, (28, 28), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(mask, expected)


def test_of_a_mask_on_half_its_box_half_the_target_is_left() -> None:
    """Columns 0..27 of 56: two pixels a point; the points from 14 on see nothing of it."""
    instances = np.zeros((1, 56, 56), np.int32)
    instances[0, :, :28] = 3
    (mask,) = cut_masks(
        paddle.to_tensor(instances),
        paddle.zeros([1], "int64"),
        paddle.to_tensor([3]),
        tensor([[0, 0, 56, 56]]),
        28,
    ).numpy()
    np.testing.assert_array_equal(mask, np.repeat([[1] * 14 + [0] * 14], 28, 0))


def test_the_mask_of_one_pixel_fills_its_box() -> None:
    instances = np.zeros((1, 4, 4), np.int32)
    instances[0, 3, 3] = 7
    whole = cut_masks(
        paddle.to_tensor(instances),
        paddle.zeros([2], "int64"),
        paddle.to_tensor([7, 7]),
        tensor([[3, 3, 4, 4], [3.2, 3.5, 3.6, 4]]),
        28,
    )
    assert whole.numpy().all()


def one_level(logits: list[float], boxes: list[list[float]]) -> Level:
    """A level whose anchors are the boxes, in two images the second of which has no preference."""
    answers = tensor([logits, [0.0] * len(logits)])
    return Level(tensor(boxes), answers, paddle.zeros([2, len(boxes), 4]))


def test_proposals() -> None:
    """The best of each level that do not overlap better ones, then the best of all."""
    fine = one_level([1, 3, 2, -9], [[0, 0, 8, 8], [20, 0, 28, 8], [20, 0, 28, 9], [40, 0, 48, 8]])
    coarse = one_level([2.5, 5], [[20, 0, 28, 8], [-10, 30, 16, 60]])
    first, second = propose(
        [fine, coarse],
        tensor([[0, 0, 50, 50]] * 2),
        count=3,
        nms_threshold=0.7,
        least=1.0,
    )
    assert first.tolist() == [[0, 30, 16, 50], [20, 0, 28, 8], [20, 0, 28, 8]]
    assert len(second) == 3


def test_detections() -> None:
    """Two classes; image 0 has a pair that overlaps, image 1 nothing that is sure enough."""
    regions = [tensor([[0, 0, 10, 10], [0, 0, 10, 9], [30, 30, 50, 50]]), tensor([[0, 0, 5, 5]])]
    logits = tensor([[0, 5, 0], [0, 6, 0], [0, 0, 9], [1, 1, 1]])
    found = detect(
        regions,
        logits,
        paddle.zeros([4, 3, 4]),
        tensor([[0, 0, 40, 40]] * 2),
        coder=BoxCoder(),
        score_threshold=0.5,
        nms_threshold=0.5,
        most=100,
        least=1.0,
    )
    assert found.counts == [2, 0]
    assert found.labels.tolist() == [2, 1]
    np.testing.assert_allclose(found.boxes.numpy(), [[30, 30, 40, 40], [0, 0, 10, 9]], atol=1e-4)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_boxes_of_different_classes_may_overlap_and_only_the_best_are_kept() -> None:
    regions = [tensor([[0, 0, 10, 10]] * 2 + [[20, 20, 30, 30]])]
    arguments = {
        "coder": BoxCoder(),
        "score_threshold": 0.5,
        "nms_threshold": 0.5,
        "least": 1.0,
    }
    logits = tensor([[0, 5, 0], [0, 0, 6], [0, 7, 0]])
    offsets, bounds = paddle.zeros([3, 3, 4]), tensor([[0, 0, 40, 40]])
    assert detect(regions, logits, offsets, bounds, most=9, **arguments).labels.tolist() == [
        1,
        2,
        1,
    ]
    assert detect(regions, logits, offsets, bounds, most=2, **arguments).labels.tolist() == [1, 2]


def test_anchors_learn_the_truth() -> None:
    """Of three anchors one is the truth, one is background, one crosses the border."""
    level = Level(
        tensor([[0, 0, 10, 10], [20, 0, 30, 10], [-5, 0, 10, 10]]),
        tensor([[1, 2, 3]]),
        paddle.ones([1, 3, 4]),
    )
    truth = GroundTruth(tensor([[[0, 0, 10, 10], [0, 0, 0, 0]]]), paddle.to_tensor([[3, 0]]))
    samples = rpn_samples([level], truth, tensor([[0, 0, 40, 40]]), 256)
    assert samples["rpn_labels"].tolist() == [1, 0, 0]
    assert samples["rpn_weights"].tolist() == [1, 1, 0]
    assert samples["rpn_logits"].tolist()[:2] == [1, 2]
    assert samples["rpn_offset_targets"].abs().sum() == 0


def test_regions_learn_class_and_box() -> None:
    """The truth's own box is a candidate, unless told otherwise; padding is never one."""
    truth = GroundTruth(tensor([[[0, 0, 0, 0], [0, 0, 10, 10]]]), paddle.to_tensor([[0, 4]]))
    proposals = [tensor([[0, 0, 10, 8], [50, 50, 60, 60]])]
    with_truth = sample_regions(proposals, truth, 8, add_truth=True)
    assert with_truth.labels.tolist() == [4, 4, 0, 0]
    assert with_truth.weights.tolist() == [1, 1, 1, 0]
    assert with_truth.truth.tolist()[:2] == [1, 1]
    assert with_truth.goals.tolist()[:2] == [[0, 0, 10, 10]] * 2
    without = sample_regions(proposals, truth, 8, add_truth=False)
    assert without.labels.tolist() == [4, 0]
    assert without.counts == [2]
