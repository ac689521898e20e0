"""Images of an object store, by an address such as `s3://bucket/folder`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from panoptic_deeplab.addresses import hide_secrets, without_secrets
from panoptic_deeplab.errors import DataError, UsageError, reason_of
from panoptic_deeplab.file_names import readable
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES, decode_image
from panoptic_deeplab.inference.sources.files import unique_names
from panoptic_deeplab.results.journal import FileVersion

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

_log = logging.getLogger(__name__)

_SCHEMES = ("s3://", "gs://", "file://")


@dataclass(frozen=True)
class StoredImage:
    """An image in an object store, with the face of `ImageFile`.

    Attributes:
        folder: the address that was asked for, by which the store is opened.
        file: its path, as the store takes it, whatever characters it has.
        name: its path below the folder that was asked for, without suffix.
        version: size and time of the object; None where the store does not tell them.
    """

    folder: str
    file: str
    name: str
    version: FileVersion | None

    @property
    def path(self) -> Path:
        """Its file's name alone, as lists give it."""
        return Path(PurePosixPath(self.file).name)

    def read(self) -> np.ndarray:
        """Fetch it: [H, W, 3] uint8 RGB.

        Raises:
            DataError: it cannot be fetched, or is no image.
        """
        store, _ = _store(self.folder)
        try:
            with store.open_input_stream(self.file) as stream:
                content = stream.read()
        except OSError as error:
            reason = hide_secrets(reason_of(error), self.folder)
            raise DataError(f"{self}: cannot be read ({reason})") from error
        return decode_image(content, str(self))

    def __str__(self) -> str:
        scheme, _, _ = self.folder.partition("://")
        return readable(f"{scheme}://{self.file}")


def is_stored(source: str) -> bool:
    """Whether a text is the address of an object store."""
    return source.startswith(_SCHEMES)


def find_stored_images(address: str) -> list[StoredImage]:
    """Find the images of a store below an address, or the one that it names; sorted.

    Raises:
        UsageError: pyarrow is not installed.
        DataError: the store cannot be reached, or holds no image there.
    """
    store, root = _store(address)
    _log.info("searching %s", without_secrets(address))
    try:
        files = _files_of(store, root)
    except OSError as error:
        raise _unreadable(address, error) from error
    found = sorted((f for f in files if _is_image(f, root)), key=lambda f: f.path)
    if not found:
        raise DataError(f"{without_secrets(address)}: holds no image")
    folder = PurePosixPath(root if found[0].path != root else PurePosixPath(root).parent)
    names = unique_names([readable(str(PurePosixPath(f.path).relative_to(folder))) for f in found])
    return [
        StoredImage(address, file.path, name, _version(file))
        for file, name in zip(found, names, strict=True)
    ]


def _files_of(store: FileSystem, root: str) -> list[FileInfo]:
    from pyarrow.fs import FileSelector

    info = store.get_file_info(root)
    if info.is_file:
        return [info]
    return store.get_file_info(FileSelector(root, recursive=True, allow_not_found=True))


def _is_image(file: FileInfo, root: str) -> bool:
    below = PurePosixPath(file.path.removeprefix(root))
    is_hidden = any(part.startswith(".") for part in below.parts)
    return file.is_file and not is_hidden and f".{file.extension.lower()}" in IMAGE_SUFFIXES


def _version(file: FileInfo) -> FileVersion | None:
    return None if file.mtime_ns is None else (file.size, file.mtime_ns)


@cache
def _store(address: str) -> tuple[FileSystem, str]:
    """Open the store of an address, once, for each has connections of its own; and the path."""
    try:
        import pyarrow as pa
        from pyarrow.fs import FileSystem
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{without_secrets(address)}: needs pyarrow; pip install 'panoptic-deeplab[ray]'"
        ) from error
    try:
        store, path = FileSystem.from_uri(address)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(address, error) from error
    return store, path.rstrip("/")


def _unreadable(address: str, error: Exception) -> DataError:
    reason = hide_secrets(reason_of(error), address)
    return DataError(f"{without_secrets(address)}: cannot be read ({reason})")
