"""What a file is that should hold weights, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.file_kinds import HEAD_BYTES, mistaken_for
from panoptic_deeplab.files import open_file

ZIP_START = b"PK\x03\x04"
_TORCH_PICKLE = b"/data.pkl"  # in the name of the archive's first entry
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_TAR = (257, b"ustar")  # of PyTorch's oldest format, too

_STARTS = {
    b"\0" * 16: "it holds the parameters of an exported Paddle program, which have no names; give "
    "the checkpoint that it was exported from",
    b"\x89HDF": "it is an HDF5 file, such as Keras writes; there is no way from it to here",
    b"\x93NUMPY": "it is a single NumPy array, expected named ones",
    b"\x89PNG": "it is a PNG image",
    b"\xff\xd8\xff": "it is a JPEG image",
    b"{": "it is JSON text",
    b"[": "it is JSON text",
}
_SUFFIXES = {
    ".pdmodel": "it is an exported Paddle program; give the checkpoint that it was exported from",
    ".pdiparams": _STARTS[b"\0" * 16],
    ".pdopt": "it is the state of an optimizer; give the model.pdparams beside it",
    ".yml": "it is a configuration; give the weights beside it, or their folder",
    ".yaml": "it is a configuration; give the weights beside it, or their folder",
    ".onnx": "it is an exported network, from which no weights are taken; give the checkpoint",
}


def head_of(path: str | Path) -> bytes:
    """Return the first bytes of a file, enough to tell its kind."""
    with open_file(path) as file:
        return file.read(HEAD_BYTES)


def is_old_torch(head: bytes) -> bool:
    """Return whether a file may be in one of PyTorch's formats before 1.6."""
    return head.startswith(OLD_TORCH) or is_tar(head)


def is_tar(head: bytes) -> bool:
    """Return whether a file is a tar archive."""
    place, mark = _TAR
    return head[place:].startswith(mark)


def is_torch(head: bytes) -> bool:
    """Return whether a file is surely a checkpoint of PyTorch."""
    return head.startswith(OLD_TORCH) or (head.startswith(ZIP_START) and _TORCH_PICKLE in head)


def is_safetensors(head: bytes) -> bool:
    """Return whether a file begins as safetensors do: the length of a JSON object, the object."""
    return len(head) > 8 and head[8:9] == b"{" and not any(head[5:8])


def refuse_other_kinds(path: str | Path) -> None:
    """Refuse a file that is plainly something else than weights of Paddle or safetensors.

    Raises:
        DataError: it is, and what; or it cannot be read.
    """
    head = head_of(path)
    if is_safetensors(head):
        return
    if is_torch(head):
        raise DataError(
            f"{path}: is a checkpoint of PyTorch; those of known networks become one of this "
            f"program by: panoptic-deeplab weights convert --model_path {path} --save_dir NEW "
            "--config NAME"
        )
    known = (meaning for start, meaning in _STARTS.items() if head.startswith(start))
    archive = "it is a tar archive; unpack it" if is_tar(head) else ""
    by_suffix = _SUFFIXES.get(Path(path).suffix)
    found = archive or mistaken_for(head) or by_suffix or next(known, None)
    if found:
        raise DataError(f"{path}: not a file of weights: {found}")
