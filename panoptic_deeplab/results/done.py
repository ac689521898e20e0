"""Which images a folder has whole results of, so that a prediction need not make them again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.results.journal import FileVersion, Record, read_journal


def done_images(
    folder: Path,
    keys: Mapping[str, Callable[[str], str]],
    images: Mapping[str, FileVersion | None],
    model: str,
) -> set[str]:
    """Find the images whose results are whole in all forms, and made from the same file.

    Args:
        folder: of the results.
        keys: of each form that is asked for, what gives the key of an image by its name.
        images: version of the file of each image, by name; None where it has none.
        model: fingerprint of the model and its settings.

    Returns:
        their names.

    Raises:
        UsageError: another model, or one with other settings, made results of these images.
    """
    contents = read_journal(folder)
    done = set()
    for name, version in images.items():
        records = [contents.record(kind, key(name)) for kind, key in keys.items()]
        _refuse_other_model(folder, name, records, model)
        if all(_is_done(folder, record, version) for record in records):
            done.add(name)
    return done


def _refuse_other_model(folder: Path, name: str, records: Sequence[Record], model: str) -> None:
    made = [record.provenance for record in records if record.provenance is not None]
    if any(provenance.model != model for provenance in made):
        raise UsageError(
            f"--skip_done: another model, or one with other settings, predicted {name} into "
            f"{folder}; choose another --save_dir, or predict all anew without --skip_done"
        )


def _is_done(folder: Path, record: Record, version: FileVersion | None) -> bool:
    made = record.provenance
    if made is None or version is None or made.image != version:
        return False
    try:
        sizes = [os.stat(os.path.join(folder, file)).st_size for file in record.files]
    except OSError:
        return False
    return sum(sizes) == made.num_bytes
