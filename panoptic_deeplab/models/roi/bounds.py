"""Where an image lies in its input: no box may reach into the padding."""

from __future__ import annotations

import paddle


def shown_boxes(images: paddle.Tensor) -> paddle.Tensor:
    """[N, 4] float32: the smallest box around what is not 0 in each of the images [N, C, H, W].

    Padding is 0 in a network's input, and a row of an image is not: no pixel is exactly the mean in
    all channels. Where a data set's normalization makes black 0, a black border counts as padding.
    An image that is 0 throughout is shown whole.
    """
    is_shown = (images != 0).astype("float32")  # ONNX finds no maximum of booleans
    (top, bottom), (left, right) = _ends(is_shown.max([1, 3])), _ends(is_shown.max([1, 2]))
    return paddle.stack([left, top, right, bottom], 1)


def _ends(marks: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """First place [N] that is 1 in [N, L], and the place after the last; 0 and L without any."""
    marks = marks + (1 - marks.max(1, keepdim=True))
    after = paddle.ones_like(marks).cumsum(1)
    length = after[:, -1:]
    return length[:, 0] - (marks * (length + 1 - after)).max(1), (marks * after).max(1)
