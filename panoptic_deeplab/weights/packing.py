"""A checkpoint at half its size, in a form that no program has to trust."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import replacing_folder
from panoptic_deeplab.folder_lock import sole_writer
from panoptic_deeplab.weights.classes import INFO_FILE
from panoptic_deeplab.weights.loading import refuse_not_finite
from panoptic_deeplab.weights.reading import read_weights

PACKED_FILE = "model.safetensors"
_BESIDE = ("config.yml", INFO_FILE)


def pack_checkpoint(checkpoint: Path, folder: Path) -> Path:
    """Write the weights of a checkpoint as safetensors in half precision, to share or to keep.

    The new folder is a checkpoint too, with the configuration and the classes of the old one;
    without the state of the optimizer, so that no training can resume from it. Vectors (biases,
    and all of batch norm) stay in float32: they are few, and running variances may be large.

    Args:
        checkpoint: a folder with weights.
        folder: the folder to write, new or empty.

    Returns:
        the file of weights.

    Raises:
        DataError: there are no weights, or some are not finite.
        UsageError: `folder` holds files.
    """
    if not checkpoint.is_dir():
        raise DataError(f"{checkpoint}: expected the folder of a checkpoint")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: expected a new or empty folder; choose another")
    weights = read_weights(checkpoint)
    refuse_not_finite(weights, checkpoint)
    with sole_writer(folder, "packing"), replacing_folder(folder) as draft:
        (draft / PACKED_FILE).write_bytes(save(halved(weights)))
        for name in _BESIDE:
            if (checkpoint / name).is_file():
                shutil.copyfile(checkpoint / name, draft / name)
    return folder / PACKED_FILE


def halved(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights in float16, except for vectors and what float16 cannot hold."""
    limit = np.finfo(np.float16).max
    return {
        name: value.astype(np.float16)
        if value.ndim > 1 and value.dtype.kind == "f" and np.abs(value).max(initial=0) <= limit
        else value
        for name, value in weights.items()
    }
