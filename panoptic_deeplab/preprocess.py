"""From images as they are read to what a network sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn

from panoptic_deeplab.normalization import Normalization
from panoptic_deeplab.structures import Frame


class Preprocess(nn.Layer):
    """Normalizes a batch of uint8 images and blanks their padding.

    It has no entry in a state dict: mean and std belong to the configuration.

    Args:
        mean: of each channel (RGB, or one for all), for values in 0..1.
        std: likewise.
    """

    def __init__(self, mean: Sequence[float] = (0.5,), std: Sequence[float] = (0.5,)) -> None:
        super().__init__()
        self.normalization = Normalization.of(mean, std)
        for name in ("mean", "std"):
            column = np.float32(getattr(self.normalization, name)).reshape(1, 3, 1, 1)
            self.register_buffer(name, paddle.to_tensor(column), persistable=False)
        # a tensor, because Paddle multiplies by the reciprocal of a number, which rounds otherwise
        self.register_buffer("highest", paddle.full([1], 255.0), persistable=False)

    def normalize(self, images: paddle.Tensor) -> paddle.Tensor:
        """[N, H, W, 3] uint8 RGB -> [N, 3, H, W] float32."""
        values = images.transpose([0, 3, 1, 2]).astype("float32")
        values = values / self.highest  # each frees what it was made of: large images need it
        values = values - self.mean
        return values / self.std

    def forward(self, images: paddle.Tensor, valid_boxes: paddle.Tensor) -> paddle.Tensor:
        """[N, H, W, 3] uint8 RGB -> [N, 3, H, W] float32, 0 outside each valid box.

        Args:
            images: as read.
            valid_boxes: [N, 4] integers (top, left, bottom, right), end exclusive.
        """
        height, width = images.shape[1], images.shape[2]
        boxes = valid_boxes.astype("int64").reshape([-1, 4, 1, 1, 1])
        rows = paddle.arange(height).reshape([1, 1, -1, 1])
        columns = paddle.arange(width).reshape([1, 1, 1, -1])
        values = self.normalize(images)
        values = values * ((rows >= boxes[:, 0]) & (rows < boxes[:, 2])).astype("float32")
        return values * ((columns >= boxes[:, 1]) & (columns < boxes[:, 3])).astype("float32")


def valid_boxes(frames: Sequence[Frame]) -> paddle.Tensor:
    """[N, 4] int64 of the frames' valid boxes, for `Preprocess`."""
    return paddle.to_tensor(np.array([frame.valid_box for frame in frames], np.int64))
