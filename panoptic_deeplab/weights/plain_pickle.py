"""Pickles as plain data: read without running code from them.

A pickle can call anything, so Python's unpickler is not used: `pickletools` takes the file apart
into instructions, and those that build dictionaries, lists, numbers, strings and numpy arrays are
carried out here. The others are refused.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError, reason_of
from panoptic_deeplab.files import open_file

MAX_STEPS = 1_000_000  # an array takes about 25 instructions
MAX_LEVELS = 50
MAX_AXES = 32
_GROWTH = 4
_ALLOWANCE = 1 << 20
_BYTES_OF_A_PAIR = 100  # in a dictionary
_MAX_KEY = 1 << 31
"""Of whole numbers as keys: larger ones can share a hash, which takes a dictionary forever."""


def read_pickle(path: str | Path) -> Any:
    """Read the plain content of a `.pdparams` or `.pdopt` file.

    Tensors, also those of nested dictionaries, come as arrays; bfloat16 as its bits in uint16.
    Takes a few times the file's size in memory, whatever the file says.

    Raises:
        DataError: it is missing, damaged, or holds anything but plain data and arrays of numbers.
    """
    with open_file(path) as file:
        try:
            pickled = file.read()
            content = Playback(len(pickled)).run(io.BytesIO(pickled))
            _check_plain(content, Budget(len(pickled)))
            return content
        except Exception as error:  # a broken pickle can raise anything
            raise DataError(
                f"{path}: not weights that Paddle saved, or damaged ({reason_of(error)})"
            ) from error


class RefusalError(ValueError):
    """A file is not read, for the reason in the message."""


class Budget:
    """Bytes that a file may become: a few times its size.

    A file can name the same bytes again and again, and each name becomes an array of its own.
    """

    def __init__(self, file_size: int) -> None:
        self.file_size = file_size
        self.left = _GROWTH * file_size + _ALLOWANCE

    def spend(self, count: int) -> None:
        """Take `count` bytes from the budget; refuse the file where it is exceeded."""
        self.left -= count
        if self.left < 0:
            raise RefusalError(
                f"its {self.file_size} bytes would become more than {_GROWTH} times as many"
            )


class Playback:
    """Executes the instructions of a pickle that build plain data.

    What is built is a few times what the file holds, and a few objects for each of a limited
    number of instructions. Dictionary keys are strings and small whole numbers, because hashing a
    tuple of tuples can take forever.

    Args:
        file_size: of the pickle, in bytes.
    """

    @property
    def known(self) -> Mapping[tuple[str, str], Any]:
        """(module, name) -> its replacement here; no other name is allowed."""
        return _GLOBALS

    def __init__(self, file_size: int) -> None:
        self.budget = Budget(file_size)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: io.BytesIO) -> Any:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if step == MAX_STEPS:
                raise RefusalError(f"it takes more than {MAX_STEPS} steps to read")
            if opcode.name in _VALUES:
                self.stack.append(argument)
            elif opcode.name in _ACTIONS:
                _ACTIONS[opcode.name](self, argument)
            else:
                raise RefusalError(f"it holds the instruction {opcode.name}")
        (content,) = self.stack
        return content

    def pop(self, count: int) -> list[Any]:
        """Take the uppermost items off the stack."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def pop_marked(self) -> list[Any]:
        """Take the items above the last mark off the stack."""
        return self.pop(len(self.stack) - self.marks.pop())

    def put(self, place: int | None = None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        of_type(self.stack[-1], list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        of_type(self.stack[-1], dict).update(plain_dict(_couples(items)))

    def find(self, module: str, name: str) -> None:
        """Push the replacement of an allowed name on the stack."""
        if (of_type(module, str), of_type(name, str)) not in self.known:
            raise RefusalError(f"it asks for {module}.{name}")
        self.stack.append(self.known[module, name])

    def fetch(self, reference: Any) -> Any:
        """Return the object that a reference to something outside the pickle means."""
        raise RefusalError("it holds the instruction BINPERSID")

    def call(self) -> None:
        maker, arguments = self.pop(2)
        made = of_type(maker, Maker).make(*of_type(arguments, tuple))
        self.budget.spend(_size(made))
        self.stack.append(made)

    def build(self) -> None:
        """Complete an array or a number type with its content."""
        target, state = self.stack[-2], of_type(self.stack.pop(), tuple)
        if isinstance(target, _NumberType):
            target.byte_order = of_type(state[1], str)
        else:
            _, shape, number_type, by_columns, raw = state
            dtype, raw = of_type(number_type, _NumberType).dtype, _bytes(raw)
            _check_size(raw, dtype, shape)
            self.budget.spend(len(raw))
            of_type(target, np.ndarray).__setstate__((1, shape, dtype, bool(by_columns), raw))


@dataclass(frozen=True)
class Maker:
    """A callable: a function of ours in place of the one that a pickle names."""

    make: Callable[..., Any]


@dataclass
class _NumberType:
    """Number type of an array; a pickle gives its byte order later."""

    code: str
    byte_order: str = "="

    @property
    def dtype(self) -> np.dtype:
        code = f"{self.byte_order}{self.code}"
        if not re.fullmatch(r"[<>=|](b1|[iu][1248]|f[248])", code):
            raise RefusalError(f"expected named arrays of numbers, got some of type {code:.20}")
        return np.dtype(code)


def array_of_bytes(number_type: np.dtype, shape: tuple[int, ...], raw: bytes) -> np.ndarray:
    """Return `raw` as an array; refuse a length that does not fit the shape."""
    _check_size(raw, number_type, shape)
    return np.frombuffer(raw, number_type).reshape(shape)


def float32_of_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Convert bfloat16, which numpy lacks, from uint16 bits to float32: 16 zero bits are added."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _check_size(raw: bytes, number_type: np.dtype, shape: Any) -> None:
    """Refuse an array that claims another size than it has."""
    if len(of_type(shape, tuple)) > MAX_AXES:
        raise RefusalError(f"an array has {len(shape)} axes")
    if any(of_type(length, int) < 0 for length in shape):
        raise RefusalError("an array has a negative length")
    if math.prod(shape) * number_type.itemsize != len(raw):
        raise RefusalError(f"an array claims another size than the {len(raw)} bytes it has")


def plain_dict(pairs: Iterable[tuple[Any, Any]] = ()) -> dict[Any, Any]:
    """Build a dictionary of pairs; refuse keys that are neither strings nor small whole numbers."""
    content = {}
    for key, value in pairs:
        if type(key) not in (str, int):
            raise RefusalError(f"a dictionary has a {type(key).__name__} for a key")
        if type(key) is int and abs(key) >= _MAX_KEY:
            raise RefusalError(f"a dictionary has a number of {key.bit_length()} bits for a key")
        content[key] = value
    return content


def of_type(item: Any, *expected: type) -> Any:
    """Return `item`; refuse it if it has none of the types."""
    if type(item) not in expected:
        raise RefusalError(f"expected {expected[0].__name__}, got {type(item).__name__}")
    return item


def _size(made: Any) -> int:
    """Return the bytes that something takes whose size a file can choose."""
    if isinstance(made, dict):
        return _BYTES_OF_A_PAIR * len(made)
    return made.nbytes if isinstance(made, np.ndarray) else len(made) if type(made) is bytes else 0


def _bytes(raw: Any) -> bytes:
    """Return bytes, which old pickles hold as latin-1 strings."""
    return raw.encode("latin-1") if isinstance(raw, str) else bytes(of_type(raw, bytes, bytearray))


def _no_bytes(*arguments: Any) -> bytes:
    """Return b"", which protocol 2 writes as a call of `bytes`; it writes no others so."""
    if arguments:
        raise RefusalError("it asks for bytes of something, which no array is made of")
    return b""


def _empty_array(*_: Any) -> np.ndarray:
    return np.empty(0, np.uint8)


def _scalar(number_type: Any, raw: Any) -> np.generic:
    return array_of_bytes(of_type(number_type, _NumberType).dtype, (), _bytes(raw))[()]


def _array_of_buffer(raw: Any, number_type: Any, shape: Any, order: str) -> np.ndarray:
    dtype, raw = of_type(number_type, _NumberType).dtype, _bytes(raw)
    _check_size(raw, dtype, shape)
    return np.frombuffer(raw, dtype).reshape(shape, order=order)


def _tensor(pair: tuple[str, np.ndarray]) -> np.ndarray:
    """Return the array of a tensor in a nested dictionary, saved as tuple((name, array))."""
    _, array = pair
    return of_type(array, np.ndarray)


_GLOBALS = {
    ("numpy", "ndarray"): None,  # only ever an argument
    ("numpy", "dtype"): Maker(lambda code, *_: _NumberType(of_type(code, str))),
    ("collections", "OrderedDict"): Maker(plain_dict),
    ("_codecs", "encode"): Maker(lambda text, *_: _bytes(text)),
    ("builtins", "tuple"): Maker(_tensor),
    ("__builtin__", "tuple"): Maker(_tensor),
    ("__builtin__", "bytes"): Maker(_no_bytes),
}
for _core in ("numpy.core", "numpy._core"):
    _GLOBALS[f"{_core}.multiarray", "_reconstruct"] = Maker(_empty_array)
    _GLOBALS[f"{_core}.multiarray", "scalar"] = Maker(_scalar)
    _GLOBALS[f"{_core}.numeric", "_frombuffer"] = Maker(_array_of_buffer)

_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}

_ACTIONS: dict[str, Callable[[Playback, Any], Any]] = {
    "PROTO": lambda play, _: None,
    "FRAME": lambda play, _: None,
    "STOP": lambda play, _: None,
    "NONE": lambda play, _: play.stack.append(None),
    "NEWTRUE": lambda play, _: play.stack.append(True),
    "NEWFALSE": lambda play, _: play.stack.append(False),
    "MARK": lambda play, _: play.marks.append(len(play.stack)),
    "EMPTY_TUPLE": lambda play, _: play.stack.append(()),
    "TUPLE1": lambda play, _: play.stack.append(tuple(play.pop(1))),
    "TUPLE2": lambda play, _: play.stack.append(tuple(play.pop(2))),
    "TUPLE3": lambda play, _: play.stack.append(tuple(play.pop(3))),
    "TUPLE": lambda play, _: play.stack.append(tuple(play.pop_marked())),
    "EMPTY_LIST": lambda play, _: play.stack.append([]),
    "LIST": lambda play, _: play.stack.append(play.pop_marked()),
    "APPEND": lambda play, _: play.extend(play.pop(1)),
    "APPENDS": lambda play, _: play.extend(play.pop_marked()),
    "EMPTY_DICT": lambda play, _: play.stack.append({}),
    "DICT": lambda play, _: play.stack.append(plain_dict(_couples(play.pop_marked()))),
    "SETITEM": lambda play, _: play.set_items(play.pop(2)),
    "SETITEMS": lambda play, _: play.set_items(play.pop_marked()),
    "PUT": Playback.put,
    "BINPUT": Playback.put,
    "LONG_BINPUT": Playback.put,
    "MEMOIZE": Playback.put,
    "GET": lambda play, place: play.stack.append(play.memo[place]),
    "BINGET": lambda play, place: play.stack.append(play.memo[place]),
    "LONG_BINGET": lambda play, place: play.stack.append(play.memo[place]),
    "GLOBAL": lambda play, name: play.find(*name.rsplit(" ", 1)),
    "STACK_GLOBAL": lambda play, _: play.find(*play.pop(2)),
    "BINPERSID": lambda play, _: play.stack.append(play.fetch(*play.pop(1))),
    "REDUCE": lambda play, _: play.call(),
    "BUILD": lambda play, _: play.build(),
}


def _couples(items: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _check_plain(content: Any, budget: Budget) -> None:
    """Refuse content that is not plain data, contains itself, or names one array very often."""
    branches = [iter((content,))]
    for _ in range(2 * MAX_STEPS):
        if not branches:
            return
        item = next(branches[-1], _END)
        if item is _END:
            branches.pop()
        elif isinstance(item, (dict, list, tuple)):
            branches.append(iter(item.values() if isinstance(item, dict) else item))
        elif not isinstance(item, _PLAIN):
            raise RefusalError(f"it holds a {type(item).__name__}")
        elif isinstance(item, np.ndarray):
            budget.spend(item.nbytes)
        if len(branches) > MAX_LEVELS:
            break
    raise RefusalError("it holds itself, or is nested too deeply")


_END = object()
_PLAIN = (type(None), bool, int, float, str, bytes, bytearray, np.ndarray, np.generic)
