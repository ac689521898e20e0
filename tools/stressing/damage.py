"""Files changed as accidents and attackers change them, by chance but the same for one seed."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_NUMBERS = (b"0", b"-1", b"1e999", b"-0.5", b"255", b"65536", b"2147483648", b"9" * 40, b"nan")
_WORDS = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\xff\xff",
)
_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 0.5, 10**30, float("nan"), float("inf"), "", "\0", "../../x", "\ud83d"),
    *([], {}, [[]], {"": None}, "x" * 5000, [0] * 5000, "1e400", "a\nb\x1b[31m"),
)
_PNG_HEADER = slice(16, 29)  # width, height, depth, color type, ... of the first chunk


def damaged(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Change a file's content, mostly once; `others` are files of other kinds."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        content = rng.choice(_changes(content))(content, others, rng)
    return content


Change = Callable[[bytes, Sequence[bytes], random.Random], bytes]


def _changes(content: bytes) -> Sequence[Change]:
    """The changes that suit a file; those of its own kind as often as all the others."""
    anywhere = [
        _cut,
        _with_flipped_bits,
        _with_repeated_block,
        _without_block,
        _with_word,
        _swapped,
    ]
    if content.startswith(b"\x89PNG"):
        return anywhere + [_with_png_header] * len(anywhere)
    if content[:1] in b"[{":
        return anywhere + [_with_json_value, _with_number] * (len(anywhere) // 2)
    return [*anywhere, _with_number]


def _cut(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _with_flipped_bits(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8) if content else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _with_repeated_block(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    start, end = _block(content, rng)
    return content[:end] + content[start:end] * rng.choice([1, 2, 100]) + content[end:]


def _without_block(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    start, end = _block(content, rng)
    return content[:start] + content[end:]


def _with_word(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    start, word = rng.randrange(len(content) + 1), rng.choice(_WORDS)
    return content[:start] + word + content[start + len(word) :]


def _swapped(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Put another kind of file in the place of this one, or of its end."""
    start = rng.choice([0, rng.randrange(len(content) + 1)])
    return content[:start] + rng.choice(others)[start:]


def _with_number(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return content
    number = rng.choice(found)
    return content[: number.start()] + rng.choice(_NUMBERS) + content[number.end() :]


def _with_png_header(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Change the header and make its checksum right, so that a reader goes on."""
    header = bytearray(content[_PNG_HEADER])
    for _ in range(rng.randint(1, 2) if header else 0):
        header[rng.randrange(len(header))] = rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 0x7F, 0xFF])
    checksum = zlib.crc32(b"IHDR" + header).to_bytes(4, "big")
    return content[: _PNG_HEADER.start] + header + checksum + content[_PNG_HEADER.stop + 4 :]


def _with_json_value(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Replace, remove, repeat or rename something in a JSON, or in one of its lines."""
    lines = content.splitlines(keepends=True)
    if len(lines) > 1:
        place = rng.randrange(len(lines))
        lines[place] = _with_json_value(lines[place], others, rng) + b"\n"
        return b"".join(lines)
    try:
        tree = json.loads(content)
    except ValueError:
        return content
    places = list(_places(tree))
    if places:
        container, key = rng.choice(places)
        change = rng.choice(["replace", "replace", "remove", "repeat"])
        if change == "replace":
            container[key] = rng.choice(_VALUES)
        elif change == "remove":
            del container[key]
        elif isinstance(container, list):
            container.append(container[key])
        else:
            container[rng.choice(["", "id", "type", key.upper()])] = container.pop(key)
    return json.dumps(tree).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of everything in a tree."""
    if isinstance(tree, (dict, list)):
        for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
            yield tree, key
            yield from _places(value)


def _block(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice([1, 4, 16, 256]))
