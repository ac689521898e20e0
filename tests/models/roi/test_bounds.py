"""Where an image lies in its input."""

from __future__ import annotations

import paddle

from panoptic_deeplab.models.roi.bounds import shown_boxes


def test_what_is_not_zero_is_shown() -> None:
    """At a corner, on the right (mirrored), everywhere, and nowhere."""
    images = paddle.zeros([4, 3, 6, 8])
    images[0, 1, :4, :5] = -0.5
    images[1, :, 2:, 3:] = 1
    images[2] = 1
    images[0, :, 1:3, 1:3] = 0  # a hole changes nothing
    assert shown_boxes(images).tolist() == [[0, 0, 5, 4], [3, 2, 8, 6], [0, 0, 8, 6], [0, 0, 8, 6]]
