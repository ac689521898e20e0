"""Writes the chosen forms of results of each image together, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from panoptic_deeplab.files import replacing
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import Rendered, ResultFormat
from panoptic_deeplab.results.journal import (
    FileVersion,
    JournalAppender,
    Provenance,
    read_journal,
)
from panoptic_deeplab.stopwatch import Stopwatch

RenderedForms = Mapping[tuple[str, str], Rendered]
"""One image's results, by the name of the form and the image's key in it."""


class ResultWriter:
    """Writes the results of images into a folder that `folder.prepared` holds ready.

    Images may be written in several threads, and by several processes that share them.

    Args:
        folder: where the results go.
        forms: what to write, by the form's name.
        rank: the number of this process.
        model: fingerprint of what makes the results.
    """

    def __init__(
        self, folder: Path, forms: Mapping[str, ResultFormat], rank: int = 0, model: str = ""
    ) -> None:
        self.folder = folder
        self.forms = forms
        self.model = model
        self._journal = JournalAppender(folder, rank)
        self._earlier = _segment_files(folder, forms)
        self._stopwatch = Stopwatch()

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far in `drawing`, if anything is drawn, and in `writing`."""
        apart: dict[str, float] = {}
        for form in self.forms.values():
            apart |= form.stopwatch.seconds
        total = self._stopwatch.seconds.get("writing", 0.0)
        return apart | {"writing": total - sum(apart.values())}

    def write(self, name: str, result: Result, version: FileVersion | None = None) -> None:
        """Write one image's files in all forms; what fails before the last is written changes none.

        Args:
            name: the image's path below the folder that was asked for, without suffix.
            result: its prediction.
            version: of the image's file, where it has one.

        Raises:
            OSError: the disk is full, or a file cannot be written.
            DataError: a form cannot hold the result.
        """
        with self._stopwatch.timing("writing"):
            self.put(render_all(self.forms, name, result), version)

    def put(self, rendered: RenderedForms, version: FileVersion | None = None) -> None:
        """Write the files that `render_all` made of one image, perhaps in another process.

        Raises:
            OSError: the disk is full, or a file cannot be written.
        """
        self._replace_files(rendered)
        self._journal.append(
            {
                "form": kind,
                "key": key,
                "files": list(one.files),
                "made": Provenance(self.model, version, one.num_bytes).as_line(),
                "entry": one.entry,
            }
            for (kind, key), one in rendered.items()
        )

    def _replace_files(self, rendered: RenderedForms) -> None:
        """Put the files in place of earlier ones, once all are on the disk and in the journal."""
        with ExitStack() as at_the_end:
            for one in rendered.values():
                for path, content in one.files.items():
                    temporary = at_the_end.enter_context(replacing(self.folder / path))
                    temporary.write_bytes(content)
            self._journal.append(
                {"form": kind, "key": key, "files": list(one.files)}
                for (kind, key), one in rendered.items()
            )
        for place, one in rendered.items():
            for path in self._earlier.get(place, set()) - one.files.keys():
                (self.folder / path).unlink(missing_ok=True)


def render_all(forms: Mapping[str, ResultFormat], name: str, result: Result) -> RenderedForms:
    """Make one image's files in all forms, and write none.

    Args:
        forms: what to make, by the form's name.
        name: the image's path below the folder that was asked for, without suffix.
        result: its prediction.

    Raises:
        DataError: a form cannot hold the result.
    """
    return {(kind, form.key(name)): form.render(name, result) for kind, form in forms.items()}


def _segment_files(
    folder: Path, forms: Mapping[str, ResultFormat]
) -> dict[tuple[str, str], set[str]]:
    """Find the files of segments that earlier predictions wrote, by form and key.

    Other files in those folders are not ours.
    """
    with_folders = [kind for kind, form in forms.items() if form.segment_folder("") is not None]
    known = read_journal(folder).records if with_folders else {}
    return {
        (kind, key): {
            file for file in record.files if file.startswith(f"{forms[kind].segment_folder(key)}/")
        }
        for kind in with_folders
        for key, record in known.get(kind, {}).items()
    }
