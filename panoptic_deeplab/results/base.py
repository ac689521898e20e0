"""The interface of all forms of results, and classes found by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.result import Result
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import DatasetInfo, PanopticMap

Entry = Any

_MAX_NAMES = 5


class ResultFormat:
    """One form of results below a folder; images may be written from several threads at once.

    Args:
        folder: the folder of all results.
        info: the model's classes.

    Attributes:
        stopwatch: times of steps that are reported apart from writing.
    """

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        self.folder = folder
        self.info = info
        self.stopwatch = Stopwatch()

    def key(self, name: str) -> str:
        """Return what this form calls an image: unique, and the same in a later run."""
        return name

    def written(self) -> dict[str, Entry]:
        """Read the entries that an earlier run left in this folder, by key.

        Raises:
            UserError: there is something that a new run cannot add to.
        """
        return {}

    def write(self, name: str, result: Result) -> Entry:
        """Write one image's files and return what `finish` needs, in plain types.

        Args:
            name: the image's path below the folder that was asked for, without suffix.
            result: its prediction.
        """
        raise NotImplementedError

    def finish(self, entries: Mapping[str, Entry]) -> None:
        """Write the lists of all images from their entries by key, earlier runs included."""


def matched_classes(info: DatasetInfo, official: DatasetInfo, option: str) -> tuple[int, ...]:
    """Find the class of `official` that has the name of each class of `info`.

    Args:
        info: the model's classes.
        official: the classes of the form.
        option: the flag that asked for the form, for the message.

    Raises:
        UsageError: a class is missing, or is stuff in one and a thing in the other.
    """
    index = official.index_of_name
    missing = [c.name for c in info.categories if c.name not in index]
    if missing:
        raise UsageError(
            f"{option}: {official.name} has no class {_listed(missing)}, which this model "
            f"({info.name}) knows; choose another form"
        )
    found = tuple(index[category.name] for category in info.categories)
    swapped = [
        category.name
        for category, i in zip(info.categories, found, strict=True)
        if category.is_thing != official.categories[i].is_thing
    ]
    if swapped:
        raise UsageError(
            f"{option}: {_listed(swapped)}: a thing in one of {official.name} and this model "
            f"({info.name}), stuff in the other; choose another form"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(map(repr, names[:_MAX_NAMES])) + more


def renamed(prediction: PanopticMap, classes: Sequence[int]) -> PanopticMap:
    """Return the same segments with class i replaced by `classes[i]`."""
    segments = [replace(s, category=classes[s.category]) for s in prediction.segments]
    return PanopticMap(prediction.ids, segments)
