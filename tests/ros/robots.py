"""A model that is no network, and stand-ins for what ROS brings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from panoptic_deeplab.result import Result
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment

INFO = DatasetInfo(
    name="toys",
    categories=(
        Category("floor", False, (90, 90, 90), 1),
        Category("toy", True, (200, 40, 40), 2),
    ),
)


def find_toys(pixels: np.ndarray) -> Result:
    """Red pixels are a toy, segment 300 if they are bright and 2 if not; all else is the floor."""
    is_toy = (pixels[..., 0] > 100) & (pixels[..., 2] < 100)
    toy = 300 if pixels[is_toy].max(initial=0) > 220 else 2
    ids = np.where(is_toy, toy, 1).astype(np.int32)
    segments = (
        Segment(1, 0, area=int((ids == 1).sum()), score=0.5),
        Segment(toy, 1, area=int(is_toy.sum()), score=0.9),
    )
    present = tuple(segment for segment in segments if segment.area)
    return Result(pixels, Prediction(ids, present), INFO)


def toy_image(red: int, height: int = 4, width: int = 6) -> np.ndarray:
    """[H, W, 3] uint8: a toy on the left third, white beside it."""
    image = np.full((height, width, 3), 255, np.uint8)
    image[:, : width // 3] = (red, 0, 0)
    return image


class Node:
    """Of rclpy, as far as it is used; publishers keep what they publish."""

    def __init__(self, listeners: int = 1) -> None:
        self.listeners = listeners
        self.published: dict[str, list[Any]] = {}
        self.errors: list[str] = []

    def create_publisher(self, kind: type, topic: str, queue: int) -> SimpleNamespace:
        messages = self.published.setdefault(topic, [])
        return SimpleNamespace(
            publish=messages.append, get_subscription_count=lambda: self.listeners
        )

    def get_logger(self) -> SimpleNamespace:
        return SimpleNamespace(error=self.errors.append)
