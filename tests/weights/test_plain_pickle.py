"""Pickles: plain data is read, everything else refused; nothing in a file is ever called."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights import read_pickle, read_weights


class Hostile:
    """Pickles into a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_plain_arrays_of_any_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    weights = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(3)}
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(weights, protocol))
    content = read_pickle(tmp_path / "w.pdparams")
    np.testing.assert_array_equal(content["a"], weights["a"])
    assert content["b"] == 3


@pytest.mark.parametrize(
    "call", [(os.system, "touch {}"), (eval, "open('{}', 'w')"), (os.mkdir, "{}")]
)
def test_nothing_in_a_file_is_called(tmp_path: Path, call: tuple[Any, str]) -> None:
    mark = tmp_path / "mark"
    function, argument = call
    content = {"a": Hostile(function, argument.format(mark))}
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"w\.pdparams: not weights that Paddle saved.* asks for"):
        read_weights(tmp_path / "w.pdparams")
    assert not mark.exists()


def pickled(*parts: bytes) -> bytes:
    return b"\x80\4" + b"".join(parts) + b"."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def array(shape: bytes, raw: bytes, code: str = "f4", order: str = "<") -> bytes:
    """The instructions that build an array; `shape` is the instructions of a tuple."""
    empty = named("numpy.core.multiarray", "_reconstruct") + b"N" + b"K\0\x85" + b"C\1b\x87R"
    dtype = named("numpy", "dtype") + text(code) + b"\x89\x88\x87R(K\3" + text(order) + b"NNNNNNtb"
    return empty + b"(K\1" + shape + dtype + b"\x89" + b"C" + bytes([len(raw)]) + raw + b"tb"


def laughs(levels: int) -> bytes:
    """A list of pairs, each of the one before it twice."""
    pairs = [b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86\x94" for i in range(levels)]
    return b"(]\x94" + b"".join(pairs) + b"l"


EIGHT_BYTES = b"\x8e" + struct.pack("<Q", 1 << 40)
HOSTILE = {
    "a dotted name": (named("numpy", "dtype.__reduce__"), r"asks for numpy.dtype.__reduce__"),
    "a name with dots in its module": (b"cnumpy.core\nmultiarray.scalar\n", "asks for numpy.core."),
    "getattr": (named("builtins", "getattr"), "asks for builtins.getattr"),
    "a name that is none": (b"K\1K\2\x93", "expected str, got int"),
    "an object of a class": (b"}" + named("numpy", "dtype") + b")\x81", "the instruction NEWOBJ"),
    "a persistent id": (b"Vx\nQ", "the instruction BINPERSID"),
    "an extension": (b"\x82\1", "the instruction EXT1"),
    "a call of a value": (b"K\1)R", "expected Maker, got int"),
    "a state for a dictionary": (b"}(tb", "not enough values"),
    "a state for a function": (named("numpy", "dtype") + b"}b", "expected tuple, got dict"),
    "a function kept": (named("numpy", "dtype"), "holds a Maker"),
    "half a number type": (named("numpy", "dtype") + text("f4") + b"\x85R", "holds a _NumberType"),
    "too many elements": (array(b"\x8a\6" + bytes(5) + b"\1\x85", b""), "claims another size"),
    "lengths whose product overflows": (array(b"\x8a\x09" + bytes(8) + b"\1\x85", b""), "claims"),
    "too few bytes": (array(b"K\3\x85", b"1234"), "claims another size than the 4 bytes"),
    "a negative length": (array(b"J" + b"\xff" * 4 + b"\x85", b""), "a negative length"),
    "a hundred axes": (array(b"(" + b"K\1" * 100 + b"t", b"1234"), "has 100 axes"),
    "objects": (array(b"K\1\x85", bytes(8), "O8", "|"), "arrays of numbers, got some of type .O8"),
    "records": (array(b"K\1\x85", bytes(8), "V8", "|"), "arrays of numbers, got some of type .V8"),
    "texts": (array(b"K\1\x85", bytes(8), "U2"), "arrays of numbers, got some of type .U2"),
    "long bytes": (EIGHT_BYTES + b"x", "expected 1099511627776 bytes"),
    "a long bytearray": (b"\x96" + EIGHT_BYTES[1:] + b"x", "expected 1099511627776 bytes"),
    "a long text": (b"\x8d" + EIGHT_BYTES[1:] + b"x", "expected 1099511627776 bytes"),
    "a long number": (b"\x8b\xff\xff\xff\x7f1", "not enough data"),
    "a far place in the memo": (b"Nr\xff\xff\xff\xffj\1\0\0\0", "1"),
    "exponential growth": (laughs(60), "holds itself, or is nested too deeply"),
    "exponential growth at a depth that is allowed": (laughs(40), "holds itself"),
    "a list in itself": (b"]\x94h\0a", "holds itself"),
    "a dictionary in itself": (b"}\x94" + text("a") + b"h\0s", "holds itself"),
    "a hundred thousand levels": (b"]" * 100_000 + b"a" * 99_999, "nested too deeply"),
    "a long number as a key": (b"}\x8a\x09" + b"\1" * 9 + b"Ns", "a number of 65 bits for a key"),
    "a long number type": (array(b"K\1\x85", bytes(4), "f" * 10_000), "some of type <f"),
    "a tuple as a key": (b"})" + b"\x85" * 100_000 + b"Ns", "has a tuple for a key"),
    "a million instructions": (b"N0" * 600_000, "the instruction POP"),
    "two million instructions": (b"](" + b"N" * 2_000_000 + b"e", "more than 1000000 steps"),
    "nothing": (b"", "not enough values"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    content, message = HOSTILE[kind]
    (tmp_path / "w.pdparams").write_bytes(pickled(content))
    with pytest.raises(DataError, match=f"not weights that Paddle saved, .*{message}") as failure:
        read_pickle(tmp_path / "w.pdparams")
    assert str(failure.value).isprintable()
    assert len(str(failure.value)) < 500


MEGABYTE = b"\x8e" + struct.pack("<Q", 1 << 20) + bytes(1 << 20)
LATIN = b"X" + struct.pack("<I", 1 << 20) + bytes(1 << 20)


def numbered(value: bytes) -> bytes:
    """A dictionary of a thousand names, each of which gets the value anew."""
    return b"}(" + b"".join(text(f"w{i}") + value for i in range(1000)) + b"u"


def number_type(code: str, order: str) -> bytes:
    return named("numpy", "dtype") + text(code) + b"\x85R(N" + text(order) + b"tb"


def array_of_memo() -> bytes:
    """An array of the megabyte of bytes in place 0, the number type in place 1."""
    empty = named("numpy.core.multiarray", "_reconstruct") + b")R"
    return empty + b"(K\1" + b"J" + struct.pack("<i", 1 << 18) + b"\x85" + b"h\1\x89h\0tb"


def memo(*values: bytes) -> bytes:
    """Put values into the memo's places 0, 1, ...; a list of them stays on the stack."""
    return b"(" + b"".join(value + b"\x94" for value in values) + b"l"


PAIRS = b"(" + b"".join(text(f"{i}") + b"N\x86" for i in range(20_000)) + b"l"
MANY_NAMES = dict.fromkeys(map(str, range(1000)), np.zeros(1 << 18, np.float32))
BOMBS = {
    "one array under many names": pickle.dumps(MANY_NAMES)[2:-1],
    "copies of bytes with another byte order": memo(MEGABYTE, number_type("f4", ">"))
    + numbered(array_of_memo()),
    "copies of a bytearray": memo(b"\x96" + MEGABYTE[1:], number_type("f4", "<"))
    + numbered(array_of_memo()),
    "copies of a text": memo(LATIN, number_type("f4", "<")) + numbered(array_of_memo()),
    "encoded texts": memo(LATIN) + numbered(named("_codecs", "encode") + b"h\0\x85R"),
    "buffers": memo(b"\x96" + MEGABYTE[1:], number_type("f4", "<"))
    + numbered(
        named("numpy.core.numeric", "_frombuffer")
        + b"(h\0h\1J"
        + struct.pack("<i", 1 << 18)
        + b"\x85"
        + text("C")
        + b"tR"
    ),
    "dictionaries of one list": memo(PAIRS)
    + numbered(named("collections", "OrderedDict") + b"h\0\x85R"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_file_becomes_a_few_times_its_size(tmp_path: Path, kind: str) -> None:
    content = pickled(BOMBS[kind])
    (tmp_path / "w.pdparams").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match="would become more than 4 times as many"):
        read_weights(tmp_path / "w.pdparams")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * len(content) + (8 << 20)


BYTES_MADE = {
    "of a number": b"J" + struct.pack("<i", 1 << 30) + b"\x85R",
    "of a text and a codec": text("a") + text("utf-16") + b"\x86R",
    "of a list": b"]\x85R",
}


@pytest.mark.parametrize("kind", BYTES_MADE)
def test_bytes_makes_nothing_but_an_empty_one(tmp_path: Path, kind: str) -> None:
    content = pickled(b"}" + text("a") + named("__builtin__", "bytes") + BYTES_MADE[kind] + b"s")
    (tmp_path / "w.pdparams").write_bytes(content)
    with pytest.raises(DataError, match="it asks for bytes of something"):
        read_pickle(tmp_path / "w.pdparams")


def test_the_instructions_of_the_tests_above_build_an_array(tmp_path: Path) -> None:
    values = np.arange(2, dtype=">f4")
    content = array(b"K\2\x85", values.tobytes(), order=">")
    (tmp_path / "w.pdparams").write_bytes(pickled(content))
    np.testing.assert_array_equal(read_pickle(tmp_path / "w.pdparams"), [0, 1])


def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": np.ones(3, np.float32)}, 4)
    for length in range(1, len(whole)):
        (tmp_path / "w.pdparams").write_bytes(whole[:length])
        with pytest.raises(DataError, match="not weights that Paddle saved, or damaged"):
            read_weights(tmp_path / "w.pdparams")


def test_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    """Protocol 2, and texts where Python 3 has bytes, as the first Paddle wrote its weights."""
    numbers = np.array([1, -2], "<f4").tobytes()
    content = (
        b"\x80\2}U\1acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R"
        b"(K\1K\2\x85cnumpy\ndtype\nU\2f4K\0K\1\x87R(K\3U\1<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\0tb\x89U\10" + numbers + b"tbs."
    )
    assert pickle.loads(content, encoding="latin1")["a"].tolist() == [1, -2]
    (tmp_path / "w.pdparams").write_bytes(content)
    assert read_weights(tmp_path / "w.pdparams")["a"].tolist() == [1, -2]


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_tensors_in_nested_dictionaries_come_as_arrays(tmp_path: Path, protocol: int) -> None:
    content = {"step": 3, "slots": {"w": paddle.full([2], 0.5)}, "rest": [paddle.ones([1]), None]}
    paddle.save(content, str(tmp_path / "a.pdopt"), protocol=protocol)
    read = read_pickle(tmp_path / "a.pdopt")
    assert read["step"] == 3
    assert read["slots"]["w"].tolist() == [0.5, 0.5]
    assert read["rest"][0].tolist() == [1]


@pytest.mark.parametrize("protocol", range(6))
def test_empty_and_column_wise_arrays(tmp_path: Path, protocol: int) -> None:
    weights = {"a": np.zeros((0, 3)), "b": np.asfortranarray(np.arange(6).reshape(2, 3))}
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(weights, protocol))
    read = read_weights(tmp_path / "w.pdparams")
    assert read["a"].shape == (0, 3)
    np.testing.assert_array_equal(read["b"], weights["b"])
