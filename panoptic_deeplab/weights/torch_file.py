"""Reading checkpoints of PyTorch without PyTorch and without running code from them.

Since PyTorch 1.6 such a file is a zip archive that holds `NAME/data.pkl`, a pickle of the objects,
and `NAME/data/KEY`, the bytes of each tensor's storage. The pickle is read by this
project's own reader, to which a few names are added; tensors are read one by one, on demand.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from panoptic_deeplab.errors import DataError, reason_of
from panoptic_deeplab.file_kinds import HEAD_BYTES
from panoptic_deeplab.files import open_file
from panoptic_deeplab.weights.kinds import is_old_torch
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

_MAX_BYTES_OF_OBJECTS = 64 << 20
_MAX_ENTRIES = 200_000

_OLD = (
    "is in PyTorch's old format, expected the zip format of PyTorch 1.6 and later; convert it "
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


class TorchFile:
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
        _refuse_old_formats(path, file)
        self.size = os.fstat(file.fileno()).st_size
        self.budget = Budget(self.size)
        with self._describing_errors():
            self.archive = zipfile.ZipFile(file)
            self.folder = self._folder()
            pickled = self._read("data.pkl", _MAX_BYTES_OF_OBJECTS)
            self.content = _TorchPlayback(len(pickled)).run(io.BytesIO(pickled))

    def array(self, tensor: StoredTensor) -> np.ndarray:
        """Read the numbers of a tensor, bfloat16 as float32.

        Raises:
            DataError: the file holds another number of bytes than it claims, or has been read
                several times over.
        """
        with self._describing_errors():
            expected = tensor.length * tensor.numbers.dtype.itemsize
            self.budget.spend(expected)
            raw = self._read(f"data/{tensor.key}", expected)
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

    @contextmanager
    def _describing_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a broken archive or pickle can raise anything
            raise DataError(
                f"{self.path}: not a checkpoint of PyTorch that can be read, or damaged "
                f"({reason_of(error)})"
            ) from error


@contextmanager
def open_torch_file(path: Path) -> Iterator[TorchFile]:
    """Open a checkpoint to read tensors from."""
    with open_file(path) as file:
        yield TorchFile(path, file)


def _refuse_old_formats(path: Path, file: BinaryIO) -> None:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if is_old_torch(head):
        raise DataError(f"{path}: {_OLD}")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    """Stand in for `torch._utils._rebuild_tensor_v2`: check the location, read nothing."""
    of_type(storage, StoredTensor)
    sides, steps = of_type(shape, tuple), of_type(strides, tuple)
    if len(sides) != len(steps) or len(sides) > MAX_AXES:
        raise RefusalError(f"a tensor has {len(sides)} sides and {len(steps)} strides")
    if any(of_type(number, int) < 0 for number in (offset, *sides, *steps)):
        raise RefusalError("a tensor has a negative side, stride or offset")
    last = offset + sum((side - 1) * step for side, step in zip(sides, steps, strict=True))
    if math.prod(sides) and last >= storage.length:
        raise RefusalError(f"a tensor reaches beyond the {storage.length} numbers of its storage")
    return StoredTensor(storage.key, storage.numbers, storage.length, offset, sides, steps)


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


_KNOWN = {
    ("collections", "OrderedDict"): Maker(plain_dict),
    ("torch._utils", "_rebuild_tensor_v2"): Maker(_tensor),
    ("torch._utils", "_rebuild_parameter"): Maker(_parameter),
    ("torch", "FloatStorage"): NumberType("FloatStorage", np.dtype("<f4")),
    ("torch", "HalfStorage"): NumberType("HalfStorage", np.dtype("<f2")),
    ("torch", "BFloat16Storage"): NumberType("BFloat16Storage", np.dtype("<u2")),
    ("torch", "LongStorage"): NumberType("LongStorage", np.dtype("<i8")),
}
