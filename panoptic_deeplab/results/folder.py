"""A folder of results before and after a prediction: what may be replaced there, and the lists.

Only files that the journal names are replaced. The lists never name a file that is about to be
replaced; they are written from time to time, and finished however the prediction ends.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import clear_remains
from panoptic_deeplab.results.base import ResultFormat, listed
from panoptic_deeplab.results.bdd100k import Bdd100k
from panoptic_deeplab.results.cityscapes import Cityscapes
from panoptic_deeplab.results.coco import Coco
from panoptic_deeplab.results.coco_instances import CocoInstances
from panoptic_deeplab.results.crops import Crops
from panoptic_deeplab.results.html import Html
from panoptic_deeplab.results.images import Images
from panoptic_deeplab.results.journal import (
    NAME,
    Contents,
    Record,
    lies_outside,
    read_journal,
    write_journal,
)
from panoptic_deeplab.results.kitti import Kitti
from panoptic_deeplab.results.kitti_step import KittiStep, MotChallengeStep
from panoptic_deeplab.results.lists import kept_up, listed_records, write_list, write_lists
from panoptic_deeplab.results.table import Table
from panoptic_deeplab.structures import DatasetInfo

_log = logging.getLogger(__name__)

FORMS: dict[str, type[ResultFormat]] = {
    "images": Images,
    "coco": Coco,
    "coco_instances": CocoInstances,
    "cityscapes": Cityscapes,
    "bdd100k": Bdd100k,
    "kitti": Kitti,
    "kitti_step": KittiStep,
    "motchallenge_step": MotChallengeStep,
    "html": Html,
    "csv": Table,
    "crops": Crops,
}
"""The class of each of `panoptic_deeplab.results.FORMATS`."""


def make_forms(folder: Path, info: DatasetInfo, kinds: Sequence[str]) -> dict[str, ResultFormat]:
    """Make the forms of results in a folder.

    Raises:
        UsageError: a form lacks a class of the model.
    """
    return {kind: FORMS[kind](folder, info) for kind in kinds}


@contextmanager
def prepared(
    folder: Path,
    forms: Mapping[str, ResultFormat],
    names: Sequence[str] = (),
    images: Sequence[Path] = (),
) -> Iterator[None]:
    """Make a folder ready for results, and keep up its lists until the block ends in whatever way.

    The lists have the images of earlier predictions too; where an image is predicted again, the
    later result stays. Only one process may do this at a time.

    Args:
        folder: an existing folder.
        forms: what will be written.
        names: of the images to come.
        images: their files, which no result may replace.

    Raises:
        UserError: the folder cannot take these results; nothing has changed then. Or the lists
            cannot be finished; the journal has what they lack.
    """
    killed_forms, replaced = _make_ready(folder, forms, names, images)
    try:
        with kept_up(folder, forms, replaced):
            yield
    finally:
        try:
            _finish(folder, {**forms, **killed_forms})
        except OSError as error:
            raise DataError(
                f"{error.filename or folder}: the lists cannot be finished ({error.strerror}); "
                f"{folder / NAME}.jsonl tells what is done, and the next prediction into this "
                "folder lists it"
            ) from error


def _make_ready(
    folder: Path,
    forms: Mapping[str, ResultFormat],
    names: Sequence[str],
    images: Sequence[Path],
) -> tuple[dict[str, ResultFormat], dict[str, Collection[str]]]:
    """Refuse what cannot be done, then begin.

    Returns:
        the other forms of a killed prediction; the images whose earlier results are to be replaced,
        by form.
    """
    refuse_shared_names(forms, names)
    contents = read_journal(folder)
    _tell(folder, contents)
    for kind, form in forms.items():
        _take_over(contents, kind, form)
    _refuse_foreign_files(folder, forms, contents, names, images)
    killed_forms = _killed_forms(folder, forms, contents)
    return killed_forms, _start(folder, forms, killed_forms, contents, names)


def _tell(folder: Path, contents: Contents) -> None:
    """Say that the folder holds results, which can take a while to look through."""
    count = max(map(len, contents.records.values()), default=0)
    how = "; the last prediction was killed, and its lists are made up for" * contents.is_unfinished
    if count:
        _log.info("%s holds results of %d images%s", folder, count, how)


def _killed_forms(
    folder: Path, forms: Mapping[str, ResultFormat], contents: Contents
) -> dict[str, ResultFormat]:
    """Make the other forms that a killed prediction wrote, where they are of the same classes."""
    info = next(iter(forms.values())).info
    found = {}
    for kind in contents.forms.keys() - forms.keys() if contents.is_unfinished else ():
        with suppress(KeyError, UsageError):  # no form that is known here, or lacks a class
            form = FORMS[kind](folder, info)
            if form.categories == contents.forms[kind]:
                found[kind] = form
    return found


def refuse_shared_names(forms: Mapping[str, ResultFormat], names: Collection[str]) -> None:
    """Refuse images whose results would be called alike in a form.

    Raises:
        UsageError: two are.
    """
    for kind, form in forms.items():
        owners: dict[str, str] = {}
        for name in names:
            key = form.key(name)
            if key in owners:
                raise UsageError(
                    f"--format {kind}: the images {owners[key]} and {name} would both be called "
                    f"{key}; predict them into different --save_dir"
                )
            owners[key] = name


def _take_over(contents: Contents, kind: str, form: ResultFormat) -> None:
    """Add what a version without a journal left; refuse results of other classes."""
    if kind not in contents.forms:
        entries = form.former_entries()
        if entries is not None:
            contents.forms[kind] = form.categories
            for key, entry in entries.items():
                _refuse_outside(form, key)
                record = Record(tuple(_existing_files(form, key)), entry)
                contents.records.setdefault(kind, {})[key] = record
    elif contents.forms[kind] != form.categories and contents.records.get(kind):
        raise UsageError(
            f"{form.folder / form.lists[0]}: lists results of a model with other classes; choose "
            "another --save_dir"
        )


def _refuse_outside(form: ResultFormat, key: str) -> None:
    if any(map(lies_outside, form.files(key))):
        raise DataError(
            f"{form.folder / form.lists[0]}: names {key!r:.100}, which no prediction does; choose "
            "another --save_dir"
        )


def _existing_files(form: ResultFormat, key: str) -> list[str]:
    """Return the files that an image's results may replace."""
    files = form.files(key)
    folder = form.segment_folder(key)
    if folder is not None and (form.folder / folder).is_dir():
        names = sorted(os.listdir(form.folder / folder))
        files = files + [f"{folder}/{name}" for name in names if _is_png(name)]
    return [file for file in files if os.path.lexists(os.path.join(form.folder, file))]


def _is_png(name: str) -> bool:
    return name.lower().endswith(".png") and not name.startswith(".")


def _refuse_foreign_files(
    folder: Path,
    forms: Mapping[str, ResultFormat],
    contents: Contents,
    names: Sequence[str],
    images: Sequence[Path],
) -> None:
    """Refuse to replace what no prediction wrote for the same image, and images to be predicted."""
    foreign = [
        file
        for kind, form in forms.items()
        for file in form.lists
        if kind not in contents.forms and os.path.lexists(folder / file)
    ]
    if any(os.path.lexists(folder / root) for root in _roots(forms)):
        _refuse_unusable_roots(folder, forms)
        files = {
            file: file in contents.record(kind, key).files
            for kind, form in forms.items()
            for key in map(form.key, names)
            for file in _existing_files(form, key)
        }
        foreign += [file for file, is_known in files.items() if not is_known]
        _refuse_images(folder, files, images)
    if foreign:
        raise UsageError(
            f"{folder}: {listed(foreign)} would be replaced, but no prediction wrote that for the "
            "same image; move it away or choose another --save_dir"
        )


def _roots(forms: Mapping[str, ResultFormat]) -> set[str]:
    """Return the folders of results directly below the folder of all."""
    paths = chain.from_iterable(
        (*form.files("-"), form.segment_folder("-") or "") for form in forms.values()
    )
    return {path.split("/")[0] for path in paths if path}


def _refuse_unusable_roots(folder: Path, forms: Mapping[str, ResultFormat]) -> None:
    for root in sorted(_roots(forms)):
        path = folder / root
        if os.path.lexists(path) and not (path.is_dir() and os.access(path, os.W_OK)):
            raise DataError(f"{path}: expected a folder to write to; choose another --save_dir")


def _refuse_images(folder: Path, files: Sequence[str], images: Sequence[Path]) -> None:
    """Refuse to replace an image that is to be predicted, by whatever path."""
    replaced = {_identity(os.path.join(folder, file)) for file in files}
    for image in images if replaced else []:
        if _identity(image) in replaced:
            raise UsageError(
                f"{image}: the results would replace this image itself; choose another --save_dir"
            )


def _identity(path: str | Path) -> tuple[int, int] | str | Path:
    """Return what two paths of one file have in common; the path itself where there is no file."""
    try:
        state = os.stat(path)
    except OSError:
        return path
    return state.st_dev, state.st_ino


def _start(
    folder: Path,
    forms: Mapping[str, ResultFormat],
    killed_forms: Mapping[str, ResultFormat],
    contents: Contents,
    names: Sequence[str],
) -> dict[str, Collection[str]]:
    """Take the images to come out of the lists, and clear away what a killed prediction left.

    Returns:
        those that lists may name, by form.
    """
    if contents.is_unfinished:
        _clear_remains(folder, {**forms, **killed_forms})
    contents.forms |= {kind: form.categories for kind, form in forms.items()}
    replaced: dict[str, Collection[str]] = {}
    for kind, form in forms.items():
        records = contents.records.get(kind, {})
        found = set(map(form.key, names)) & records.keys()
        replaced[kind] = {key for key in found if records[key].entry is not None}
        for key in replaced[kind]:
            records[key] = records[key]._replace(provenance=None)  # it is to be made again
    write_journal(folder, contents, is_start=True)
    if any(replaced.values()):
        write_lists(folder, forms, contents, replaced)
    return replaced


def _clear_remains(folder: Path, forms: Mapping[str, ResultFormat]) -> None:
    clear_remains(folder, NAME)
    for path in (folder / file for form in forms.values() for file in form.lists):
        clear_remains(path.parent, re.escape(path.stem))
    for root in _roots(forms):
        for place, _, _ in os.walk(folder / root, followlinks=True):
            clear_remains(Path(place))


def _finish(folder: Path, forms: Mapping[str, ResultFormat]) -> None:
    """Write the lists of all that is in the journal, and then the journal without its history."""
    contents = read_journal(folder)
    for kind, form in forms.items():
        records = listed_records(form, contents.records.get(kind, {}))
        write_list(folder, form, records)
        form.pack(records)
    write_journal(folder, contents)
