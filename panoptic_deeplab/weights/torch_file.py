"""Reading checkpoints of PyTorch without PyTorch and without running code from them.

Since PyTorch 1.6 such a file is a zip archive that holds `NAME/data.pkl`, a pickle of the objects,
and `NAME/data/KEY`, the bytes of each tensor's storage. Before, and in much that is published
since, it is five pickles in a row, of which the fourth has the objects and the last the keys of the
storages, whose bytes follow. The pickles are read by this project's own reader, to which a few
names are added; tensors are read one by one, on demand.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from panoptic_deeplab.errors import DataError, reason_of
from panoptic_deeplab.file_kinds import HEAD_BYTES
from panoptic_deeplab.files import open_file
from panoptic_deeplab.weights.kinds import OLD_TORCH, is_tar
from panoptic_deeplab.weights.plain_pickle import (
    MAX_AXES,
    Budget,
    Maker,
    Playback,
    RefusalError,
    float32_of_bfloat16,
    of_type,
    plain_dict,
)

_OLD_MAGIC, _OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_LENGTH = struct.Struct("<q")
_MAX_BYTES_OF_OBJECTS = 64 << 20
_MAX_ENTRIES = 200_000

_OLDER = (
    "is a tar archive, as PyTorch wrote before version 0.2, expected a later format; convert it "
    "where PyTorch is installed: import torch; torch.save(torch.load(OLD, map_location='cpu'), NEW)"
)


@dataclass(frozen=True)
class NumberType:
    """Number type of a storage; bfloat16, which numpy lacks, is read as its bits."""

    name: str
    dtype: np.dtype


@dataclass(frozen=True)
class StoredTensor:
    """Location of a tensor in a file.

    Attributes:
        key: name of its storage.
        numbers: their type.
        length: numbers in the storage.
        offset: index in the storage at which the tensor begins.
        shape: of the tensor.
        strides: step in the storage along each axis.
    """

    key: str
    numbers: NumberType
    length: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class TorchFile(ABC):
    """An open checkpoint.

    Args:
        path: for messages.
        file: the file, which stays open.

    Attributes:
        content: the saved objects, with a `StoredTensor` in place of each tensor.

    Raises:
        DataError: it is not of this format, damaged, or holds anything but plain data and tensors.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.budget = Budget(self.size)
        with self._describing_errors():
            self.content = self._read_content()

    @abstractmethod
    def _read_content(self) -> Any:
        """The objects."""

    @abstractmethod
    def _read_storage(self, tensor: StoredTensor, count: int) -> bytes:
        """The `count` bytes of a tensor's storage; others where the file has another number."""

    def array(self, tensor: StoredTensor) -> np.ndarray:
        """Read the numbers of a tensor, bfloat16 as float32.

        Raises:
            DataError: the file holds another number of bytes than it claims, or has been read
                several times over.
        """
        with self._describing_errors():
            expected = tensor.length * tensor.numbers.dtype.itemsize
            self.budget.spend(expected)
            raw = self._read_storage(tensor, expected)
            if len(raw) != expected:
                raise RefusalError(f"storage {tensor.key} claims {expected} bytes, has {len(raw)}")
            storage = np.frombuffer(raw, tensor.numbers.dtype)
        if tensor.numbers.name == "BFloat16Storage":
            storage = float32_of_bfloat16(storage)
        strides = [stride * storage.itemsize for stride in tensor.strides]
        view = np.lib.stride_tricks.as_strided(
            storage[tensor.offset :], tensor.shape, strides, writeable=False
        )
        return np.array(view, order="C")  # a copy, which does not keep the storage in memory

    @contextmanager
    def _describing_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a broken archive or pickle can raise anything
            raise DataError(
                f"{self.path}: not a checkpoint of PyTorch that can be read, or damaged "
                f"({reason_of(error)})"
            ) from error


class ZipFile(TorchFile):
    """The format since PyTorch 1.6."""

    def _read_content(self) -> Any:
        self.archive = zipfile.ZipFile(self.file)
        self.folder = self._folder()
        pickled = self._read("data.pkl", _MAX_BYTES_OF_OBJECTS)
        return _TorchPlayback(len(pickled)).run(io.BytesIO(pickled))

    def _read_storage(self, tensor: StoredTensor, count: int) -> bytes:
        return self._read(f"data/{tensor.key}", count)

    def _folder(self) -> str:
        """Return the name of the archive's only folder."""
        names = self.archive.namelist()
        if len(names) > _MAX_ENTRIES:
            raise RefusalError(f"the archive has more than {_MAX_ENTRIES} entries")
        folders = [name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl")]
        if len(folders) != 1:
            raise RefusalError(f"expected one data.pkl in the archive, got {len(folders)}")
        if f"{folders[0]}byteorder" in names:
            self.folder = folders[0]
            order = self._read("byteorder", 16)
            if order != b"little":
                raise RefusalError(f"its numbers have the byte order {order!r}, expected b'little'")
        return folders[0]

    def _read(self, name: str, limit: int) -> bytes:
        """Read the bytes of an entry, which PyTorch never compresses."""
        try:
            entry = self.archive.getinfo(self.folder + name)
        except KeyError as error:
            raise RefusalError(f"its entry {name} is missing") from error
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise RefusalError(f"its entry {name} is compressed, which PyTorch does not do")
        if entry.header_offset + entry.file_size > self.size:
            raise RefusalError(f"its entry {name} claims more bytes than the file has")
        if entry.file_size > limit:
            raise RefusalError(f"its entry {name} has {entry.file_size} bytes, at most {limit} fit")
        return self.archive.read(entry)


class OldFile(TorchFile):
    """The format before PyTorch 1.6."""

    def _read_content(self) -> Any:
        magic, protocol, machine = (self._unpickled(_TorchPlayback) for _ in range(3))
        if (magic, protocol) != (_OLD_MAGIC, _OLD_PROTOCOL):
            raise RefusalError(f"it has the version {protocol!r:.20}, expected {_OLD_PROTOCOL}")
        if of_type(machine, dict).get("little_endian") is not True:
            raise RefusalError("its numbers are not little-endian")
        playback = _OldPlayback(min(self.size, _MAX_BYTES_OF_OBJECTS))
        content = playback.run(self.file)
        self.starts = self._starts(of_type(self._unpickled(_TorchPlayback), list), playback.numbers)
        return content

    def _unpickled(self, playback: type[_TorchPlayback]) -> Any:
        return playback(min(self.size, _MAX_BYTES_OF_OBJECTS)).run(self.file)

    def _starts(self, keys: list[Any], numbers: Mapping[str, NumberType]) -> dict[str, int]:
        """Where each storage begins: with its length, 8 bytes."""
        starts = {}
        place = self.file.tell()
        for key in keys:
            if of_type(key, str) not in numbers:
                raise RefusalError(f"no tensor has its storage {key:.40}")
            starts[key] = place
            place += _LENGTH.size + self._length_at(place) * numbers[key].dtype.itemsize
        return starts

    def _length_at(self, place: int) -> int:
        self.file.seek(place)
        raw = self.file.read(_LENGTH.size)
        if len(raw) < _LENGTH.size:
            raise RefusalError("it ends before its storages do")
        return int(_LENGTH.unpack(raw)[0])

    def _read_storage(self, tensor: StoredTensor, count: int) -> bytes:
        if tensor.key not in self.starts:
            raise RefusalError(f"its storage {tensor.key:.40} is missing")
        start = self.starts[tensor.key]
        if self._length_at(start) != tensor.length:
            raise RefusalError(f"storage {tensor.key:.40} has not the {tensor.length} it claims")
        return self.file.read(count)


@contextmanager
def open_torch_file(path: Path) -> Iterator[TorchFile]:
    """Open a checkpoint to read tensors from.

    Raises:
        DataError: see `TorchFile`.
    """
    with open_file(path) as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        if is_tar(head):
            raise DataError(f"{path}: {_OLDER}")
        yield (OldFile if head.startswith(OLD_TORCH) else ZipFile)(path, file)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    """Stand in for `torch._utils._rebuild_tensor_v2`: check the location, read nothing."""
    of_type(storage, StoredTensor)
    sides, steps = of_type(shape, tuple), of_type(strides, tuple)
    if len(sides) != len(steps) or len(sides) > MAX_AXES:
        raise RefusalError(f"a tensor has {len(sides)} sides and {len(steps)} strides")
    if any(of_type(number, int) < 0 for number in (offset, *sides, *steps)):
        raise RefusalError("a tensor has a negative side, stride or offset")
    first = storage.offset + offset  # a storage may be a piece of another
    last = first + sum((side - 1) * step for side, step in zip(sides, steps, strict=True))
    if math.prod(sides) and last >= storage.length:
        raise RefusalError(f"a tensor reaches beyond the {storage.length} numbers of its storage")
    return StoredTensor(storage.key, storage.numbers, storage.length, first, sides, steps)


def _parameter(tensor: Any, *_: Any) -> StoredTensor:
    """Stand in for `torch._utils._rebuild_parameter`, which makes a trainable tensor."""
    return of_type(tensor, StoredTensor)


class _TorchPlayback(Playback):
    """Reads what `torch.save` writes for dictionaries, lists, numbers, strings and tensors."""

    @property
    def known(self) -> Mapping[tuple[str, str], Any]:
        return _KNOWN

    def fetch(self, reference: Any) -> StoredTensor:
        """Return the storage that ('storage', type, key, device, length) names."""
        kind, numbers, key, _, length = of_type(reference, tuple)
        if of_type(kind, str) != "storage" or of_type(length, int) < 0:
            raise RefusalError(f"it refers to a {kind!r:.40}")
        return StoredTensor(
            of_type(key, str), of_type(numbers, NumberType), length, 0, (length,), (1,)
        )

    def build(self) -> None:
        """Leave out attributes of a dictionary (PyTorch's `_metadata`)."""
        self.stack.pop()
        of_type(self.stack[-1], dict)


class _OldPlayback(_TorchPlayback):
    """The same for the old format, whose storages may be pieces of others.

    Attributes:
        numbers: key -> type of each storage that was referred to.
    """

    def __init__(self, file_size: int) -> None:
        super().__init__(file_size)
        self.numbers: dict[str, NumberType] = {}

    def fetch(self, reference: Any) -> StoredTensor:
        """Return the storage that ('storage', type, key, device, length, piece) names."""
        *start, piece = of_type(reference, tuple)
        storage = super().fetch(tuple(start))
        self.numbers[storage.key] = storage.numbers
        if piece is None:
            return storage
        _, offset, length = of_type(piece, tuple)
        if of_type(offset, int) < 0 or of_type(length, int) < 0:
            raise RefusalError("a piece of a storage has a negative place or length")
        if offset + length > storage.length:
            raise RefusalError(f"a piece reaches beyond the {storage.length} of its storage")
        return replace(storage, offset=offset)


_KNOWN = {
    ("collections", "OrderedDict"): Maker(plain_dict),
    ("torch._utils", "_rebuild_tensor"): Maker(_tensor),  # before PyTorch 0.4
    ("torch._utils", "_rebuild_tensor_v2"): Maker(_tensor),
    ("torch._utils", "_rebuild_parameter"): Maker(_parameter),
    ("torch", "FloatStorage"): NumberType("FloatStorage", np.dtype("<f4")),
    ("torch", "HalfStorage"): NumberType("HalfStorage", np.dtype("<f2")),
    ("torch", "BFloat16Storage"): NumberType("BFloat16Storage", np.dtype("<u2")),
    ("torch", "LongStorage"): NumberType("LongStorage", np.dtype("<i8")),
}
