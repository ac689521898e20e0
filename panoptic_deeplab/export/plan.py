"""What to export; checked before anything is loaded."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from panoptic_deeplab.errors import DataError, UsageError

FORMATS = ("paddle", "onnx")
OPSETS = range(17, 22)
REPEATS = 3
CALIBRATION_IMAGES = 32

EXPORT_FILES = ("deploy.yaml", "model.onnx", "inference.json", "inference.pdiparams")
"""All that an export writes into its folder."""

_ONNX_PACKAGES = ("onnx", "paddle2onnx", "onnxruntime")


@dataclass(frozen=True)
class ExportPlan:
    """The settings of one export.

    Attributes:
        format: `paddle` or `onnx`.
        with_postprocess: images in, ids and segments out; else normalized input in, outputs out.
        opset: version of ONNX's operators.
        int8: the network computes with 8-bit numbers (ONNX alone).
        calibration: a folder of images like those to come, from which int8 learns its ranges.
        image: the sample that the export is tried on; None for one that is made.
        repeats: runs whose median time is printed.

    Raises:
        UsageError: the settings contradict each other, or a package is missing.
    """

    format: str = "paddle"
    with_postprocess: bool = False
    opset: int = OPSETS[0]
    int8: bool = False
    calibration: str | None = None
    image: Path | None = None
    repeats: int = REPEATS

    def __post_init__(self) -> None:
        if self.is_onnx:
            _need_packages(*_ONNX_PACKAGES)
            if self.opset not in OPSETS:
                raise UsageError(f"--opset must be in {OPSETS[0]}..{OPSETS[-1]}, got {self.opset}")
        if self.int8 and not (self.is_onnx and self.calibration):
            raise UsageError("--int8 needs --format onnx and --calibration DIR with images")
        if self.calibration and not self.int8:
            raise UsageError("--calibration does nothing without --int8; add it")

    @property
    def is_onnx(self) -> bool:
        """Whether the file is ONNX."""
        return self.format == "onnx"


def check_target(folder: Path) -> None:
    """Refuse a folder that an export may not replace.

    Only an earlier export's own files are replaced; a checkpoint, an image or a note beside them
    is not ours to remove.

    Raises:
        DataError: it is a file.
        UsageError: it is a link or the current folder, or holds something else than an export.
    """
    if folder.is_symlink():
        raise UsageError(f"{folder}: is a link, which an export would replace; name its target")
    if folder.resolve() == Path.cwd():
        raise UsageError(f"{folder}: is the current folder, which an export would replace")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: expected a folder to write to, but a file stands there")
    others = [entry for entry in folder.iterdir() if not _is_ours(entry)] if folder.exists() else []
    if others:
        raise UsageError(
            f"{folder}: holds {others[0].name}, which is no file of an export; choose another "
            "--save_dir"
        )


def _is_ours(entry: Path) -> bool:
    return entry.name in EXPORT_FILES and entry.is_file() and not entry.is_symlink()


def _need_packages(*names: str) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"an ONNX export needs {', '.join(missing)}; pip install "
            "'panoptic-deeplab[deploy]' or these packages"
        )
