"""What distinguishes a model, with its settings, from all that predict otherwise."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import Any

from panoptic_deeplab.deployment import FILE as DESCRIPTION
from panoptic_deeplab.files import open_file
from panoptic_deeplab.inference.location import ModelFiles
from panoptic_deeplab.inference.options import LoadOptions
from panoptic_deeplab.structures import DatasetInfo

_DIGITS = 16
_BYTES_AT_A_TIME = 1 << 20
_PREDICTING = ("model", "preprocess", "postprocessor")
"""Sections of a configuration that a prediction depends on, beside the transforms."""


def fingerprint(files: ModelFiles, options: LoadOptions, info: DatasetInfo) -> str:
    """Return a short text that is equal for equal weights and settings, wherever the files lie.

    Device and runtime do not count: they change last digits alone.

    Args:
        files: of the model.
        options: how it runs.
        info: the classes it predicts.

    Raises:
        DataError: a file cannot be read.
    """
    checksum = hashlib.sha256()
    description = files.weights.with_name(DESCRIPTION)
    for path in [files.weights, *[description] * (files.is_exported and description.is_file())]:
        with open_file(path) as file:
            for part in iter(partial(file.read, _BYTES_AT_A_TIME), b""):
                checksum.update(part)
    settings = {
        "settings": _settings(files, options),
        "views": repr(options.views),
        "tiling": repr(options.tiling),
        "classes": info.to_dict(),
    }
    checksum.update(json.dumps(settings, sort_keys=True, default=str).encode())
    return checksum.hexdigest()[:_DIGITS]


def _settings(files: ModelFiles, options: LoadOptions) -> dict[str, Any]:
    """The part of the configuration that counts, or what an exported file alone is given."""
    if files.config is None:
        return dict(options.grouping)
    from panoptic_deeplab.config import Config

    tree = Config(files.config, options.overrides).tree
    part = {section: tree.get(section) for section in _PREDICTING}
    return part | {"transforms": tree.get("val_dataset", {}).get("transforms")}
