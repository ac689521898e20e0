"""The order of the classes in a file's heads, and in a network's here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import DatasetInfo


@dataclass(frozen=True)
class ClassOrder:
    """Which of the file's classes each class here is.

    Attributes:
        things: [T] places among the file's things, of each thing here.
        stuff: [S] places among the file's stuff, of each stuff class here.
    """

    things: Sequence[int]
    stuff: Sequence[int]


NO_CLASSES = ClassOrder((), ())
"""Of a backbone."""


def class_order(
    info: DatasetInfo,
    names: Sequence[str] | None,
    source: Path,
    hint: str = "",
    has_stuff: bool = True,
) -> ClassOrder:
    """Match the classes here with those of a file by name.

    Args:
        info: the classes here.
        names: of the file's classes, things first; None where it does not tell them: then they are
            in the order of the classes here.
        source: the file, for errors.
        hint: what else the user can do about other classes, for the message.
        has_stuff: whether the file's classes have stuff among them.

    Raises:
        DataError: the file is of other classes.
    """
    stuff_ids = info.stuff_ids if has_stuff else ()
    if names is None:
        return ClassOrder(range(len(info.thing_ids)), range(len(stuff_ids)))
    own = [category.name for category in info.categories]
    count = len(info.thing_ids)
    things, stuff = list(names[:count]), list(names[count:])
    wanted = [own[i] for i in info.thing_ids], [own[i] for i in stuff_ids]
    if sorted(things) != sorted(wanted[0]) or sorted(stuff) != sorted(wanted[1]):
        other = sorted(set(names) - set(own)) or [f"{len(names)} of them"]
        raise DataError(
            f"{source}: expected weights for the {count + len(stuff_ids)} classes of {info.name}, "
            f"things first, got others: {', '.join(other[:3])}; choose a configuration of their "
            f"data set{hint}"
        )
    return ClassOrder(
        [things.index(name) for name in wanted[0]], [stuff.index(name) for name in wanted[1]]
    )


def as_it_is(order: ClassOrder, name: str, array: np.ndarray) -> np.ndarray:
    """The arrangement of weights that have one order of classes only."""
    return array


def things_last(order: ClassOrder, name: str, array: np.ndarray) -> np.ndarray:
    """Arrange the heads of mmdetection's Panoptic FPN, where background and things are last."""
    count = len(order.things)
    if name.startswith("roi_head.bbox_head.fc_cls."):
        return array[[*order.things, count]]
    if name.startswith("roi_head.bbox_head.fc_reg."):
        return array.reshape(count, 4, *array.shape[1:])[list(order.things)].reshape(array.shape)
    if name.startswith("roi_head.mask_head.conv_logits."):
        return array[list(order.things)]
    if name.startswith("semantic_head.conv_logits."):
        return array[[*order.stuff, len(order.stuff)]]
    return array


def things_alone(order: ClassOrder, name: str, array: np.ndarray) -> np.ndarray:
    """Arrange the head of SOLOv2, which has no background."""
    return array[list(order.things)] if name.startswith("mask_head.conv_cls.") else array


def red_first(order: ClassOrder, name: str, array: np.ndarray) -> np.ndarray:
    """Arrange a backbone of detectron2, which reads blue before red."""
    return array[:, ::-1] if name == "conv1.weight" else array


def things_first(order: ClassOrder, name: str, array: np.ndarray) -> np.ndarray:
    """Arrange detectron2's Panoptic FPN, which has the things first in its semantic head, and reads
    blue before red.
    """
    if name == "backbone.conv1.weight":
        return array[:, ::-1]
    if name.startswith("semantic_head.conv_logits."):
        array = np.roll(array, -1, axis=0)
    return things_last(order, name, array)
