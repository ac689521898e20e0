"""What all forms of results share: their face, and classes found by name."""

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

_MOST_NAMES = 5


class ResultFormat:
    """One form of results below a folder; pictures may be written from several threads at once.

    Args:
        folder: of all results.
        info: the model's classes.

    Attributes:
        stopwatch: of steps that are told apart from writing.
    """

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        self.folder = folder
        self.info = info
        self.stopwatch = Stopwatch()

    def key(self, name: str) -> str:
        """What this form calls a picture: unique, and the same in a later run."""
        return name

    def written(self) -> dict[str, Entry]:
        """The entries that an earlier run left in this folder, by key.

        Raises:
            UserError: there is something that a new run cannot go on with.
        """
        return {}

    def write(self, name: str, result: Result) -> Entry:
        """Write one image's files and return what `finish` needs, in plain types.

        Args:
            name: of the image, below the folder that was asked for, without suffix.
            result: its prediction.
        """
        raise NotImplementedError

    def finish(self, entries: Mapping[str, Entry]) -> None:
        """Writes what all pictures share, from the entries by key, of earlier runs too."""


def matched_classes(info: DatasetInfo, official: DatasetInfo, option: str) -> tuple[int, ...]:
    """The class of `official` that has the name of each class of `info`.

    Args:
        info: the model's classes.
        official: those of the form.
        option: what asked for it, for the message.

    Raises:
        UsageError: a class is not there, or stuff in one and a thing in the other.
    """
    index = {category.name: i for i, category in enumerate(official.categories)}
    missing = [c.name for c in info.categories if c.name not in index]
    if missing:
        raise UsageError(
            f"{option}: {official.name} has no class {_listed(missing)}, which this model "
            f"({info.name}) knows; choose another form"
        )
    found = tuple(index[category.name] for category in info.categories)
    turned = [
        category.name
        for category, i in zip(info.categories, found, strict=True)
        if category.is_thing != official.categories[i].is_thing
    ]
    if turned:
        raise UsageError(
            f"{option}: {_listed(turned)}: a thing in one of {official.name} and this model "
            f"({info.name}), stuff in the other; choose another form"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + more


def renamed(prediction: PanopticMap, classes: Sequence[int]) -> PanopticMap:
    """The same segments, class i made `classes[i]`."""
    segments = [replace(s, category=classes[s.category]) for s in prediction.segments]
    return PanopticMap(prediction.ids, segments)
