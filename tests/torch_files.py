"""PyTorch's files, written by hand as it writes them: PyTorch is not needed."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]

STORAGES = {"float32": "Float", "float16": "Half", "uint16": "BFloat16", "int64": "Long"}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def pickled_tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def reference(key: str, storage: str, length: int, *more: bytes) -> bytes:
    name = f"ctorch\n{storage}Storage\n".encode()
    parts = text("storage"), name, text(key), text("cuda:0"), integer(length), *more
    return pickled_tuple(*parts) + b"Q"


def tensor(
    key: str,
    storage: str,
    length: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int = 0,
    *more: bytes,
) -> bytes:
    sizes, steps = (pickled_tuple(*map(integer, values)) for values in (shape, strides))
    hooks = b"ccollections\nOrderedDict\n)R"
    arguments = (
        reference(key, storage, length, *more),
        integer(offset),
        sizes,
        steps,
        b"\x89",
        hooks,
    )
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + pickled_tuple(*arguments) + b"R"


def dictionary(items: dict[str, bytes]) -> bytes:
    pairs = b"".join(text(name) + value for name, value in items.items())
    return b"ccollections\nOrderedDict\n)R(" + pairs + b"u"


def of_array(key: int, array: np.ndarray, *more: bytes) -> bytes:
    strides = tuple(step // array.itemsize for step in array.strides)
    kind = STORAGES[array.dtype.name]
    return tensor(str(key), kind, array.size, array.shape, strides, 0, *more)


def write_archive(
    path: Path, content: bytes, storages: list[bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + content + b".")
        archive.writestr("archive/byteorder", "little", zipfile.ZIP_STORED)
        for key, raw in enumerate(storages):
            archive.writestr(f"archive/data/{key}", raw)
        archive.writestr("archive/version", "3\n")
    return path


def state_of(arrays: Arrays, old: bool = False) -> bytes:
    metadata = b"}" + text("_metadata") + dictionary({}) + b"sb"  # as a module's state dict has
    piece = [b"N"] if old else []  # no part of another storage
    items = {name: of_array(i, array, *piece) for i, (name, array) in enumerate(arrays.items())}
    return dictionary(items) + metadata


def write_pth(path: Path, arrays: Arrays, beside: dict[str, bytes] | None = None) -> Path:
    """Write a file as mmcv saves it: weights, metadata of the training, the optimizer's state."""
    beside = {"meta": dictionary({"time": text("now")}), "optimizer": dictionary({})} | (
        beside or {}
    )
    content = dictionary({"state_dict": state_of(arrays)} | beside)
    return write_archive(path, content, [array.tobytes() for array in arrays.values()])


def write_old_pth(path: Path, arrays: Arrays, beside: dict[str, bytes] | None = None) -> Path:
    """Write the format before PyTorch 1.6: five pickles, then the storages in the order of keys."""
    sizes = dictionary({"short": integer(2), "int": integer(4), "long": integer(4)})
    machine = {"protocol_version": integer(1001), "little_endian": b"\x88", "type_sizes": sizes}
    keys = sorted(str(i) for i in range(len(arrays)))
    pickles = [
        b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19",
        integer(1001),
        dictionary(machine),
        dictionary({"state_dict": state_of(arrays, old=True)} | (beside or {})),
        b"](" + b"".join(map(text, keys)) + b"e",
    ]
    values = list(arrays.values())
    with open(path, "wb") as file:
        for content in pickles:
            file.write(b"\x80\x02" + content + b".")
        for key in keys:
            array = values[int(key)]
            file.write(struct.pack("<q", array.size) + array.tobytes())
    return path
