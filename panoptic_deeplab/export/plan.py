"""What to export; checked before anything is loaded."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.web_page.files import (
    DESCRIPTION_FILE,
    PAGE_FILES,
    RUNTIME_FILES,
    RUNTIME_LICENSES,
    SAMPLE_FILE,
)

PACKAGED = {"web": "the page shows ids", "triton": "its clients want ids"}
"""Formats that put an ONNX file with the grouping among other files, and why with it."""
FORMATS = ("paddle", "onnx", *PACKAGED)
OPSETS = range(11, 22)
DEFAULT_OPSET = 17
_GROUPING_OPSET = 16  # the first with a scattered sum, which counts pixels
_INT8_OPSET = 13  # the first that quantizes by channels
REPEATS = 3
CALIBRATION_IMAGES = 32
SMALLEST_SIDE = 32
MAX_BATCH_SIZE = 4

EXPORT_FILES = frozenset(
    {
        *("deploy.yaml", "model.onnx", "inference.json", "inference.pdiparams"),
        *("box_head.onnx", "box_head.json", "box_head.pdiparams"),
        *("mask_head.onnx", "mask_head.json", "mask_head.pdiparams"),
        *(*PAGE_FILES, DESCRIPTION_FILE, SAMPLE_FILE),
        *(*RUNTIME_FILES.values(), *RUNTIME_LICENSES.values()),
    }
)
"""All files that an export writes into its folder; Triton's models are folders below it.

Spelled out, as what else knows their names needs numpy, which `--help` does not wait for.
"""

_ONNX_PACKAGES = ("onnx", "paddle2onnx", "onnxruntime")


@dataclass(frozen=True)
class ExportPlan:
    """The settings of one export.

    Attributes:
        format: `paddle`; `onnx`; `web`: ONNX, the page that runs it, and the page's runtime; or
            `triton`: ONNX in a model repository.
        with_postprocess: images in, ids and segments out; else normalized input in, outputs out.
        opset: version of ONNX's operators.
        int8: the network computes with 8-bit numbers (ONNX alone).
        calibration: a folder of images like those to come, from which int8 learns its ranges.
        image: the sample that the export is tried on; None for one that is made.
        repeats: runs whose median time is printed.
        input_shape: (N, 3, H, W), all that the file takes; None for any batch, height and width.
        ort_web: the npm package of ONNX Runtime Web; None to fetch it.
        buckets: (width, height) of images for which Triton gets a model of their own.
        max_batch_size: images that Triton may join to a batch.

    Raises:
        UsageError: the settings contradict each other, or a package is missing.
    """

    format: str = "paddle"
    with_postprocess: bool = False
    opset: int = DEFAULT_OPSET
    int8: bool = False
    calibration: str | None = None
    image: Path | None = None
    repeats: int = REPEATS
    input_shape: tuple[int, int, int, int] | None = None
    ort_web: Path | None = None
    buckets: tuple[tuple[int, int], ...] = ()
    max_batch_size: int = MAX_BATCH_SIZE

    def __post_init__(self) -> None:
        if self.is_packaged:
            self._check_packaged()
        if self.is_onnx:
            _need_packages(*_ONNX_PACKAGES)
            self._check_opset()
        if self.ort_web is not None and not self.is_web:
            raise UsageError("--ort_web does nothing without --format web; add it")
        if not self.is_triton and (self.buckets or self.max_batch_size != MAX_BATCH_SIZE):
            flag = "--bucket" if self.buckets else "--max_batch_size"
            raise UsageError(f"{flag} does nothing without --format triton; add it")
        if self.input_shape is not None:
            self._check_input_shape()
        if self.int8 and not (self.is_onnx and self.calibration):
            raise UsageError("--int8 needs --format onnx and --calibration DIR with images")
        if self.calibration and not self.int8:
            raise UsageError("--calibration does nothing without --int8; add it")

    def _check_packaged(self) -> None:
        if not self.with_postprocess:
            reason = PACKAGED[self.format]
            raise UsageError(f"--format {self.format} needs --with_postprocess: {reason}")
        if self.input_shape is not None:
            raise UsageError(
                f"--format {self.format} takes images of any size; leave out --input_shape"
            )

    def _check_opset(self) -> None:
        if self.opset not in OPSETS:
            raise UsageError(f"--opset must be in {OPSETS[0]}..{OPSETS[-1]}, got {self.opset}")
        for wanted, flag, least in (
            (self.with_postprocess, "--with_postprocess", _GROUPING_OPSET),
            (self.int8, "--int8", _INT8_OPSET),
        ):
            if wanted and self.opset < least:
                raise UsageError(
                    f"{flag} needs --opset {least} or later, got {self.opset}; leave out {flag} "
                    "for older runtimes"
                )

    def _check_input_shape(self) -> None:
        batch, channels, height, width = self.input_shape
        if channels != 3 or batch < 1 or min(height, width) < SMALLEST_SIDE:
            raise UsageError(
                f"--input_shape: expected N 3 HEIGHT WIDTH with sides of at least {SMALLEST_SIDE}, "
                f"as 1 3 512 1024, got {' '.join(map(str, self.input_shape))}"
            )
        if self.int8:
            raise UsageError(
                "--int8 calibrates with images of any size; leave out --input_shape, or quantize "
                "with the tool of your runtime"
            )

    @property
    def overrides(self) -> list[str]:
        """Changes to the configuration: images are padded to the fixed shape and no other."""
        if self.input_shape is None:
            return []
        _, _, height, width = self.input_shape
        padding = f"{{type: Padding, target_size: [{width}, {height}]}}"
        return [f"val_dataset.transforms=[{padding}]"]

    @property
    def is_onnx(self) -> bool:
        """Whether the file is ONNX."""
        return self.format != "paddle"

    @property
    def is_web(self) -> bool:
        """Whether the page is written too."""
        return self.format == "web"

    @property
    def is_triton(self) -> bool:
        """Whether a model repository is written."""
        return self.format == "triton"

    @property
    def is_packaged(self) -> bool:
        """Whether the ONNX file is put among others, without the Paddle program."""
        return self.format in PACKAGED


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
    from panoptic_deeplab.export.triton import is_model_folder  # here: --help comes without numpy

    if entry.is_symlink():
        return False
    return is_model_folder(entry) if entry.is_dir() else entry.name in EXPORT_FILES


def _need_packages(*names: str) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"an ONNX export needs {', '.join(missing)}; pip install "
            "'panoptic-deeplab[deploy]' or these packages"
        )
