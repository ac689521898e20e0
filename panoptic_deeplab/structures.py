"""The nouns of panoptic segmentation, shared by all packages.

Segment ids in a map are 0 for void and positive for segments. A category is the contiguous class
index 0..C-1 everywhere (for Cityscapes the trainId); the ids that a data set writes in its files
are `Category.official_id` and exist only where files are read and written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.file_names import readable

VOID_ID = 0


@dataclass(frozen=True)
class Category:
    """One class of a data set.

    Attributes:
        name: the class's name, unique in its data set.
        is_thing: True where instances are counted (car), False for stuff (road).
        color: (r, g, b), 0..255.
        official_id: the `category_id` that the data set's own panoptic JSON uses.
    """

    name: str
    is_thing: bool
    color: tuple[int, int, int]
    official_id: int


@dataclass(frozen=True)
class DatasetInfo:
    """The classes of a data set, known without opening it.

    Attributes:
        name: the data set's name, for tables and reports.
        categories: the classes; the position in this tuple is the class index.
        ignore_index: label of pixels without a class in semantic maps, outside 0..C-1.
    """

    name: str
    categories: tuple[Category, ...]
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not self.categories:
            raise DataError(f"the data set {self.name!r} has no category; at least one is needed")
        if 0 <= self.ignore_index < len(self.categories):
            raise DataError(
                f"ignore_index {self.ignore_index} of {self.name!r} is also a class index "
                f"(0..{len(self.categories) - 1}); choose one outside"
            )
        for category in self.categories:
            if readable(category.name) != category.name:  # some JSON holds half a character
                raise DataError(
                    f"category {category.name!r} of {self.name!r} is no text; rename it"
                )
        for what in ("name", "official_id"):
            values = Counter(getattr(category, what) for category in self.categories)
            twice = sorted(repr(value) for value, count in values.items() if count > 1)
            if twice:
                raise DataError(f"categories of {self.name!r} share the {what} {', '.join(twice)}")

    @property
    def num_classes(self) -> int:
        return len(self.categories)

    @cached_property
    def thing_ids(self) -> tuple[int, ...]:
        """Class indices of the things, ascending."""
        return tuple(i for i, category in enumerate(self.categories) if category.is_thing)

    @cached_property
    def stuff_ids(self) -> tuple[int, ...]:
        """Class indices of the stuff, ascending."""
        return tuple(i for i, category in enumerate(self.categories) if not category.is_thing)

    @cached_property
    def index_of_official_id(self) -> dict[int, int]:
        """`category_id` as in the data set's files -> class index."""
        return {category.official_id: i for i, category in enumerate(self.categories)}

    @cached_property
    def index_of_name(self) -> dict[str, int]:
        """Class name -> class index."""
        return {category.name: i for i, category in enumerate(self.categories)}

    @cached_property
    def colors(self) -> np.ndarray:
        """[C, 3] uint8 RGB."""
        return np.array([category.color for category in self.categories], np.uint8)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for `dataset_info.json`; `from_dict` is the inverse."""
        return {
            "name": self.name,
            "ignore_index": self.ignore_index,
            "categories": [
                {
                    "id": category.official_id,
                    "name": category.name,
                    "isthing": int(category.is_thing),
                    "color": list(category.color),
                }
                for category in self.categories
            ],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], source: str = "dataset info") -> DatasetInfo:
        """Inverse of `to_dict`; `source` names the file in errors.

        Raises:
            DataError: a key is missing or has the wrong type.
        """
        try:
            categories = tuple(_category_from_json(entry) for entry in content["categories"])
            ignore_index = int(content.get("ignore_index", usual_ignore_index(len(categories))))
            return cls(str(content.get("name", source)), categories, ignore_index)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(
                f"{source}: expected {{name, ignore_index, categories: [{{id, name, isthing, "
                f"color}}]}}, got {type(error).__name__}: {error}"
            ) from error


def _category_from_json(entry: Mapping[str, Any]) -> Category:
    red, green, blue = (int(value) for value in entry["color"])
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(f"color {entry['color']} is not in 0..255")
    if entry["isthing"] not in (0, 1):
        raise ValueError(f"isthing {entry['isthing']!r:.20} is not 0 or 1")
    return Category(
        str(entry["name"]), bool(entry["isthing"]), (red, green, blue), int(entry["id"])
    )


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a panoptic map, annotated or predicted.

    Attributes:
        id: its value in the id map, positive.
        category: class index.
        iscrowd: an annotated group of instances that are not separated.
        area: pixels; for ground truth as annotated, which evaluators use, perhaps a fraction. None
            where the annotation has no area: evaluators then count the pixels of the map.
        is_thing: whether its class is a thing (predictions only).
        score: 0..1, the method's confidence (predictions only).
        track_id: its identity over the frames of a video, positive; None where it has none.
    """

    id: int
    category: int
    iscrowd: bool = False
    area: float | None = 0
    is_thing: bool | None = None
    score: float | None = None
    track_id: int | None = None


@dataclass(frozen=True)
class Frame:
    """Where the original image lies in the network's input.

    Attributes:
        original_size: (height, width) of the image as read.
        size: (height, width) of the input.
        scale: (y, x) factors from the original to the input.
        valid_box: (top, left, bottom, right) in input pixels, end exclusive: the part that shows
            the image; the rest is padding.
    """

    original_size: tuple[int, int]
    size: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    valid_box: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def whole(cls, height: int, width: int) -> Frame:
        """The frame of an untouched image."""
        return cls((height, width), (height, width), (1.0, 1.0), (0, 0, height, width))


Sample = dict[str, Any]
"""One image of a data set on its way to a network.

`image` [H, W, 3] uint8 RGB; `frame` Frame; `image_id` str; where there is ground truth `panoptic`
[H, W] int32 ids (0 void) and `segments`, a list of Segment; later also what the targets add.
"""


@dataclass(frozen=True)
class PanopticMap:
    """An annotation: the segment of each pixel.

    Attributes:
        ids: [H, W] int32, 0 for void, else the id of one of `segments`.
        segments: one for each id, in any order.
        sequence: the video that this is a frame of, by its name; None for a single image.
    """

    ids: np.ndarray
    segments: Sequence[Segment]
    sequence: str | None = field(default=None, kw_only=True)

    def semantic(self, ignore_index: int) -> np.ndarray:
        """[H, W] uint8 class indices (int32 if they need it), `ignore_index` where void."""
        label_type = smallest_label_type(ignore_index, *(s.category for s in self.segments))
        table = np.full(int(self.ids.max(initial=0)) + 1, ignore_index, label_type)
        for segment in self.segments:
            if segment.id < len(table):
                table[segment.id] = segment.category
        return table[self.ids]


@dataclass(frozen=True)
class Instance:
    """A predicted instance by itself, whatever others cover.

    Attributes:
        category: class index.
        score: 0..1.
        corner: (y, x) of the upper left pixel of its box.
        mask: [h, w] bool, its pixels inside its box.
    """

    category: int
    score: float
    corner: tuple[int, int]
    mask: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        """Its box in the image."""
        (y, x), (height, width) = self.corner, self.mask.shape
        return slice(y, y + height), slice(x, x + width)

    def in_image(self, size: tuple[int, int]) -> np.ndarray:
        """The mask [H, W] bool in an image of (height, width)."""
        whole = np.zeros(size, bool)
        whole[self.window] = self.mask
        return whole


@dataclass(frozen=True)
class Prediction(PanopticMap):
    """The prediction of a method for an image, in original pixels.

    Attributes:
        labels: [H, W] class indices of the semantic branch alone, before fusion, or None where a
            method (or a file of another program) has none.
        instances: by descending score, with masks that may overlap; None where a method gives no
            others than the things of the map.
    """

    labels: np.ndarray | None = field(default=None)
    instances: Sequence[Instance] | None = field(default=None)


def smallest_label_type(*labels: int) -> type[np.integer]:
    """uint8 where it holds all of these, else int32 (Paddle reads uint16 as bfloat16)."""
    limits = np.iinfo(np.uint8)
    fits = limits.min <= min(labels) and max(labels) <= limits.max
    return np.uint8 if fits else np.int32


def usual_ignore_index(num_classes: int) -> int:
    """The label of void where none is named: 255, or the number after the last class index."""
    return max(255, num_classes)
