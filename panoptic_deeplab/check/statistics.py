"""Statistics of a split: segments, pixels and sizes by class."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from panoptic_deeplab.check.images import ImageReport
from panoptic_deeplab.structures import DatasetInfo


@dataclass
class ClassStatistics:
    """One class.

    Attributes:
        areas: pixels of each segment that is no crowd; all are kept for the median.
        crowds: segments that are crowds.
        images: that have a segment of the class.
        pixels: of all its segments.
    """

    areas: array[int] = field(default_factory=lambda: array("I"))
    crowds: int = 0
    images: int = 0
    pixels: int = 0

    @property
    def segments(self) -> int:
        return len(self.areas)

    def to_dict(self) -> dict[str, Any]:
        """Plain types; areas are None where there is no segment."""
        areas = np.array(self.areas)
        some = bool(areas.size)
        return {
            "segments": self.segments,
            "crowds": self.crowds,
            "images": self.images,
            "pixels": self.pixels,
            "smallest_area": int(areas.min()) if some else None,
            "median_area": float(np.median(areas)) if some else None,
            "largest_area": int(areas.max()) if some else None,
        }


@dataclass
class Statistics:
    """Counts of a split, image by image.

    Attributes:
        info: the classes.
        images: number of images, with or without annotation.
        annotated: number of images whose annotation could be read.
        pixels: number of pixels of the annotations.
        sizes: (height, width) -> number of images.
        instances: instances of things per image -> number of images.
        classes: one entry per class.
    """

    info: DatasetInfo
    images: int = 0
    annotated: int = 0
    pixels: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    instances: Counter[int] = field(default_factory=Counter)
    classes: list[ClassStatistics] = field(init=False)

    def __post_init__(self) -> None:
        self.classes = [ClassStatistics() for _ in self.info.categories]

    def add(self, report: ImageReport) -> None:
        """Count one image."""
        self.images += 1
        if report.size is not None:
            self.sizes[report.size] += 1
        if not report.pixels:
            return
        self.annotated += 1
        self.pixels += report.pixels
        for segment, area in report.segments:
            self._add_segment(self.classes[segment.category], segment.iscrowd, area)
        for category in {segment.category for segment, _ in report.segments}:
            self.classes[category].images += 1
        self.instances[sum(self._is_instance(segment) for segment, _ in report.segments)] += 1

    def _is_instance(self, segment: Any) -> bool:
        return self.info.categories[segment.category].is_thing and not segment.iscrowd

    def _add_segment(self, entry: ClassStatistics, iscrowd: bool, area: int) -> None:
        entry.pixels += area
        if iscrowd:
            entry.crowds += 1
        else:
            entry.areas.append(area)

    @property
    def void_fraction(self) -> float:
        """The fraction of the annotated pixels that no segment owns."""
        return 1 - sum(entry.pixels for entry in self.classes) / max(1, self.pixels)

    def pixel_fraction(self, category: int) -> float:
        """The class's fraction of the annotated pixels."""
        return self.classes[category].pixels / max(1, self.pixels)

    def instance_bins(self, max_bins: int) -> list[tuple[str, int]]:
        """A histogram of the instances of things per image.

        Returns:
            At most `max_bins` bins, each with its number of images, such as ("4-7", 12).
        """
        low, high = min(self.instances, default=0), max(self.instances, default=0)
        step = -(-(high - low + 1) // max_bins)
        images: Counter[int] = Counter()
        for number, count in self.instances.items():
            images[(number - low) // step] += count
        firsts = range(low, high + 1, step)
        return [
            (str(first) if step == 1 else f"{first}-{first + step - 1}", images[place])
            for place, first in enumerate(firsts)
        ]

    def absent(self) -> list[int]:
        """Indices of the classes without a segment, crowds not counted."""
        return [i for i, entry in enumerate(self.classes) if not entry.segments]

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for `--json`."""
        return {
            "images": self.images,
            "annotated": self.annotated,
            "pixels": self.pixels,
            "void_share": self.void_fraction if self.annotated else None,
            "sizes": [
                {"height": height, "width": width, "images": count}
                for (height, width), count in self.sizes.most_common()
            ],
            "instances_per_image": {str(n): count for n, count in sorted(self.instances.items())},
            "classes": {
                category.name: {
                    "official_id": category.official_id,
                    "is_thing": category.is_thing,
                    **entry.to_dict(),
                    "pixel_share": self.pixel_fraction(i),
                }
                for i, (category, entry) in enumerate(
                    zip(self.info.categories, self.classes, strict=True)
                )
            },
        }
