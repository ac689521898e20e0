"""Detections kept of all regions."""

from __future__ import annotations

import numpy as np
import paddle

from panoptic_deeplab.models.roi.boxes import BoxCoder
from panoptic_deeplab.models.roi.detections import detect


def tensor(values: object) -> paddle.Tensor:
    return paddle.to_tensor(np.array(values, np.float32))


def test_detections() -> None:
    """Two classes; image 0 has a pair that overlaps, image 1 nothing above the threshold."""
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
        class_agnostic_nms=False,
        max_instances=100,
        min_side=1.0,
    )
    assert found.counts == [2, 0]
    assert found.labels.tolist() == [2, 1]
    np.testing.assert_allclose(found.boxes.numpy(), [[30, 30, 40, 40], [0, 0, 10, 9]], atol=1e-4)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_boxes_of_different_classes_may_overlap_where_asked_and_only_the_best_are_kept() -> None:
    regions = [tensor([[0, 0, 10, 10]] * 2 + [[20, 20, 30, 30]])]
    arguments = {
        "coder": BoxCoder(),
        "score_threshold": 0.5,
        "nms_threshold": 0.5,
        "min_side": 1.0,
    }
    logits = tensor([[0, 5, 0], [0, 0, 6], [0, 7, 0]])
    offsets, bounds = paddle.zeros([3, 3, 4]), tensor([[0, 0, 40, 40]])
    for agnostic, count, labels in (
        (False, 9, [1, 2, 1]),
        (False, 2, [1, 2]),
        (True, 9, [1, 2]),  # the second box is also the first's, of the lower score
    ):
        found = detect(
            regions,
            logits,
            offsets,
            bounds,
            class_agnostic_nms=agnostic,
            max_instances=count,
            **arguments,
        )
        assert found.labels.tolist() == labels
