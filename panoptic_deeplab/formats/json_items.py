"""Large JSON files, read and written one item at a time.

Parsed as a whole, a file of annotations takes many times its size in memory, most of it for
Python's numbers and dictionaries. Here only the current item is held in that form, and what the
caller makes of it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.file_kinds import HEAD_BYTES, mistaken_for
from panoptic_deeplab.files import as_json, open_file, replacing
from panoptic_deeplab.progress import patient_bar

MAX_ITEM_LENGTH = 1 << 27
"""Characters of the largest item. An image's annotation has a few hundred thousand."""

_CHUNK = 1 << 20
_WHITE_SPACE = re.compile(r"[ \t\n\r]*")
_MAY_GO_ON = ("", ".", "e", "E")  # what follows a number that the end of the text has cut
_DECODER = json.JSONDecoder()


def iterate_items(
    path: str | Path,
    *keys: str,
    optional: Sequence[str] = (),
    list_as: str | None = None,
) -> Iterator[tuple[str, Any]]:
    """Yield the items of the lists of a JSON file, each with the key of its list.

    For `{"images": [1, 2], "info": {}, "annotations": [3]}` the keys `images` and `annotations`
    give `("images", 1)`, `("images", 2)`, `("annotations", 3)`: in the order of the file, which
    need not be the order of the keys.

    Args:
        path: the file.
        keys: of the lists wanted, at the top of the file; what is under others is skipped.
        optional: further keys that the file may lack.
        list_as: the key that a file is given under which is itself a list; None refuses it.

    Raises:
        DataError: the file is missing, unreadable or not JSON, lacks a key, has something other
            than a list under it, or an item is longer than MAX_ITEM_LENGTH. Items are read on
            demand, so an error in a later item is raised when that item is reached.
    """
    with open_file(path) as file, patient_bar(title=Path(path).name, unit="entries") as bar:
        try:
            head = file.read(HEAD_BYTES)
            if found := mistaken_for(head):
                raise DataError(f"{path}: cannot be read as JSON ({found})")
            file.seek(0)
            reader = _Reader(io.TextIOWrapper(file, json.detect_encoding(head)))
            items = _items_of_object(reader, keys, optional, path)
            if list_as is not None and reader.peek() == "[":
                items = ((list_as, item) for item in reader.items())
            for item in items:
                yield item
                bar.update()
            reader.expect("")
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path}: cannot be read as JSON ({error})") from error


def write_items(path: str | Path, items: Iterable[Any]) -> None:
    """Write a JSON list in place of `path`, item by item as they come."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[")
        file.writelines(separated(items))
        file.write("]\n")


def separated(items: Iterable[Any]) -> Iterator[str]:
    """Yield the JSON of each item, with a comma before all but the first."""
    for number, item in enumerate(items):
        yield (", " if number else "") + as_json(item)


def _items_of_object(
    reader: _Reader, keys: Sequence[str], optional: Sequence[str], path: str | Path
) -> Iterator[tuple[str, Any]]:
    missing = dict.fromkeys(keys)
    wanted = {*keys, *optional}
    if reader.peek() != "{":
        raise DataError(f"{path}: expected a JSON object with {' and '.join(keys or optional)}")
    for key in reader.members():
        missing.pop(key, None)
        if reader.peek() == "[":
            items = reader.items()
            yield from ((key, item) for item in items if key in wanted)
        else:
            value = reader.value()
            if key in wanted:
                raise DataError(f"{path}: expected a list under {key!r}, got {value!r:.80}")
    if missing:
        raise DataError(f"{path}: expected a list under {' and '.join(map(repr, missing))}")


class _Reader:
    """A text of JSON that is read in chunks and decoded value by value."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._position = 0
        self._dropped = 0  # characters before the text

    def peek(self) -> str:
        """Return the next character that is not white space, '' at the end."""
        while True:
            self._position = _WHITE_SPACE.match(self._text, self._position).end()
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read_on():
                return ""

    def expect(self, *characters: str) -> str:
        """Skip one of these characters ('' is the end) and return it."""
        found = self.peek()
        if found not in characters:
            expected = " or ".join(
                repr(character) if character else "the end" for character in characters
            )
            place = self._dropped + self._position
            raise ValueError(f"expected {expected} at character {place}, got {found!r}")
        self._position += len(found)
        return found

    def items(self) -> Iterator[Any]:
        """Yield the values of the list that begins here."""
        self.expect("[")
        if self.peek() == "]":
            self.expect("]")
            return
        yield self.value()
        while self.expect(",", "]") == ",":
            yield self.value()

    def members(self) -> Iterator[str]:
        """Yield the keys of the object that begins here; the caller reads the value after each."""
        self.expect("{")
        if self.peek() == "}":
            self.expect("}")
            return
        yield self._key()
        while self.expect(",", "}") == ",":
            yield self._key()

    def _key(self) -> str:
        if self.peek() != '"':
            self.expect('"')
        key = self.value()
        self.expect(":")
        return key

    def value(self) -> Any:
        """Read the value that begins here."""
        self.peek()
        while True:
            problem = None
            try:
                value, end = _DECODER.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:  # perhaps because the text ends here
                place = self._dropped + error.pos
                problem = ValueError(f"{error.msg} at character {place}")
            if problem is None and self._text[end : end + 1] not in _MAY_GO_ON:
                self._position = end
                return value
            if self._read_on():
                continue
            if problem is not None:
                raise problem
            self._position = end
            return value

    def _read_on(self) -> bool:
        """Read as much again as is buffered, so that a long value takes few attempts."""
        waiting = self._text[self._position :]
        if len(waiting) > MAX_ITEM_LENGTH:
            raise ValueError(f"an item is longer than {MAX_ITEM_LENGTH} characters")
        more = self._file.read(max(_CHUNK, len(waiting)))
        self._dropped += self._position
        self._text, self._position = waiting + more, 0
        return bool(more)
