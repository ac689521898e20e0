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

    Raises:
        DataError: it is a file.
        UsageError: it holds something else than an export.
    """
    from panoptic_deeplab.export.description import FILE  # here: --help loads no NumPy

    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: expected a folder to write to, but a file stands there")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FILE).exists():
        raise UsageError(
            f"{folder}: holds something else than an export; choose another --save_dir"
        )


def _need_packages(*names: str) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"an ONNX export needs {', '.join(missing)}; pip install "
            "'panoptic-deeplab[deploy]' or these packages"
        )
