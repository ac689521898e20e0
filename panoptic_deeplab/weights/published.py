"""From a published file of another framework to a folder of this project's weights."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.files import replacing_folder, write_json
from panoptic_deeplab.folder_lock import sole_writer
from panoptic_deeplab.weights.classes import INFO_FILE, refuse_difference
from panoptic_deeplab.weights.conversion import Report, convert, published_content
from panoptic_deeplab.weights.loading import load_weights
from panoptic_deeplab.weights.origins import Origin
from panoptic_deeplab.weights.reading import NOTE_ENDING

REPORT_FILE = "conversion.json"
FILES = {"model.pdparams", INFO_FILE, "config.yml", REPORT_FILE}


def convert_published(
    config: Any, published: Path, folder: Path, overwrite: bool = False
) -> tuple[Origin, Report]:
    """Convert a file of weights for a configuration's network and write a folder of them.

    The folder holds the weights (`model.pdparams`), the classes of a whole network
    (`dataset_info.json`), the configuration (`config.yml`) and a report on each entry with the
    license (`conversion.json`). It is written atomically, after its weights have been loaded into
    the network.

    Args:
        config: a `panoptic_deeplab.config.Config`, or anything that has its parts.
        published: the file.
        folder: the folder to write.
        overwrite: replace an earlier conversion.

    Returns:
        The origin of the weights, and a report on each entry.

    Raises:
        UsageError: the folder holds other files.
        DataError: the file cannot be read, does not fit the network, or is of other classes.
    """
    _check_folder(folder, overwrite)
    with published_content(published) as content:
        weights, origin, report = convert(content, config, published)
    report.dropped |= content.others
    if origin.info is not None:
        hint = f"choose a configuration of {origin.info.name}"
        refuse_difference(str(published), origin.info, config.info, hint)
    _write(folder, config, weights, origin, report, published)
    return origin, report


def _check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder with other files before anything is done."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder to make, but a file stands there")
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if held and not overwrite:
        raise UsageError(
            f"{folder}: expected a new or empty folder, but it holds files; choose another or add "
            "--overwrite"
        )
    if held - FILES or (held and REPORT_FILE not in held):
        raise UsageError(
            f"{folder}: --overwrite replaces conversions, but this folder is none; choose another"
        )


def _write(
    folder: Path,
    config: Any,
    weights: dict[str, np.ndarray],
    origin: Origin,
    report: Report,
    published: Path,
) -> None:
    part = getattr(config.model, origin.part) if origin.part else config.model
    with sole_writer(folder, "conversion"), replacing_folder(folder) as draft:
        with open(draft / "model.pdparams", "wb") as file:
            pickle.dump(weights | {f"license{NOTE_ENDING}": origin.license}, file, protocol=4)
        load_weights(part, draft / "model.pdparams")
        (draft / "config.yml").write_text(config.to_yaml(), "utf-8")
        if not origin.part:
            write_json(draft / INFO_FILE, config.info.to_dict(), indent=2)
        source = {
            "file": published.name,
            "sha256": _checksum(published),
            "origin": origin.name,
            "license": origin.license,
            "config": config.path,
        }
        write_json(draft / REPORT_FILE, source | vars(report), indent=2)


def _checksum(path: Path) -> str:
    checksum = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest()
