"""From a published file of another framework to a folder of this project's weights."""

from __future__ import annotations

import hashlib
import logging
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import replacing_folder, write_json
from panoptic_deeplab.folder_lock import sole_writer
from panoptic_deeplab.weights.classes import INFO_FILE, refuse_difference
from panoptic_deeplab.weights.conversion import Converted, Report, convert, published_content
from panoptic_deeplab.weights.kinds import head_of, is_torch
from panoptic_deeplab.weights.loading import (
    PARTIAL_HINT,
    load_pretrained,
    load_weights,
    pretrained_file,
    pretrained_key,
    set_weights,
    tell_loaded,
)
from panoptic_deeplab.weights.origins import Origin
from panoptic_deeplab.weights.other_classes import load_for_other_classes
from panoptic_deeplab.weights.reading import NOTE_ENDING, read_weights
from panoptic_deeplab.weights.zoo import local_or_published

if TYPE_CHECKING:
    from paddle import nn

_log = logging.getLogger(__name__)

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
    weights, origin, report, _ = _converted(config, published)
    _write(folder, config, weights, origin, report, published)
    return origin, report


def load_network(config: Any, path: str | Path, hint: str) -> None:
    """Load the weights of a configuration's network, converted where they are another framework's.

    Args:
        config: a `panoptic_deeplab.config.Config`, or anything that has its parts.
        path: the file, or the folder of a checkpoint.
        hint: what the user can do about weights of another network, for the message.

    Raises:
        DataError: the file cannot be read, or does not fit the network.
    """
    path = Path(path)
    if not _is_published(path, config.model):
        load_weights(config.model, path, num_classes=config.info.num_classes, hint=hint)
        return
    weights, origin, *_ = _converted(config, path)
    if origin.part:
        raise DataError(
            f"{path}: expected the weights of a whole network, got those of {origin.name}; "
            f"give the file to a training as --opts model.{origin.part}.pretrained={path}"
        )
    set_weights(config.model, weights)
    # Not at the level of information alone, which a Python program does not show.
    _log.warning("%s: %s; license: %s", path, origin.name, origin.license)


def load_first_weights(config: Any, partial: bool = False, init: str | None = None) -> None:
    """Load the weights that a training starts from, converted where they are another framework's.

    Those of the whole network (`init`, else `model.pretrained`) stand above those of its parts,
    which are not even fetched where the whole may lack nothing.

    Args:
        config: has the network and says where the weights of its parts lie (`pretrained`).
        partial: as of `load_pretrained`.
        init: weights of the same network for any classes: a file, the folder of a checkpoint, an
            https URL or the name of a published model.

    Raises:
        DataError: a file is missing, cannot be fetched, or is of another network.
    """
    if init is not None and not partial:
        _load_init(config, init)
        return
    sources = dict(config.pretrained) | ({} if init is None else {"": init})
    whole = {"": sources.pop("")} if "" in sources else {}
    if whole and not partial:
        sources.clear()
    for name, source in (sources | whole).items():
        path = pretrained_file(name, source)
        part = getattr(config.model, name) if name else config.model
        if _is_published(path, part):
            _load_published(config, name, source, path, partial)
        else:
            classes = config.info.num_classes
            load_pretrained(config.model, {name: source}, num_classes=classes, partial=partial)


def _load_init(config: Any, source: str) -> None:
    hint = "expected a checkpoint's folder, a file of weights, an https URL"
    path = local_or_published(source, hint)
    if _is_published(path, config.model):
        _load_published(config, "", source, path, partial=True)
    else:
        load_for_other_classes(config, source, path)


def _load_published(config: Any, name: str, source: str, path: Path, partial: bool) -> None:
    """Convert the weights of the whole network ('') or a part and put them there."""
    hint = "" if partial else f", or {PARTIAL_HINT}"
    weights, origin, _, fit = _converted(config, path, partial, hint)
    if origin.part != name:
        kind = f"the {origin.part}" if origin.part else "a whole network"
        raise DataError(
            f"{path}: these weights of {origin.name} are for {kind}, not for what "
            f"{pretrained_key(name)} names; give them as {pretrained_key(origin.part)}"
        )
    set_weights(getattr(config.model, name) if name else config.model, weights)
    tell_loaded(name, source, fit, f"{origin.name}; license: {origin.license}")


def _is_published(path: Path, part: nn.Layer) -> bool:
    """Return whether a file has PyTorch's form, or is a pickle with other names than a network's
    or a part's, as detectron2 publishes them.
    """
    if not path.is_file() or is_torch(head_of(path)):
        return path.is_file()
    return path.suffix == ".pkl" and not part.state_dict().keys() <= read_weights(path).keys()


def _converted(config: Any, path: Path, partial: bool = False, hint: str = "") -> Converted:
    """Read and convert a published file, and check its classes unless they may be others."""
    with published_content(path) as content:
        converted = convert(content, config, path, partial, hint)
    converted.report.dropped |= content.others
    trained = converted.origin.info
    if trained is not None and not partial:
        other = f"choose a configuration of {trained.name}{hint}"
        refuse_difference(str(path), trained, config.info, other)
    return converted


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
