"""Weights: what is fetched, unpacked, read and refused; nothing in a file is ever called."""

from __future__ import annotations

import bz2
import email.message
import gzip
import hashlib
import io
import json
import lzma
import os
import pickle
import struct
import tarfile
import urllib.request
import urllib.response
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import safetensors.numpy
import safetensors.paddle

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights import download
from panoptic_deeplab.weights.download import local_weights, read_url
from panoptic_deeplab.weights.loading import (
    LoadReport,
    Misfit,
    load_weights,
    read_weights,
)
from panoptic_deeplab.weights.plain_pickle import read_pickle
from panoptic_deeplab.weights.pretrained import load_pretrained


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


def test_what_paddle_saves_is_read(tmp_path: Path) -> None:
    layer = paddle.nn.Linear(2, 3)
    paddle.save(layer.state_dict(), str(tmp_path / "model.pdparams"))
    other = paddle.nn.Linear(2, 3)
    load_weights(other, tmp_path)
    np.testing.assert_array_equal(other.weight.numpy(), layer.weight.numpy())


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


DAMAGED = {
    "truncated": pickle.dumps({"a": np.ones(100)})[:80],
    "empty": b"",
    "text": b"hello",
    "zip": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    (tmp_path / "w.pdparams").write_bytes(DAMAGED[kind])
    with pytest.raises(DataError, match="not weights that Paddle saved, or damaged") as failure:
        read_weights(tmp_path / "w.pdparams")
    assert "\n" not in str(failure.value)


OTHER_CONTENT = {
    "a list": ([1, 2], "expected named weights, got list"),
    "no array": ({"a": "b"}, "expected named arrays of numbers, got str for 'a'"),
    "objects": ({"a": np.array([None])}, "expected named arrays of numbers"),
    "nothing": ({}, "holds no weights"),
}


@pytest.mark.parametrize("kind", OTHER_CONTENT)
def test_other_content(tmp_path: Path, kind: str) -> None:
    content, message = OTHER_CONTENT[kind]
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        read_weights(tmp_path / "w.pdparams")


def test_weights_of_another_network_are_listed(tmp_path: Path) -> None:
    layer = paddle.nn.Linear(2, 3)
    before = layer.weight.numpy()
    (tmp_path / "w.pdparams").write_bytes(
        pickle.dumps({"weight": np.ones((3, 2), np.float32), "scale": np.ones(1, np.float32)})
    )
    with pytest.raises(DataError) as failure:
        load_weights(layer, tmp_path / "w.pdparams")
    for part in (
        "1 missing (bias)",
        "1 not of this network (scale)",
        "1 of another shape (weight [3, 2] -> [2, 3])",
    ):
        assert part in str(failure.value)
    np.testing.assert_array_equal(layer.weight.numpy(), before)


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


def test_the_instructions_of_the_tests_above_build_an_array(tmp_path: Path) -> None:
    values = np.arange(2, dtype=">f4")
    content = array(b"K\2\x85", values.tobytes(), order=">")
    (tmp_path / "w.pdparams").write_bytes(pickled(content))
    np.testing.assert_array_equal(read_pickle(tmp_path / "w.pdparams"), [0, 1])


def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": np.ones(3, np.float32)}, 4)
    for length in range(len(whole)):
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


@pytest.mark.parametrize("name", ["w.pdparams", "w.safetensors"])
def test_bfloat16_goes_to_disk_and_back(tmp_path: Path, name: str) -> None:
    layer = paddle.nn.Linear(2, 3)
    layer.to(dtype="bfloat16")
    save = paddle.save if name.endswith("pdparams") else safetensors.paddle.save_file
    save(layer.state_dict(), str(tmp_path / name))
    assert read_weights(tmp_path / name)["weight"].dtype == np.float32
    for dtype in ("bfloat16", "float32"):
        other = paddle.nn.Linear(2, 3)
        other.to(dtype=dtype)
        load_weights(other, tmp_path / name)
        assert (other.weight.astype("float32") == layer.weight.astype("float32")).all()


def test_safetensors_of_other_programs(tmp_path: Path) -> None:
    header = json.dumps({
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [4, 12]},
    }).encode()  # fmt: skip
    data = bytes([0x80, 0x3F, 0, 0xC0]) + (7).to_bytes(8, "little")
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    read = read_weights(tmp_path)
    assert (read["a"].tolist(), read["b"].tolist()) == ([[1, -2]], 7)


def test_damaged_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file({"a": np.ones((2, 3), np.float32)}, path)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_weights(path)["a"], np.ones((2, 3)))
    broken = [whole[:length] for length in range(len(whole))]
    broken += [
        b"\xff" * 8 + whole[8:],
        whole.replace(b"F32", b"F99"),
        whole.replace(b"[2,3]", b"[9,9]"),
    ]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=r"w\.safetensors: not safetensors, or damaged"
        ) as failure:
            read_weights(path)
        assert str(failure.value).isprintable()


def test_partial_loading_says_what_did_not_fit(tmp_path: Path) -> None:
    layer = paddle.nn.Sequential(paddle.nn.Linear(2, 3), paddle.nn.Linear(3, 4))
    kept = layer[1].weight.numpy()
    weights = {"0.weight": np.ones((2, 3)), "1.weight": np.ones((3, 5)), "2.bias": np.ones(3)}
    paddle.save(weights, str(tmp_path / "w.pdparams"))
    report = load_weights(layer, tmp_path / "w.pdparams", partial=True)
    assert report == LoadReport(
        loaded=("0.weight",),
        missing=("0.bias", "1.bias"),
        extra=("2.bias",),
        misshapen=(Misfit("1.weight", (3, 5), (3, 4)),),
    )
    assert str(report) == (
        "1 weights loaded; 2 missing (0.bias, 1.bias); 1 not of this network (2.bias); "
        "1 of another shape (1.weight [3, 5] -> [3, 4])"
    )
    np.testing.assert_array_equal(layer[0].weight.numpy(), np.ones((2, 3)))
    np.testing.assert_array_equal(layer[1].weight.numpy(), kept)
    with pytest.raises(DataError, match="no weight fits: 2 missing"):
        load_weights(paddle.nn.Linear(7, 7), tmp_path / "w.pdparams", partial=True)


def test_pretrained_weights_of_another_network(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paddle.save({"weight": np.ones((2, 3))}, str(tmp_path / "w.pdparams"))
    layer = paddle.nn.Linear(2, 3)
    with pytest.raises(DataError, match=r"1 missing \(bias\); .*: --allow_partial"):
        load_pretrained(layer, {"": str(tmp_path / "w.pdparams")})
    with caplog.at_level("INFO", "panoptic_deeplab"):
        load_pretrained(layer, {"": str(tmp_path / "w.pdparams")}, partial=True)
    assert "1 weights loaded; 1 missing (bias)" in caplog.text
    np.testing.assert_array_equal(layer.weight.numpy(), np.ones((2, 3)))


@pytest.mark.parametrize("suffix", [".pdparams", ".safetensors"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"w{suffix}")
    with pytest.raises(DataError, match="expected a file, got a pipe or device"):
        read_weights(tmp_path / f"w{suffix}")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model\.pdparams: no such file"):
        read_weights(tmp_path)


WEIGHTS = pickle.dumps({"a": np.arange(300, dtype=np.float32)}, 4)
URL = "https://example.test/w.pdparams"

Response = tuple[int, dict[str, str], bytes]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Response]:
    """URL -> (status, headers, content) of a server that the whole of urllib believes in."""
    responses: dict[str, Response] = {}

    def respond(handler: object, request: urllib.request.Request) -> urllib.response.addinfourl:
        status, headers, content = responses[request.full_url]
        message = email.message.Message()
        for name, value in headers.items():
            message[name] = value
        response = urllib.response.addinfourl(
            io.BytesIO(content), message, request.full_url, status
        )
        response.msg = "whatever"
        return response

    monkeypatch.setattr(urllib.request.HTTPSHandler, "https_open", respond)
    monkeypatch.setenv("PANOPTIC_DEEPLAB_CACHE", str(tmp_path / "cache"))
    return responses


def cached(tmp_path: Path) -> list[str]:
    """Names of all files in the cache, temporary ones too."""
    return sorted(path.name for path in (tmp_path / "cache").rglob("*"))


def tarred(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), kind
            info.linkname = "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(*members: tuple[str, bytes], mode: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return file.getvalue()


def test_a_file_is_fetched_once(server: dict[str, Response]) -> None:
    server[URL] = 200, {"Content-Length": str(len(WEIGHTS))}, WEIGHTS
    path = local_weights(URL, "")
    assert path.read_bytes() == WEIGHTS
    assert path.name.endswith("-w.pdparams")
    server.clear()
    assert local_weights(URL, "") == path


def test_content_that_is_not_kept_is_fetched_anew(
    server: dict[str, Response], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (b"first", b"second"):
        server[URL] = 200, {}, content
        assert read_url(URL, "look at it") == content
    assert not list(tmp_path.rglob("*.pdparams"))
    monkeypatch.setattr(download, "MAX_BYTES_IN_MEMORY", 3)
    with pytest.raises(DataError, match=r"cannot be downloaded \(larger than 0 MB\); look at it"):
        read_url(URL, "look at it")


def test_files_of_one_name_on_two_servers_are_two(server: dict[str, Response]) -> None:
    other = URL.replace("example", "other")
    server[URL], server[other] = (200, {}, WEIGHTS), (200, {}, b"others")
    assert local_weights(URL, "").read_bytes() == WEIGHTS
    assert local_weights(other, "").read_bytes() == b"others"


@pytest.mark.parametrize("name", ["..", "%2e%2e", "", "a b\n.pdparams", "x" * 400])
def test_odd_names_stay_in_the_cache(
    server: dict[str, Response], tmp_path: Path, name: str
) -> None:
    server[URL] = 200, {}, WEIGHTS
    url = f"https://example.test/d/{name}"
    target = tmp_path / "cache" / download._cache_name(url)
    assert target.resolve().parent == (tmp_path / "cache").resolve()
    assert len(target.name) < 200
    assert target.name.isprintable()


def test_checksums(server: dict[str, Response], tmp_path: Path) -> None:
    server[URL] = 200, {}, WEIGHTS
    right = hashlib.sha256(WEIGHTS).hexdigest()
    with pytest.raises(DataError, match=rf"has the checksum sha256={right}, not the expected"):
        local_weights(f"{URL}#sha256={'0' * 64}", "")
    with pytest.raises(DataError, match="behind # only sha256="):
        local_weights(f"{URL}#md5=12", "")
    assert cached(tmp_path) == []
    assert local_weights(f"{URL}#sha256={right.upper()}", "").read_bytes() == WEIGHTS


def test_redirects_to_https_only(server: dict[str, Response], tmp_path: Path) -> None:
    server["https://other.test/w"] = 200, {}, WEIGHTS
    server[URL] = 302, {"Location": "https://other.test/w"}, b""
    assert local_weights(URL, "").read_bytes() == WEIGHTS
    for target in ("http://127.0.0.1:9/w", "file:///etc/passwd", "ftp://127.0.0.1/w"):
        (tmp_path / "cache" / download._cache_name(URL)).unlink(missing_ok=True)
        server[URL] = 302, {"Location": target}, b""
        with pytest.raises(DataError, match=r"cannot be downloaded \(.*; way out") as failure:
            local_weights(URL, "way out")
        assert "root:" not in str(failure.value)
        assert cached(tmp_path) == []


@pytest.mark.parametrize("scheme", ["http", "ftp", "file", "HTTP"])
def test_https_only(scheme: str) -> None:
    with pytest.raises(DataError, match=f"only https is fetched, not {scheme.lower()}"):
        local_weights(f"{scheme}://localhost/w.pdparams", "set it to null")


FAILURES: dict[str, tuple[Response, str]] = {
    "not there": ((404, {}, b""), "whatever"),
    "broken off": (
        (200, {"Content-Length": "9999"}, WEIGHTS),
        f"{len(WEIGHTS)} of 9999 bytes came",
    ),
    "announced too large": ((200, {"Content-Length": "99999999"}, WEIGHTS), "larger than 0 MB"),
    "too large": ((200, {}, WEIGHTS * 20), "larger than 0 MB"),
    "a length that is none": ((200, {"Content-Length": "x"}, WEIGHTS), "invalid literal"),
    "round and round": ((302, {"Location": URL}, b""), "redirect"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_failures_leave_nothing_behind(
    server: dict[str, Response], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 10 * len(WEIGHTS))
    server[URL], message = FAILURES[kind]
    with pytest.raises(DataError, match=rf"cannot be downloaded \(.*{message}.*way out") as failure:
        local_weights(URL, "way out")
    assert "\n" not in str(failure.value)
    assert cached(tmp_path) == []


def test_a_server_that_drips_is_given_up(
    server: dict[str, Response], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_SECONDS", -1)
    server[URL] = 200, {}, WEIGHTS
    with pytest.raises(DataError, match="not done after -1 seconds"):
        local_weights(URL, "")
    assert cached(tmp_path) == []


def test_an_unreachable_server_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANOPTIC_DEEPLAB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"cannot be downloaded .*; set it to null"):
        local_weights("https://localhost:9/w.pdparams", "set it to null")
    assert cached(tmp_path) == []


def test_a_cache_that_cannot_be_written(
    server: dict[str, Response], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PANOPTIC_DEEPLAB_CACHE", str(tmp_path / "file"))
    server[URL] = 200, {}, WEIGHTS
    with pytest.raises(DataError, match="cannot be downloaded"):
        local_weights(URL, "")


def test_a_local_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent: no such weights file; set it to null"):
        local_weights(str(tmp_path / "absent"), "set it to null")


MEMBERS = [("model/readme.txt", b"hello"), ("../../model.pdparams", WEIGHTS)]
ARCHIVES: dict[str, Callable[[], bytes]] = {
    "tar": lambda: tarred(*MEMBERS),
    "tar.gz": lambda: gzip.compress(tarred(*MEMBERS)),
    "tar.bz2": lambda: bz2.compress(tarred(*MEMBERS)),
    "tar.xz": lambda: lzma.compress(tarred(*MEMBERS)),
    "zip": lambda: zipped(*MEMBERS),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_are_unpacked_beside_themselves(
    server: dict[str, Response], tmp_path: Path, kind: str
) -> None:
    url = f"https://example.test/w.{kind}"
    server[url] = 200, {}, ARCHIVES[kind]()
    path = local_weights(url, "")
    assert path.parent == tmp_path / "cache"
    assert len(read_weights(path)["a"]) == 300
    assert not (tmp_path.parent / "model.pdparams").exists()
    server.clear()
    assert local_weights(url, "") == path


TWO = [("a.pdparams", WEIGHTS), ("b.pdparams", WEIGHTS)]
BOMB = bytes(30 * len(WEIGHTS))
BAD_ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "two in a tar": (lambda: tarred(*TWO), "expected one .pdparams file in it, got 2"),
    "two in a zip": (lambda: zipped(*TWO), "expected one .pdparams file in it, got 2"),
    "none": (lambda: gzip.compress(tarred(("a.txt", WEIGHTS))), "got 0"),
    "a symbolic link": (lambda: tarred(("a.pdparams", b""), kind=tarfile.SYMTYPE), "got 0"),
    "a hard link": (lambda: tarred(("a.pdparams", b""), kind=tarfile.LNKTYPE), "got 0"),
    "a device": (lambda: tarred(("a.pdparams", b""), kind=tarfile.CHRTYPE), "got 0"),
    "a link in a zip": (lambda: zipped(("a.pdparams", b"/etc/passwd"), mode=0o120777), "got 0"),
    "a bomb in a tar": (
        lambda: gzip.compress(tarred(("a.pdparams", BOMB))),
        "unpacks to more than",
    ),
    "a bomb beside it": (
        lambda: lzma.compress(tarred(("a", BOMB), *MEMBERS)),
        "unpacks to more than",
    ),
    "a bomb in a zip": (lambda: zipped(("a.pdparams", BOMB)), "unpacks to more than"),
    "a cut tar": (lambda: gzip.compress(tarred(*MEMBERS))[:-200], "cannot be used"),
    "a cut zip": (lambda: zipped(*MEMBERS)[:-30], "cannot be used"),
    "no tar": (lambda: gzip.compress(b"hello" * 300), "cannot be used"),
    "a broken xz": (lambda: lzma.compress(tarred(*MEMBERS))[:40] + bytes(99), "cannot be used"),
}


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_bad_archives(
    server: dict[str, Response], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    make, message = BAD_ARCHIVES[kind]
    server[URL] = 200, {}, make()
    monkeypatch.setattr(download, "MAX_BYTES", 20 * len(WEIGHTS))
    with pytest.raises(DataError, match=r"this archive cannot be used.*delete it") as failure:
        local_weights(URL, "")
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)
    assert cached(tmp_path) == [download._cache_name(URL)]


def test_two_processes_may_fetch_at_once(
    server: dict[str, Response], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the one saves, the other saves the same: both end with the whole file."""
    server[URL] = 200, {}, WEIGHTS
    save, inner = download._save, []

    def save_while_another_does(*arguments: object, **options: object) -> str:
        if not inner:
            inner.append(None)
            inner[0] = local_weights(URL, "")
        return save(*arguments, **options)

    monkeypatch.setattr(download, "_save", save_while_another_does)
    assert local_weights(URL, "") == inner[0]
    assert inner[0].read_bytes() == WEIGHTS
    assert cached(tmp_path) == [inner[0].name]
    assert os.stat(inner[0]).st_mode & 0o400
