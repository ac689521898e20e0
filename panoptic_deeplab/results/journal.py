"""The journal of a folder of results: which files predictions wrote there, and for which images.

`results.jsonl` has one JSON object on each line, and a later line supersedes an earlier one:

    {"journal": "panoptic_deeplab results", "version": 1}                     the first line
    {"form": "images", "categories": [...]}                       a form that is written here
    {"started": "2026-11-25 15:40:12"}                            a prediction that has not ended
    {"form": "images", "key": "a", "files": [...]}                these are about to be replaced
    {"form": "images", "key": "a", "files": [...], "made": ..., "entry": ...}
                                                                  they are whole, and listed so

What a killed process appended stays, so the files of a form and image that a prediction may have
written are always known, and an entry describes the files that are there. Processes that share the
work append each to a file of its own, `results.1.jsonl` and so on; the first one makes one file of
all when the lists are written.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from panoptic_deeplab.errors import DataError, reason_of
from panoptic_deeplab.files import as_json, open_file, replacing
from panoptic_deeplab.process import making_many_objects

NAME = "results"

_HEAD = {"journal": "panoptic_deeplab results", "version": 1}

Line = Mapping[str, Any]


FileVersion = tuple[int, int]
"""Of an image's file: its size in bytes, and the time of its last change in nanoseconds."""


class Provenance(NamedTuple):
    """What one image's whole results were made from.

    Attributes:
        model: fingerprint of the model and its settings.
        image: version of the image's file; None where it has none, such as a frame of a video.
        num_bytes: size of all files of the results together.
    """

    model: str
    image: FileVersion | None
    num_bytes: int

    def as_line(self) -> Line:
        """Return what a line of the journal says of it."""
        return {"model": self.model, "image": self.image, "bytes": self.num_bytes}


class JournalFile:
    """A journal that stays readable as it was, also after another one took its place.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        os.close(self._handle)

    def read(self, start: int, length: int) -> str:
        """Return a part of it."""
        return os.pread(self._handle, length, start).decode()


class StoredEntry(NamedTuple):
    """An entry that is left in its journal until a list is written: all together can be huge.

    Attributes:
        file: the journal.
        start, length: of its JSON text, in bytes.
    """

    file: JournalFile
    start: int
    length: int

    @property
    def text(self) -> str:
        return self.file.read(self.start, self.length)

    def load(self) -> Any:
        """Read it.

        Raises:
            DataError: it is damaged.
        """
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{self.file.path}: an entry is damaged ({reason_of(error, 100)}); move the file "
                "away or choose another --save_dir"
            ) from error


class Record(NamedTuple):
    """What is known of one image in one form.

    Attributes:
        files: all that were written for it and may still be there, as paths below the folder.
        entry: what the lists say of it, perhaps stored; None where they do not name it.
        provenance: of whole results that need not be made again; None for others.
    """

    files: tuple[str, ...] = ()
    entry: Any = None
    provenance: Provenance | None = None


class LoadedRecords(Mapping[str, Record]):
    """Records in whose place come those with their entry, which is read each time.

    Args:
        records: by key.
    """

    def __init__(self, records: Mapping[str, Record]) -> None:
        self._records = records

    def __getitem__(self, key: str) -> Record:
        record = self._records[key]
        if isinstance(record.entry, StoredEntry):
            return record._replace(entry=record.entry.load())
        return record

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


@dataclass
class Contents:
    """All that a journal says.

    Attributes:
        forms: the categories that the lists of each form have, None where they have none.
        records: by form and key.
        is_unfinished: whether a prediction ended without writing the lists.
    """

    forms: dict[str, Any] = field(default_factory=dict)
    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    is_unfinished: bool = False

    def record(self, form: str, key: str) -> Record:
        """Return what is known of an image in a form."""
        return self.records.get(form, {}).get(key, Record())

    def add(self, line: Line) -> None:
        """Take in the next line.

        Raises:
            ValueError, KeyError, TypeError: it is no line of a journal.
        """
        if "started" in line:
            self.is_unfinished = True
        elif "key" not in line:
            self.forms[str(line["form"])] = line["categories"]
        else:
            form, key = str(line["form"]), str(line["key"])
            files = tuple(map(_checked, line["files"]))
            if "entry" not in line:
                files += self.record(form, key).files
            provenance = _provenance(line["made"]) if "made" in line else None
            record = Record(tuple(dict.fromkeys(files)), line.get("entry"), provenance)
            self.records.setdefault(form, {})[key] = record

    def lines(self) -> Iterable[Line]:
        """Yield the lines that say all this."""
        yield from ({"form": form, "categories": found} for form, found in self.forms.items())
        for form, records in self.records.items():
            for key, record in records.items():
                made = {} if record.provenance is None else {"made": record.provenance.as_line()}
                known = {} if record.entry is None else {"entry": record.entry}
                yield {"form": form, "key": key, "files": record.files} | made | known


def _provenance(line: Line) -> Provenance:
    version = line["image"]
    if version is not None:
        size, changed = version
        version = int(size), int(changed)
    return Provenance(sys.intern(str(line["model"])), version, int(line["bytes"]))


def _checked(file: str) -> str:
    """Refuse the name of a file outside the folder."""
    if lies_outside(file):
        raise ValueError(f"{file!r:.100} is no file in this folder")
    return file


def lies_outside(file: str) -> bool:
    """Whether a relative path leads out of its folder, or is none."""
    return _OUTSIDE.search(file) is not None


_OUTSIDE = re.compile(r"^/|^$|\0|(^|/)\.\.(/|$)" + (r"|[\\:]" if os.name == "nt" else ""))


def read_journal(folder: Path) -> Contents:
    """Read what is known of a folder; nothing where there is no journal.

    A last line without an end, where a process was killed, is left out.

    Raises:
        DataError: a file of that name is no journal, or is damaged.
    """
    contents = Contents()
    for path in journal_files(folder):
        with open_file(path) as file, making_many_objects():
            journal, start = JournalFile(path), 0
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    _take_in(contents, journal, number, line, start)
                else:
                    contents.is_unfinished = True
                start += len(line)
    return contents


def journal_files(folder: Path) -> list[Path]:
    """Return the journals in a folder, those of further processes behind the first one."""
    first = folder / f"{NAME}.jsonl"
    return [first] * first.exists() + sorted(folder.glob(f"{NAME}.[0-9]*.jsonl"))


def known_files(folder: Path) -> list[Path]:
    """Return all files that predictions into a folder may have written, apart from lists."""
    records = read_journal(folder).records.values()
    return [folder / file for form in records for record in form.values() for file in record.files]


def _take_in(
    contents: Contents, journal: JournalFile, number: int, line: bytes, start: int
) -> None:
    """Take in a line that starts at that byte of its journal."""
    try:
        content = _parse(journal, line, start)
        if number > 1:
            contents.add(content)
        elif content != _HEAD:
            raise ValueError("the first line is another")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = "is not the journal of a prediction" if number == 1 else "is damaged"
        raise DataError(
            f"{journal.path}: line {number} {what} ({reason_of(error, 100)}); move the file "
            "away or choose another --save_dir"
        ) from error


def _parse(journal: JournalFile, line: bytes, start: int) -> Any:
    """Parse a line without its entry, which comes last, where it is written as we do it."""
    head, before, entry = line.partition(_BEFORE_ENTRY)  # in a string its quotes would be escaped
    if not before or entry == b"null}\n" or not entry.endswith(b"}\n"):
        return json.loads(line)
    stored = StoredEntry(journal, start + len(head) + len(before), len(entry) - len(b"}\n"))
    return json.loads(head + b"}") | {"entry": stored}


_BEFORE_ENTRY = b', "entry": '


def write_journal(folder: Path, contents: Contents, *, is_start: bool = False) -> None:
    """Write one journal of `contents` in place of all in the folder.

    Args:
        folder: of the results.
        contents: what it says.
        is_start: whether a prediction begins, which the next one will find unfinished if no other
            journal takes the place of this one.
    """
    others = [path for path in journal_files(folder) if path.name != f"{NAME}.jsonl"]
    start = [{"started": time.strftime("%Y-%m-%d %H:%M:%S")}] * is_start
    with (
        replacing(folder / f"{NAME}.jsonl") as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        file.writelines(map(_as_text, [_HEAD, *contents.lines(), *start]))
    for path in others:
        path.unlink()


class JournalAppender:
    """Appends to one process's journal, whole lines or none.

    Args:
        folder: of the results.
        rank: the number of this process.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self._path = folder / (f"{NAME}.{rank}.jsonl" if rank else f"{NAME}.jsonl")
        self._lock = threading.Lock()

    def append(self, lines: Iterable[Line]) -> None:
        """Append lines.

        Raises:
            OSError: they cannot be written; then none is.
        """
        with self._lock, self._path.open("ab", buffering=0) as file:
            end = file.tell()
            head = [] if end else [_HEAD]
            text = "".join(map(_as_text, [*head, *lines])).encode()
            try:
                if file.write(text) < len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            except OSError:
                file.truncate(end)
                raise


def _as_text(line: Line) -> str:
    entry = line.get("entry")
    if not isinstance(entry, StoredEntry):
        return as_json(line) + "\n"
    head = as_json({name: value for name, value in line.items() if name != "entry"})
    return f"{head[:-1]}{_BEFORE_ENTRY.decode()}{entry.text}}}\n"
