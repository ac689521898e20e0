"""Files from the web: https only, of bounded size, kept in a cache, resumed if broken off."""

from __future__ import annotations

import bz2
import glob
import gzip
import hashlib
import http.client
import lzma
import os
import re
import stat
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from panoptic_deeplab.addresses import hide_secrets, split_login, without_secrets
from panoptic_deeplab.errors import DataError, UsageError, one_line, reason_of
from panoptic_deeplab.file_kinds import mistaken_for
from panoptic_deeplab.files import replacing
from panoptic_deeplab.folder_lock import claimed
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.weights.kinds import ZIP_START, head_of, is_torch

TIMEOUT_SECONDS = 30
"""Longest silence of a server."""
MAX_SECONDS = 3600
"""Longest download, and longest wait for another process that fetches the same."""
MAX_BYTES = 2 << 30
"""Largest download, and largest content of an archive."""
MAX_BYTES_IN_MEMORY = 256 << 20
"""Largest download that is not kept in a file."""
CACHE_VARIABLE = "PANOPTIC_DEEPLAB_CACHE"
"""Environment variable that moves the folder of downloads."""
MIRROR_VARIABLE = "PANOPTIC_DEEPLAB_MIRROR"
"""Environment variable with the address of a mirror, which has `HOST/PATH` of each https URL."""

_BLOCK = 1 << 20
_SUFFIXES = (".pdparams", ".pth")
"""Of weights in an archive."""
_UNPACKED_SUFFIX = ".weights"
_RECORD_SUFFIX = ".sha256"
_PART_SUFFIX = ".part"
_WAIT_SECONDS = 0.5


def local_weights(source: str, hint: str) -> Path:
    """Return the weights file behind a path or a URL, which is fetched once.

    The checksum of the first download is recorded in the cache and held to from then on. A
    download that broke off is resumed by the next call if the server can tell that its file is the
    same.

    Args:
        source: a file, or the https URL of a weights file or of a tar or zip archive with one
            `.pdparams` or `.pth` file in it. A URL may end in `#sha256=` or `#sha512=` and the
            checksum of its content, or at least the first 8 digits.
        hint: what the user can do if that fails, for the message.

    Raises:
        DataError: there is no such file, the URL cannot be fetched or has another checksum, a web
            page comes in place of weights, the cached file has changed, or the archive holds no
            weights or is too large.
    """
    if "://" not in source:
        if not Path(source).is_file():
            raise DataError(f"{source}: no such weights file; {hint}")
        return Path(source)
    return unpacked(fetched_file(source, hint))


def fetched_file(source: str, hint: str) -> Path:
    """Return the file of a URL as it came, fetched once, as `local_weights` does.

    Raises:
        DataError: it cannot be fetched, has another checksum, or the cached file has changed.
    """
    with _describing_failures(source, hint):
        fetched = _fetch(source)
    _check_record(fetched)
    return fetched


def read_url(source: str, hint: str) -> bytes:
    """Return the content of an https URL, under the same limits; no copy is kept.

    Raises:
        DataError: it cannot be fetched; the message ends with `hint`.
    """
    with _describing_failures(source, hint), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "content"
        url, checksum = _parsed(source)
        _save(Download(_open(url), path, 0), title=_title(url))
        _check_checksum(path, checksum)
        if path.stat().st_size > MAX_BYTES_IN_MEMORY:
            raise ValueError(f"larger than {MAX_BYTES_IN_MEMORY >> 20} MB")
        return path.read_bytes()


def cache_folder() -> Path:
    """Return the folder of downloads: $PANOPTIC_DEEPLAB_CACHE or ~/.cache/panoptic_deeplab."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen or os.path.expanduser("~/.cache/panoptic_deeplab"))


def cached_path(source: str) -> Path:
    """Return where the content of a URL is kept, whether it is there or not."""
    return cache_folder() / _cache_name(source)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    return checksum_of(path, "sha256")


def checksum_of(path: Path, algorithm: str) -> str:
    """Return the checksum of a file by an algorithm of `hashlib`, in hexadecimal digits."""
    checksum = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            checksum.update(block)
    return checksum.hexdigest()


@contextmanager
def _describing_failures(source: str, hint: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = one_line(str(getattr(error, "reason", error))) or type(error).__name__
        shown = without_secrets(source.partition("#")[0])
        raise DataError(
            f"{shown}: cannot be downloaded ({hide_secrets(reason, source)}); {hint}"
        ) from None  # its cause would tell what is secret in the address


def _fetch(source: str) -> Path:
    """Return the file of a URL, from the cache if it is there."""
    url, checksum = _parsed(source)
    path = cached_path(source)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        if not path.exists():  # another process may have fetched it meanwhile
            _download(url, checksum, path)
    return path


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one thread of one process fetch a file; the others wait, and then find it."""
    with _THREADS:
        started = time.monotonic()
        while True:
            try:
                with claimed(path.parent, "download", f".lock.{path.name}"):
                    yield
                return
            except UsageError as error:  # another process holds it
                if time.monotonic() - started > MAX_SECONDS:
                    raise ValueError(str(error)) from error
            time.sleep(_WAIT_SECONDS)


_THREADS = threading.Lock()


def _download(url: str, checksum: str, path: Path) -> None:
    """Write the content of a URL to `path`, and its checksum beside it.

    What came of a download that broke off stays in a file beside `path`, if the server tells the
    version of its file, by which the next call knows whether it can go on there.
    """
    download = _continued(url, path)
    try:
        _save(download, title=_title(url))
    except BaseException:
        if not download.version:
            download.part.unlink(missing_ok=True)
        raise
    try:
        _refuse_page(download.part, url)
        _check_checksum(download.part, checksum)
        _check_record(path, download.part)
        with replacing(_record(path)) as record:
            record.write_text(f"{sha256_of(download.part)}  {path.name}\n")
        os.replace(download.part, path)
    finally:
        download.part.unlink(missing_ok=True)


def _title(url: str) -> str:
    """'model.pdparams from host', for people."""
    parts = urllib.parse.urlsplit(url)
    return one_line(f"{parts.path.rpartition('/')[2] or 'a file'} from {parts.hostname}")


class Download(NamedTuple):
    """A response and the file that it goes to.

    Attributes:
        response: from the server.
        part: the file.
        start: how much of the content is in the file already.
        version: what tells this content from another of the same URL; '' where nothing does.
    """

    response: http.client.HTTPResponse
    part: Path
    start: int
    version: str = ""


def _continued(url: str, path: Path) -> Download:
    """Open the URL behind what an earlier download left, or else from its beginning."""
    for part in path.parent.glob(f"{glob.escape(path.name)}.*{_PART_SUFFIX}"):
        download = _opened(url, path, part.stat().st_size)
        if download is not None and download.part == part and download.version:
            return download
        part.unlink()  # of another version, or the server cannot go on
    return _opened(url, path, 0)


def _opened(url: str, path: Path, start: int) -> Download | None:
    """Open the URL from a byte on; None where the server does not give it from there."""
    try:
        response = _open(url, start)
    except urllib.error.HTTPError as error:
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise
    described = response.headers.get("Content-Range") or ""
    if start and not described.startswith(f"bytes {start}-"):
        response.close()
        return None
    version = _version(response, start)
    name = hashlib.sha256(version.encode()).hexdigest()[:16]
    return Download(response, path.with_name(f"{path.name}.{name}{_PART_SUFFIX}"), start, version)


def _version(response: http.client.HTTPResponse, start: int) -> str:
    """Return what the server tells of the content's version, with its length; '' for nothing."""
    tag = response.headers.get("ETag") or ""
    if not tag or tag.startswith("W/"):  # a weak one, which says nothing about the bytes
        tag = response.headers.get("Last-Modified") or ""
    return f"{tag} {start + _expected_length(response)}" if tag else ""


def _expected_length(response: http.client.HTTPResponse) -> int:
    """Return the number of bytes that the server promises, 0 if it does not say."""
    return int(response.headers.get("Content-Length") or 0)


def _open(url: str, start: int = 0) -> http.client.HTTPResponse:
    headers = {"Range": f"bytes={start}-"} if start else {}
    address, authorization = split_login(_mirrored(url))
    request = urllib.request.Request(address, headers=headers)
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    return _OPENER.open(request, timeout=TIMEOUT_SECONDS)


def _mirrored(url: str) -> str:
    """Return the address of a URL at the mirror, if there is one."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return url
    parts = urllib.parse.urlsplit(mirror)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _THIS_MACHINE):
        raise ValueError(f"{MIRROR_VARIABLE}: expected an https URL, got {mirror:.200}")
    return f"{mirror.rstrip('/')}/{url.partition('://')[2]}"


_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
"""Hosts of a mirror to which nothing travels over a network, so that http will do."""


def _parsed(source: str) -> tuple[str, str]:
    """Return the URL and the `ALGORITHM=DIGITS` behind its #, '' where there is none."""
    url, _, fragment = source.partition("#")
    _check_scheme(url)
    if fragment and not re.fullmatch(_CHECKSUM, fragment):
        raise ValueError(
            "behind # only sha256= or sha512= and 8 or more hexadecimal digits can stand"
        )
    return url, fragment.lower()


_CHECKSUM = "sha256=[0-9a-fA-F]{8,64}|sha512=[0-9a-fA-F]{8,128}"


def _check_scheme(url: str) -> None:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme != "https":
        raise ValueError(f"only https is fetched, not {scheme}")


def _check_checksum(path: Path, expected: str) -> None:
    algorithm, _, digits = expected.partition("=")
    checksum = checksum_of(path, algorithm or "sha256")
    if not checksum.startswith(digits):
        raise ValueError(f"it has the checksum {algorithm}={checksum}, not the expected {digits}")


def _record(path: Path) -> Path:
    """Return the file with the checksum of a download, in the form of sha256sum."""
    return path.with_name(path.name + _RECORD_SUFFIX)


def _check_record(path: Path, content: Path | None = None) -> None:
    """Compare a file with the checksum of its first download, if that was recorded.

    Args:
        path: of the file in the cache.
        content: a new download of it, to compare in its place.
    """
    record = _record(path)
    if not record.is_file():
        return
    recorded, checksum = record.read_text("utf-8", "replace")[:64], sha256_of(content or path)
    if checksum == recorded:
        return
    if content is None:
        raise DataError(
            f"{path}: has changed since it was downloaded (sha256={checksum}, expected "
            f"{recorded}); delete it to fetch it again"
        )
    raise ValueError(
        f"it has the checksum sha256={checksum}, the first download had {recorded}; if the change "
        f"is meant, delete {record}"
    )


def _refuse_page(path: Path, url: str) -> None:
    """Refuse what a server sent in place of a file, so that it is not kept."""
    head = head_of(path)
    is_archive = is_torch(head) or _members_reader(path) is not None
    found = "" if is_archive else mistaken_for(head)
    if head.startswith(b"{"):
        found = f"it is a server's message: {one_line(head[:80].decode('utf-8', 'replace'))}"
    if found:
        hint = "; of a page's address take the one of the file: /raw/ or /resolve/, not /blob/"
        raise ValueError(f"{found}{hint if '/blob/' in url else ''}")


def _cache_name(source: str) -> str:
    """Return a file name that is unique to a URL and its checksum."""
    name = re.sub(r"[^\w.-]", "_", Path(urllib.parse.urlsplit(source).path).name, flags=re.ASCII)
    return f"{hashlib.sha256(source.encode()).hexdigest()[:16]}-{name[-100:]}"


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to https only; urllib alone accepts http and ftp too."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        _check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_HttpsRedirects)


def _save(download: Download, title: str) -> None:
    """Write a response behind what its file has of the content.

    Raises:
        ValueError: it is too large, takes too long or breaks off.
    """
    response, path, size, _ = download
    promised = _expected_length(response)
    expected = size + promised if promised else 0
    started = time.monotonic()
    with (
        response,
        open(path, "ab") as file,
        progress_bar(title=title, total=expected // _BLOCK, unit="MB") as bar,
    ):
        while block := response.read1(_BLOCK):  # read() would wait for a whole block
            size += len(block)
            if max(size, expected) > MAX_BYTES:
                path.unlink()
                raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
            if time.monotonic() - started > MAX_SECONDS:
                raise ValueError(f"not done after {MAX_SECONDS} seconds")
            file.write(block)
            bar.update(size // _BLOCK - bar.n)
    if expected and size != expected:
        raise ValueError(f"{size} of {expected} bytes came")


def unpacked(path: Path) -> Path:
    """Return the file itself or, for an archive, its only file of weights.

    The member is copied to a fixed path beside the archive: its name in the archive could lead
    anywhere.

    Raises:
        DataError: the archive holds no weights, several files of them, or too much.
    """
    members = _members_reader(path)
    if members is None:
        return path
    target = path.with_name(path.name + _UNPACKED_SUFFIX)
    if target.exists():
        return target
    try:
        with replacing(target) as part:
            found = 0
            for content in members(path):
                found += 1
                _copy(content, part)
            if found != 1:
                raise ValueError(f"expected one {' or '.join(_SUFFIXES)} file in it, got {found}")
    except Exception as error:  # a hostile archive can raise anything
        raise DataError(
            f"{path}: this archive cannot be used ({reason_of(error)}); delete it to fetch it again"
        ) from error
    return target


def _members_reader(path: Path) -> Callable[[Path], Iterable[BinaryIO]] | None:
    """Return the reader for an archive by its first bytes; None for other files."""
    with open(path, "rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    if is_torch(head):
        return None  # a ZIP archive too, of which the reader of weights says what it is
    if head.startswith(ZIP_START):
        return _zip_members
    is_tar = head[257:262] == b"ustar"
    return _tar_members if is_tar or head.startswith(tuple(_DECOMPRESSORS)) else None


_DECOMPRESSORS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


def _tar_members(path: Path) -> Iterable[BinaryIO]:
    """Yield the weights in a tar archive, ordinary files only, in its order."""
    with open(path, "rb") as file:
        head = file.read(6)
    opener = next((o for magic, o in _DECOMPRESSORS.items() if head.startswith(magic)), open)
    with opener(path, "rb") as stream, tarfile.open(fileobj=_Capped(stream), mode="r|") as tar:
        for member in tar:
            if member.isreg() and member.name.endswith(_SUFFIXES):
                yield tar.extractfile(member)


def _zip_members(path: Path) -> Iterable[BinaryIO]:
    """Yield the weights in a zip archive, ordinary files only, in its order."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind in (0, stat.S_IFREG) and member.filename.endswith(_SUFFIXES):
                with archive.open(member) as content:
                    yield content


def _copy(content: BinaryIO, path: Path) -> None:
    reader = _Capped(content)
    with open(path, "wb") as file:
        while block := reader.read(_BLOCK):
            file.write(block)


class _Capped:
    """A stream that fails once more than `MAX_BYTES` were read.

    A small archive may unpack to any size, a tar archive also between the wanted members.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._given = 0

    def read(self, count: int = -1) -> bytes:
        block = self._stream.read(min(count, _BLOCK) if count >= 0 else _BLOCK)
        self._given += len(block)
        if self._given > MAX_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_BYTES >> 20} MB")
        return block
