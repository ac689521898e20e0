"""The interface of all forms of results, and classes found by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.journal import Record
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import DatasetInfo, PanopticMap

Entry = Any

_MAX_NAMES = 5


class Rendered(NamedTuple):
    """One image's results in one form, before anything is written.

    Attributes:
        files: contents by path below the folder of results.
        entry: what the lists say of the image, in plain types; None in a form without lists.
    """

    files: dict[str, bytes]
    entry: Entry = None

    @property
    def num_bytes(self) -> int:
        """Size of all files together."""
        return sum(map(len, self.files.values()))


class ResultFormat:
    """One form of results; images may be rendered in several threads at once.

    All paths are relative to the folder of results. An image goes by its key: the name that the
    form gives it, unique, and the same in a later run.

    Args:
        folder: the folder of all results.
        info: the model's classes.

    Attributes:
        lists: the files that tell of all images.
        categories: the classes as the lists have them, where they must be the same for all images.
        stopwatch: times of steps that are reported apart from writing.
    """

    lists: tuple[str, ...] = ()
    categories: Any = None

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        self.folder = folder
        self.info = info
        self.stopwatch = Stopwatch()

    def key(self, name: str) -> str:
        """Return the key of an image by its path below the folder that was asked for."""
        return name

    def files(self, key: str) -> list[str]:
        """Return the files that every image has."""
        raise NotImplementedError

    def needed_files(self, key: str, written: Sequence[str]) -> Sequence[str]:
        """Return those of an image's written files without which the lists do not name it."""
        return written

    def segment_folder(self, key: str) -> str | None:
        """Return the folder with a PNG of each thing, in a form that has one."""
        return None

    def former_entries(self) -> dict[str, Entry] | None:
        """Read what a version that kept no journal listed, by key; None where there is no list.

        Raises:
            UserError: there is a list to which a prediction cannot add.
        """
        return None

    def render(self, name: str, result: Result) -> Rendered:
        """Make one image's files and its entry.

        Args:
            name: the image's path below the folder that was asked for, without suffix.
            result: its prediction.
        """
        raise NotImplementedError

    def write_lists(self, records: Mapping[str, Record]) -> None:
        """Write the lists of these images, by key in order."""

    def pack(self, records: Mapping[str, Record]) -> None:
        """Pack the files of these images, once all are there, if the form does so."""


def named_classes(info: DatasetInfo, official: DatasetInfo, option: str) -> tuple[int, ...]:
    """Find the class of `official` that has the name of each class of `info`.

    Args:
        info: the model's classes.
        official: the classes of the form.
        option: the flag that asked for the form, for the message.

    Raises:
        UsageError: a class is missing.
    """
    index = official.index_of_name
    missing = [c.name for c in info.categories if c.name not in index]
    if missing:
        raise UsageError(
            f"{option}: {official.name} has no class {listed(missing)}, which this model "
            f"({info.name}) knows; choose another form"
        )
    return tuple(index[category.name] for category in info.categories)


def matched_classes(info: DatasetInfo, official: DatasetInfo, option: str) -> tuple[int, ...]:
    """As `named_classes`, and things have to be things in both.

    Raises:
        UsageError: a class is missing, or is stuff in one and a thing in the other.
    """
    found = named_classes(info, official, option)
    swapped = [
        category.name
        for category, i in zip(info.categories, found, strict=True)
        if category.is_thing != official.categories[i].is_thing
    ]
    if swapped:
        raise UsageError(
            f"{option}: {listed(swapped)}: a thing in one of {official.name} and this model "
            f"({info.name}), stuff in the other; choose another form"
        )
    return found


def listed(names: Sequence[str]) -> str:
    """Return the first few names as a text, and the number of the others."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(map(repr, names[:_MAX_NAMES])) + more


def renamed(prediction: PanopticMap, classes: Sequence[int]) -> PanopticMap:
    """Return the same segments with class i replaced by `classes[i]`."""
    segments = [replace(s, category=classes[s.category]) for s in prediction.segments]
    return PanopticMap(prediction.ids, segments)


def not_a_prediction(path: Path) -> DataError:
    """Return the error of a list that no prediction wrote, such as one of annotations."""
    return DataError(
        f"{path}: has segments without a score, so it is no list of predictions, and is not "
        "replaced; choose another --save_dir"
    )
