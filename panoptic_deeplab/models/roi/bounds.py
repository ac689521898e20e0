"""Where an image lies in its input: no box may reach into the padding."""

from __future__ import annotations

import paddle


def shown_boxes(images: paddle.Tensor) -> paddle.Tensor:
    """[N, 4] float32: the smallest box around what is not 0 in each of the images [N, C, H, W].

    Padding is 0 in a network's input, and a row of an image is not: no pixel is exactly the mean in
    all channels. Where a data set's normalization makes black 0, a black border counts as padding.
    An image that is 0 throughout is shown whole.
    """
    is_shown = (images != 0).any(1)
    (top, bottom), (left, right) = (_ends(is_shown.any(3 - axis)) for axis in (1, 2))
    return paddle.stack([left, top, right, bottom], 1).astype("float32")


def _ends(is_shown: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """First place [N] that is True in [N, L], and the place after the last; 0 and L without any."""
    marks = is_shown.astype("int32")
    return marks.argmax(1), marks.shape[1] - marks.flip(1).argmax(1)
