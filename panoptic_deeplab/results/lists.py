"""The lists of a folder of results, written while a prediction goes on, and at its end."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from panoptic_deeplab.errors import DataError, UserError
from panoptic_deeplab.file_names import frame_order
from panoptic_deeplab.results.base import ResultFormat
from panoptic_deeplab.results.journal import NAME, Contents, LoadedRecords, Record, read_journal

Keys = Mapping[str, Collection[str]]
"""Of images, by the name of the form."""

_SECONDS_BETWEEN = 10.0
_TIMES_AS_LONG = 50
"""As writing the lists takes: so long the next ones wait, at least."""


@contextmanager
def kept_up(folder: Path, forms: Mapping[str, ResultFormat], to_come: Keys) -> Iterator[None]:
    """Write the lists anew from time to time, in a thread, while the block runs.

    Args:
        folder: of the results, which this process holds.
        forms: that are written there, by name.
        to_come: images whose earlier results are replaced in the block.
    """
    is_over = Event()

    def keep_up() -> None:
        pause = _SECONDS_BETWEEN
        while not is_over.wait(pause):
            start = time.perf_counter()
            with suppress(OSError, UserError):  # the prediction meets the same, and tells it
                write_lists(folder, forms, read_journal(folder), to_come)
            pause = max(_SECONDS_BETWEEN, _TIMES_AS_LONG * (time.perf_counter() - start))

    thread = Thread(target=keep_up, name="lists of results", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def write_lists(
    folder: Path, forms: Mapping[str, ResultFormat], contents: Contents, to_come: Keys
) -> None:
    """Write the lists of all that is whole in the journal.

    Args:
        folder: of the results.
        forms: whose lists are written, by name.
        contents: of the journal.
        to_come: images of which no earlier results are listed, for they are being replaced.

    Raises:
        DataError: the journal is damaged, or a form cannot hold what it says.
        OSError: a list cannot be written.
    """
    for kind, form in forms.items():
        replaced = to_come.get(kind, ())
        records = listed_records(form, contents.records.get(kind, {}))
        write_list(
            folder,
            form,
            {
                key: record
                for key, record in records.items()
                if record.provenance is not None or key not in replaced
            },
        )


def listed_records(form: ResultFormat, records: Mapping[str, Record]) -> dict[str, Record]:
    """Return the records that belong into the lists: whole ones, whose files are still there."""

    def is_there(file: str) -> bool:
        return os.path.exists(os.path.join(form.folder, file))

    return {
        key: records[key]
        for key in sorted(records, key=frame_order)
        if records[key].entry is not None
        and all(map(is_there, form.needed_files(key, records[key].files)))
    }


def write_list(folder: Path, form: ResultFormat, records: Mapping[str, Record]) -> None:
    """Write the lists of a form, with these images.

    Raises:
        DataError: the journal is damaged, or the form cannot hold what it says.
        OSError: a list cannot be written.
    """
    try:
        form.write_lists(LoadedRecords(records))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder / NAME}.jsonl: has an entry that no prediction wrote ({error!r:.100}); move "
            "the file away or choose another --save_dir"
        ) from error
