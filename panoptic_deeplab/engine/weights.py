"""Weights from files: read without running code from them, and put where they fit.

A `.pdparams` file is a pickle, and a pickle can call anything. Python's unpickler is therefore not
used: `pickletools` takes the file apart into instructions, and those that build dictionaries,
lists, numbers, texts and numpy arrays are carried out here. The others are refused.
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
import paddle
import safetensors
import safetensors.numpy
from paddle import nn

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import open_file, replacing

_NAME_TABLE = "StructuredToParameterName@@"  # what paddle.save adds beside the weights
_MOST_STEPS = 1_000_000  # an array takes about 25 instructions
_MOST_LEVELS = 50
_MOST_AXES = 32
_BFLOAT16_BITS = np.dtype(np.uint16)  # as Paddle writes them; it has no uint16 of its own


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Name -> array of a `.pdparams` or `.safetensors` file, or of the model file in a folder.

    bfloat16 weights come as float32, which holds all their values.

    Raises:
        DataError: the file is missing, damaged, or holds something else than named arrays.
    """
    path = _model_file(Path(path))
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_pickle(path)
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: expected named weights, got {type(content).__name__}")
    weights = {name: value for name, value in content.items() if name != _NAME_TABLE}
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise DataError(
                f"{path}: expected named arrays of numbers, got {type(value).__name__} for "
                f"{name!r:.100}"
            )
    if not weights:
        raise DataError(f"{path}: holds no weights")
    return {name: _widened(value) for name, value in weights.items()}


def save_weights(path: str | Path, state: Mapping[str, paddle.Tensor | np.ndarray]) -> None:
    """Writes a state dict in place of `path`: as safetensors by that suffix, else as Paddle does.

    safetensors get bfloat16 as float32.
    """
    with replacing(path) as temporary:
        if Path(path).suffix == ".safetensors":
            arrays = {
                name: np.ascontiguousarray(_widened(np.asarray(state[name]))) for name in state
            }
            safetensors.numpy.save_file(arrays, str(temporary))
        else:
            paddle.save(dict(state), str(temporary))


@dataclass(frozen=True)
class LoadReport:
    """What of a file went into a network.

    Attributes:
        loaded: names of the weights that were put in place.
        missing: names that the file lacks.
        extra: names that the network lacks, where they are not expected.
        misshapen: 'name [shape] instead of [shape]', first the file's.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether file and network hold the same."""
        return not (self.missing or self.extra or self.misshapen)

    def differences(self, most: int | None = None) -> str:
        """'2 missing (a, b); ...', with at most so many names of each kind."""
        kinds = {
            "missing": self.missing,
            "not of this network": self.extra,
            "of another shape": self.misshapen,
        }
        return "; ".join(
            f"{len(names)} {kind} ({', '.join(names[:most])}{', ...' * (names[:most] != names)})"
            for kind, names in kinds.items()
            if names
        )

    def __str__(self) -> str:
        loaded = f"{len(self.loaded)} weights loaded"
        return loaded if self.complete else f"{loaded}; {self.differences()}"


def load_weights(
    layer: nn.Layer,
    path: str | Path,
    *,
    partial: bool = False,
    extra_allowed: bool = False,
    way_out: str = "",
) -> LoadReport:
    """Puts the weights of a file into `layer`: all, or none where they do not fit.

    Args:
        layer: a model, or a part of one.
        path: a `.pdparams` or `.safetensors` file, or the folder of one.
        partial: put in what fits and leave the rest of `layer` as it is.
        extra_allowed: whether the file may hold more (a classifier on a backbone).
        way_out: what the user can do about weights of another network, for the message.

    Raises:
        DataError: entries are missing, too many or of another shape (the message lists them); with
            `partial`, none fits at all.
    """
    weights = read_weights(path)
    report = _compare(weights, layer.state_dict(), extra_allowed)
    if not report.loaded or not (report.complete or partial):
        none = "" if report.loaded else ", no weight fits"
        end = f"; {way_out}" if way_out else ""
        raise DataError(
            f"{path}: these weights are of another network{none}: {report.differences(3)}{end}"
        )
    set_weights(layer, {name: weights[name] for name in report.loaded})
    return report


def set_weights(layer: nn.Layer, weights: Mapping[str, np.ndarray]) -> None:
    """Copies arrays that fit into the layer's own tensors; tensors without an array stay."""
    state = layer.state_dict()
    for name, array in weights.items():
        kind = str(state[name].dtype).removeprefix("paddle.")
        array = array.astype({"bfloat16": "float32"}.get(kind, kind))  # numpy has no bfloat16
        state[name].set_value(paddle.to_tensor(array).astype(state[name].dtype))


def read_pickle(path: str | Path) -> Any:
    """The plain content of a `.pdparams` or `.pdopt` file.

    Tensors, also those of nested dictionaries, come as arrays; bfloat16 as its bits in uint16.
    Takes a few times the file's size in memory, whatever the file says.

    Raises:
        DataError: it is missing, damaged, or holds anything but plain data and arrays of numbers.
    """
    with open_file(path) as file:
        try:
            content = _Playback().run(io.BytesIO(file.read()))
            _check_plain(content)
            return content
        except Exception as error:  # a broken pickle can raise anything
            raise DataError(
                f"{path}: not weights that Paddle saved, or damaged ({_one_line(error)})"
            ) from error


def _model_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    candidates = [path / f"model{suffix}" for suffix in (".pdparams", ".safetensors")]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    with open_file(path) as file:
        try:
            return {
                name: _array(_number_type(entry["dtype"]), tuple(entry["shape"]), entry["data"])
                for name, entry in safetensors.deserialize(file.read())
            }
        except Exception as error:  # the parser's own, and whatever a hostile header leads to
            raise DataError(f"{path}: not safetensors, or damaged ({_one_line(error)})") from error


def _number_type(safetensors_name: str) -> np.dtype:
    """'F32' -> float32, 'BF16' -> its bits."""
    if safetensors_name == "BF16":
        return _BFLOAT16_BITS
    match = re.fullmatch(r"([FIU])(8|16|32|64)", safetensors_name.replace("BOOL", "U8"))
    if not match or match[0] == "F8":
        raise _RefusalError(f"it holds numbers of the type {safetensors_name}")
    return np.dtype(f"{match[1].lower()}{int(match[2]) // 8}")


def _widened(array: np.ndarray) -> np.ndarray:
    """bfloat16, which numpy lacks, as float32: the same bits with 16 zeros behind."""
    if array.dtype != _BFLOAT16_BITS:
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)


def _compare(
    weights: Mapping[str, np.ndarray], state: Mapping[str, paddle.Tensor], extra_allowed: bool
) -> LoadReport:
    misshapen = {
        name: f"{name} {list(weights[name].shape)} instead of {list(value.shape)}"
        for name, value in state.items()
        if name in weights and tuple(weights[name].shape) != tuple(value.shape)
    }
    return LoadReport(
        loaded=tuple(name for name in state if name in weights and name not in misshapen),
        missing=tuple(name for name in state if name not in weights),
        extra=() if extra_allowed else tuple(name for name in weights if name not in state),
        misshapen=tuple(misshapen.values()),
    )


class _RefusalError(ValueError):
    """Why a file is not read."""


class _Playback:
    """Carries out the instructions of a pickle that build plain data.

    What is built is at most what the file holds: its bytes once more, and a few objects for each
    of a limited number of instructions. Dictionary keys are texts and numbers, for hashing a
    tuple of tuples can take forever.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: io.BytesIO) -> Any:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if step == _MOST_STEPS:
                raise _RefusalError(f"it takes more than {_MOST_STEPS} steps to read")
            if opcode.name in _VALUES:
                self.stack.append(argument)
            elif opcode.name in _ACTIONS:
                _ACTIONS[opcode.name](self, argument)
            else:
                raise _RefusalError(f"it holds the instruction {opcode.name}")
        (content,) = self.stack
        return content

    def pop(self, count: int) -> list[Any]:
        """The uppermost items, off the stack."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def pop_marked(self) -> list[Any]:
        """The items above the last mark, off the stack."""
        return self.pop(len(self.stack) - self.marks.pop())

    def put(self, place: int | None = None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        _of_type(self.stack[-1], list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        _of_type(self.stack[-1], dict).update(_dict(_couples(items)))

    def find(self, module: str, name: str) -> None:
        """Puts on the stack what one of the few allowed names stands for."""
        if (_of_type(module, str), _of_type(name, str)) not in _GLOBALS:
            raise _RefusalError(f"it asks for {module}.{name}")
        self.stack.append(_GLOBALS[module, name])

    def call(self) -> None:
        maker, arguments = self.pop(2)
        self.stack.append(_of_type(maker, _Maker).make(*_of_type(arguments, tuple)))

    def build(self) -> None:
        """The second half of an array or of a number type, which tells what it holds."""
        target, state = self.stack[-2], _of_type(self.stack.pop(), tuple)
        if isinstance(target, _NumberType):
            target.byte_order = _of_type(state[1], str)
        else:
            _, shape, number_type, by_columns, raw = state
            dtype, raw = _of_type(number_type, _NumberType).dtype, _bytes(raw)
            _check_size(raw, dtype, shape)
            _of_type(target, np.ndarray).__setstate__((1, shape, dtype, bool(by_columns), raw))


@dataclass(frozen=True)
class _Maker:
    """What may be called: a function of ours in place of the one a pickle names."""

    make: Callable[..., Any]


@dataclass
class _NumberType:
    """The type of an array's numbers; a pickle tells its byte order later."""

    code: str
    byte_order: str = "="

    @property
    def dtype(self) -> np.dtype:
        code = f"{self.byte_order}{self.code}"
        if not re.fullmatch(r"[<>=|](b1|[iu][1248]|f[248])", code):
            raise _RefusalError(f"expected named arrays of numbers, got some of type {code}")
        return np.dtype(code)


def _array(number_type: np.dtype, shape: tuple[int, ...], raw: bytes) -> np.ndarray:
    _check_size(raw, number_type, shape)
    return np.frombuffer(raw, number_type).reshape(shape)


def _check_size(raw: bytes, number_type: np.dtype, shape: Any) -> None:
    """Refuses an array that claims another size than it has."""
    if len(_of_type(shape, tuple)) > _MOST_AXES:
        raise _RefusalError(f"an array has {len(shape)} axes")
    if any(_of_type(length, int) < 0 for length in shape):
        raise _RefusalError("an array has a negative length")
    if math.prod(shape) * number_type.itemsize != len(raw):
        raise _RefusalError(f"an array claims another size than the {len(raw)} bytes it has")


def _dict(pairs: Iterable[tuple[Any, Any]] = ()) -> dict[Any, Any]:
    content = {}
    for key, value in pairs:
        if type(key) not in (str, int):
            raise _RefusalError(f"a dictionary has a {type(key).__name__} for a key")
        content[key] = value
    return content


def _of_type(item: Any, *expected: type) -> Any:
    if type(item) not in expected:
        raise _RefusalError(f"expected {expected[0].__name__}, got {type(item).__name__}")
    return item


def _bytes(raw: Any) -> bytes:
    """Bytes, which old pickles hold as texts of Latin letters."""
    return raw.encode("latin-1") if isinstance(raw, str) else bytes(_of_type(raw, bytes, bytearray))


def _empty_array(*_: Any) -> np.ndarray:
    return np.empty(0, np.uint8)


def _scalar(number_type: Any, raw: Any) -> np.generic:
    return _array(_of_type(number_type, _NumberType).dtype, (), _bytes(raw))[()]


def _array_of_buffer(raw: Any, number_type: Any, shape: Any, order: str) -> np.ndarray:
    dtype = _of_type(number_type, _NumberType).dtype
    _check_size(_bytes(raw), dtype, shape)
    return np.frombuffer(_bytes(raw), dtype).reshape(shape, order=order)


def _tensor(pair: tuple[str, np.ndarray]) -> np.ndarray:
    """What paddle.save makes of a tensor in a nested dictionary: tuple((name, array))."""
    _, array = pair
    return _of_type(array, np.ndarray)


_GLOBALS = {
    ("numpy", "ndarray"): None,  # only ever an argument
    ("numpy", "dtype"): _Maker(lambda code, *_: _NumberType(_of_type(code, str))),
    ("collections", "OrderedDict"): _Maker(_dict),
    ("_codecs", "encode"): _Maker(lambda text, *_: _bytes(text)),
    ("builtins", "tuple"): _Maker(_tensor),
    ("__builtin__", "tuple"): _Maker(_tensor),
    ("__builtin__", "bytes"): _Maker(bytes),  # how protocol 2 writes b""
}
for _core in ("numpy.core", "numpy._core"):
    _GLOBALS[f"{_core}.multiarray", "_reconstruct"] = _Maker(_empty_array)
    _GLOBALS[f"{_core}.multiarray", "scalar"] = _Maker(_scalar)
    _GLOBALS[f"{_core}.numeric", "_frombuffer"] = _Maker(_array_of_buffer)

_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}

_ACTIONS: dict[str, Callable[[_Playback, Any], Any]] = {
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
    "DICT": lambda play, _: play.stack.append(_dict(_couples(play.pop_marked()))),
    "SETITEM": lambda play, _: play.set_items(play.pop(2)),
    "SETITEMS": lambda play, _: play.set_items(play.pop_marked()),
    "PUT": _Playback.put,
    "BINPUT": _Playback.put,
    "LONG_BINPUT": _Playback.put,
    "MEMOIZE": _Playback.put,
    "GET": lambda play, place: play.stack.append(play.memo[place]),
    "BINGET": lambda play, place: play.stack.append(play.memo[place]),
    "LONG_BINGET": lambda play, place: play.stack.append(play.memo[place]),
    "GLOBAL": lambda play, name: play.find(*name.rsplit(" ", 1)),
    "STACK_GLOBAL": lambda play, _: play.find(*play.pop(2)),
    "REDUCE": lambda play, _: play.call(),
    "BUILD": lambda play, _: play.build(),
}


def _couples(items: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _check_plain(content: Any) -> None:
    """Refuses content that is more than data, or that never ends for who walks through it."""
    branches = [iter((content,))]
    for _ in range(2 * _MOST_STEPS):
        if not branches:
            return
        item = next(branches[-1], _END)
        if item is _END:
            branches.pop()
        elif isinstance(item, (dict, list, tuple)):
            branches.append(iter(item.values() if isinstance(item, dict) else item))
        elif not isinstance(item, _PLAIN):
            raise _RefusalError(f"it holds a {type(item).__name__}")
        if len(branches) > _MOST_LEVELS:
            break
    raise _RefusalError("it holds itself, or is nested too deeply")


_END = object()
_PLAIN = (type(None), bool, int, float, str, bytes, bytearray, np.ndarray, np.generic)


def _one_line(error: Exception) -> str:
    """What an error says, short and without the control characters that a file can put there."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter for letter in text if letter.isprintable())[:200]
