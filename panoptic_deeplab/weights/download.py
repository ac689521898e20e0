"""Files from the web: https only, of bounded size, kept in a cache."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.client
import lzma
import os
import re
import stat
import tarfile
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from panoptic_deeplab.errors import DataError, one_line, reason_of
from panoptic_deeplab.file_kinds import mistaken_for
from panoptic_deeplab.files import replacing
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.weights.kinds import ZIP_START, head_of, is_torch

TIMEOUT_SECONDS = 30
"""Longest silence of a server."""
MAX_SECONDS = 3600
"""Longest download."""
MAX_BYTES = 2 << 30
"""Largest download, and largest content of an archive."""
MAX_BYTES_IN_MEMORY = 256 << 20
"""Largest download that is not kept in a file."""

_BLOCK = 1 << 20
_SUFFIX = ".pdparams"


def local_weights(source: str, hint: str) -> Path:
    """Return the weights file behind a path or a URL, which is fetched once.

    Args:
        source: a file, or the https URL of a weights file or of a tar or zip archive with one
            `.pdparams` file in it. A URL may end in `#sha256=` and the checksum of its content.
        hint: what the user can do if that fails, for the message.

    Raises:
        DataError: there is no such file, the URL cannot be fetched or has another checksum, or the
            archive holds no weights or is too large.
    """
    if "://" not in source:
        if not Path(source).is_file():
            raise DataError(f"{source}: no such weights file; {hint}")
        return Path(source)
    with _describing_failures(source, hint):
        fetched = _fetch(source)
    return _unpacked(fetched)


def read_url(source: str, hint: str) -> bytes:
    """Return the content of an https URL, under the same limits; no copy is kept.

    Raises:
        DataError: it cannot be fetched; the message ends with `hint`.
    """
    with _describing_failures(source, hint), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "content"
        _download(source, path, title=source)
        if path.stat().st_size > MAX_BYTES_IN_MEMORY:
            raise ValueError(f"larger than {MAX_BYTES_IN_MEMORY >> 20} MB")
        return path.read_bytes()


@contextmanager
def _describing_failures(source: str, hint: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = one_line(str(getattr(error, "reason", error)))
        raise DataError(f"{source}: cannot be downloaded ({reason}); {hint}") from error


def cache_folder() -> Path:
    """Return the folder of downloads: $PANOPTIC_DEEPLAB_CACHE or ~/.cache/panoptic_deeplab."""
    chosen = os.environ.get("PANOPTIC_DEEPLAB_CACHE")
    return Path(chosen or os.path.expanduser("~/.cache/panoptic_deeplab"))


def _fetch(source: str) -> Path:
    """Return the file of a URL, from the cache if it is there."""
    path = cache_folder() / _cache_name(source)
    if not path.exists():
        with replacing(path) as part:
            _download(source, part, title=path.name)
            _refuse_page(part, source)
    return path


def _refuse_page(path: Path, source: str) -> None:
    """Refuse what a server sent in place of a file, so that it is not kept."""
    is_archive = is_torch(head_of(path)) or _members_reader(path) is not None
    found = "" if is_archive else mistaken_for(head_of(path))
    if found:
        hint = "; of a page's address take the one of the file: /raw/ or /resolve/, not /blob/"
        raise ValueError(f"{found}{hint if '/blob/' in source else ''}")


def _download(source: str, path: Path, title: str) -> None:
    """Write the content of a URL to `path` and compare its checksum with that in the URL."""
    url, _, fragment = source.partition("#")
    _check_scheme(url)
    if fragment and not re.fullmatch("sha256=[0-9a-fA-F]{64}", fragment):
        raise ValueError("behind # only sha256= and 64 hexadecimal digits can stand")
    with _OPENER.open(url, timeout=TIMEOUT_SECONDS) as response:
        checksum = _save(response, path, title)
    if fragment and checksum != fragment.partition("=")[2].lower():
        raise ValueError(f"it has the checksum sha256={checksum}, not the expected one")


def _check_scheme(url: str) -> None:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme != "https":
        raise ValueError(f"only https is fetched, not {scheme}")


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


def _save(response: http.client.HTTPResponse, path: Path, title: str) -> str:
    """Write a response to a file and return its SHA-256.

    Raises:
        ValueError: it is too large, takes too long or breaks off.
    """
    expected = int(response.headers.get("Content-Length") or 0)
    started, size, checksum = time.monotonic(), 0, hashlib.sha256()
    with (
        open(path, "wb") as file,
        progress_bar(title=title, total=expected // _BLOCK, unit="MB") as bar,
    ):
        while block := response.read1(_BLOCK):  # read() would wait for a whole block
            size += len(block)
            if max(size, expected) > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
            if time.monotonic() - started > MAX_SECONDS:
                raise ValueError(f"not done after {MAX_SECONDS} seconds")
            file.write(block)
            checksum.update(block)
            bar.update(size // _BLOCK - bar.n)
    if expected and size != expected:
        raise ValueError(f"{size} of {expected} bytes came")
    return checksum.hexdigest()


def _unpacked(path: Path) -> Path:
    """Return the file itself or, for an archive, its only `.pdparams` file.

    The member is copied to a fixed path beside the archive: its name in the archive could lead
    anywhere.
    """
    members = _members_reader(path)
    if members is None:
        return path
    target = path.with_name(path.name + _SUFFIX)
    if target.exists():
        return target
    try:
        with replacing(target) as part:
            found = 0
            for content in members(path):
                found += 1
                _copy(content, part)
            if found != 1:
                raise ValueError(f"expected one {_SUFFIX} file in it, got {found}")
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
            if member.isreg() and member.name.endswith(_SUFFIX):
                yield tar.extractfile(member)


def _zip_members(path: Path) -> Iterable[BinaryIO]:
    """Yield the weights in a zip archive, ordinary files only, in its order."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind in (0, stat.S_IFREG) and member.filename.endswith(_SUFFIX):
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
