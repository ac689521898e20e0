"""Downloads: https only, bounded, checked, cached; hostile servers and archives are refused."""

from __future__ import annotations

import bz2
import email.message
import gzip
import hashlib
import io
import lzma
import pickle
import subprocess
import sys
import tarfile
import time
import urllib.request
import urllib.response
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights import download, local_weights, read_url, read_weights

WEIGHTS = pickle.dumps({"a": np.arange(300, dtype=np.float32)}, 4)
URL = "https://example.test/w.pdparams"

Response = tuple[int, dict[str, str], bytes]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Response]:
    """URL -> (status, headers, content) of a simulated server below urllib."""
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
    """Names of all files in the cache, temporary ones too, without the recorded checksums."""
    names = (path.name for path in (tmp_path / "cache").rglob("*"))
    return sorted(name for name in names if not name.endswith(".sha256"))


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
    for wrong in ("md5=12", "sha256=1234567", f"sha256={right}0", "sha256="):
        with pytest.raises(DataError, match="behind # only sha256= or sha512="):
            local_weights(f"{URL}#{wrong}", "")
    assert cached(tmp_path) == []
    for known in (right.upper(), right[:8]):  # the first digits, as in names of PyTorch's files
        assert local_weights(f"{URL}#sha256={known}", "").read_bytes() == WEIGHTS
    longer = hashlib.sha512(WEIGHTS).hexdigest()
    assert local_weights(f"{URL}#sha512={longer}", "").read_bytes() == WEIGHTS
    with pytest.raises(DataError, match=rf"has the checksum sha512={longer}, not the expected"):
        local_weights(f"{URL}#sha512={'0' * 128}", "")


def test_the_first_download_is_held_to(server: dict[str, Response], tmp_path: Path) -> None:
    server[URL] = 200, {}, WEIGHTS
    path = local_weights(URL, "")
    record = path.with_name(path.name + ".sha256")
    assert record.read_text() == f"{hashlib.sha256(WEIGHTS).hexdigest()}  {path.name}\n"

    path.write_bytes(WEIGHTS[:-1] + b"x")
    with pytest.raises(DataError, match=r"has changed since it was downloaded .*; delete it to"):
        local_weights(URL, "")
    path.unlink()
    server[URL] = 200, {}, WEIGHTS + b"x"
    with pytest.raises(DataError, match=rf"the first download had .*delete {record}"):
        local_weights(URL, "")
    assert cached(tmp_path) == []
    record.unlink()
    assert local_weights(URL, "").read_bytes() == WEIGHTS + b"x"


NO_WEIGHTS = {
    "a page": (b"\n <!DOCTYPE html><html>Sign in</html>", "it is an HTML page"),
    "a message": (b'{"error": "quota"}', 'it is a server\'s message: {"error": "quota"}'),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of git-lfs"),
    "nothing": (b"", "it is empty"),
}


@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_what_comes_in_place_of_weights_is_not_kept(
    server: dict[str, Response], tmp_path: Path, kind: str
) -> None:
    content, message = NO_WEIGHTS[kind]
    server[URL] = 200, {"ETag": '"1"'}, content
    with pytest.raises(DataError, match="cannot be downloaded") as failure:
        local_weights(URL, "")
    assert message in str(failure.value)
    assert cached(tmp_path) == []


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
    "two in a tar": (lambda: tarred(*TWO), "expected one .pdparams or .pth file in it, got 2"),
    "two in a zip": (lambda: zipped(*TWO), "expected one .pdparams or .pth file in it, got 2"),
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


def test_two_threads_fetch_a_file_once(
    server: dict[str, Response], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server[URL] = 200, {}, WEIGHTS
    save, downloads = download._save, []

    def save_slowly(*arguments: object, **options: object) -> None:
        downloads.append(arguments)
        time.sleep(0.2)
        save(*arguments, **options)

    monkeypatch.setattr(download, "_save", save_slowly)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: local_weights(URL, ""), range(2))
    assert first == second
    assert first.read_bytes() == WEIGHTS
    assert len(downloads) == 1
    assert cached(tmp_path) == [first.name]


def test_a_process_waits_for_another_that_fetches_the_same(
    server: dict[str, Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other holds the lock and ends as soon as this one waits for it."""
    server[URL] = 200, {}, WEIGHTS
    path = download.cached_path(URL)
    path.parent.mkdir()
    script = (
        "import sys, time\n"
        "from panoptic_deeplab.folder_lock import claimed\n"
        "with claimed(sys.argv[1], 'download', sys.argv[2]):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(path.parent), f".lock.{path.name}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        waits = []

        def let_the_other_end(seconds: float) -> None:
            waits.append(seconds)
            other.communicate()

        monkeypatch.setattr(download.time, "sleep", let_the_other_end)
        assert local_weights(URL, "").read_bytes() == WEIGHTS
    assert waits == [download._WAIT_SECONDS]


PAGES = {
    "https://host.test/w.pdparams": (b"<!DOCTYPE html><title>Sign in", r"it is an HTML page"),
    "https://host.test/a/blob/main/w.pdparams": (b"<html>", r"take .* /raw/ or /resolve/"),
    "https://host.test/raw/w.pdparams": (b"version https://git-lfs.github.com", "of git-lfs"),
    "https://host.test/empty.pdparams": (b"", "it is empty"),
}


@pytest.mark.parametrize("url", PAGES)
def test_a_page_in_place_of_a_file_is_not_kept(
    server: dict[str, Response], tmp_path: Path, url: str
) -> None:
    content, message = PAGES[url]
    server[url] = (200, {}, content)
    with pytest.raises(DataError, match=rf"{url}: cannot be downloaded \(.*{message}"):
        local_weights(url, "hint")
    assert cached(tmp_path) == []


def test_a_checkpoint_of_pytorch_is_told_as_such(server: dict[str, Response]) -> None:
    url = "https://host.test/w.pth"
    server[url] = (200, {}, zipped(("w/data.pkl", b"\x80\2}.")))
    with pytest.raises(DataError, match="is a checkpoint of PyTorch"):
        read_weights(local_weights(url, "hint"))
