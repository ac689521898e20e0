"""A loop over images that goes on after a kill: a journal tells which ones it has done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from panoptic_deeplab.files import usable_folder
from panoptic_deeplab.inference.sources import ImageFile
from panoptic_deeplab.results.done import done_images
from panoptic_deeplab.results.journal import (
    JournalAppender,
    Provenance,
    read_journal,
    write_journal,
)
from panoptic_deeplab.results.lock import held

Result = TypeVar("Result")

FORM = "python"
"""Of the journal's lines that tell what loops have done."""


def resumed(
    images: Sequence[ImageFile],
    predict: Callable[[Sequence[ImageFile]], Iterator[Result]],
    folder: str | Path,
    model: str,
) -> Iterator[Result]:
    """Yield the results of the images that no loop has done, noting each at the next one's turn.

    Args:
        images: all of them.
        predict: gives the results of some, in their order.
        folder: with the journal `results.jsonl`.
        model: fingerprint of the model and its settings.

    Raises:
        UserError: the folder cannot be used, another process predicts into it, or a loop with
            another model did some of the images.
    """
    folder = usable_folder(folder)
    with held(folder):
        versions = {image.name: image.version for image in images}
        done = done_images(folder, {FORM: str}, versions, model)
        contents = read_journal(folder)
        write_journal(folder, contents, is_start=contents.is_unfinished)
        journal = JournalAppender(folder)
        to_come = [image for image in images if image.name not in done]
        for image, result in zip(to_come, predict(to_come), strict=True):
            yield result
            made = Provenance(model, versions[image.name], 0).as_line()
            journal.append([{"form": FORM, "key": image.name, "files": [], "made": made}])
