"""Sources, targets, and the loop that converts one to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from panoptic_deeplab.convert.manifest import (
    files_of,
    read_manifest,
    refuse_foreign,
    replacing_conversion,
    write_manifest,
)
from panoptic_deeplab.errors import (
    DataError,
    FaultsError,
    UsageError,
    collecting_errors,
    raise_or_collect,
)
from panoptic_deeplab.folder_lock import sole_writer
from panoptic_deeplab.parallel import ending_on_sigterm, in_parallel
from panoptic_deeplab.structures import DatasetInfo, PanopticMap


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of a source.

    Attributes:
        image_id: what a JSON calls it.
        file_name: its image below the folder of images, with forward slashes.
        content: what `Source.read` needs; is sent to another process.
    """

    image_id: int | str
    file_name: str
    content: Any


@dataclass(frozen=True)
class Source:
    """Annotations in some format.

    Attributes:
        info: their classes.
        images: the annotated images.
        read: reads the map of an image; a function that can be sent to another process.
        faults: what was wrong with the annotations when they were listed, and is not in `images`.
    """

    info: DatasetInfo
    images: Sequence[AnnotatedImage]
    read: Callable[[AnnotatedImage], PanopticMap]
    faults: Sequence[DataError] = ()


class Target(Protocol):
    """A format to write. It is sent to other processes.

    Attributes:
        folder: where an image's files go; appears when all are written.
        results: paths that must not exist yet.
    """

    @property
    def folder(self) -> Path: ...

    @property
    def results(self) -> Sequence[Path]: ...

    def write(self, image: AnnotatedImage, panoptic: PanopticMap, folder: Path) -> Any:
        """Write an image's files below `folder` and return what `summarize` needs."""

    @property
    def summary(self) -> Path | None:
        """The file that lists all images, beside `folder`, if the format has one."""

    def summarize(self, entries: Sequence[Any], path: Path) -> None:
        """Write the summary to `path`; not called for a format without one."""


MAX_FAULTS = 1000
"""So many found, the rest is not read: it is one fault that all images have."""


def convert(
    source: Source, target: Target, num_workers: int = 0, overwrite: bool = False
) -> Sequence[DataError]:
    """Write all images of a source; on failure nothing of it appears.

    Args:
        source: what to read.
        target: what to write.
        num_workers: processes; 0 and 1 mean none beside this one.
        overwrite: replace an earlier result.

    Returns:
        What was left out because it covers no pixel or is no annotation.

    Raises:
        UsageError: results lie there already, and may not be replaced.
        FaultsError: images are broken, or two would be written to one file; it has all faults, up
            to MAX_FAULTS.
        DataError: there is no image.
    """
    found = _Found()
    found.add([*source.faults, *_clashes(source.images)])
    if not (source.images or found.faults):
        raise DataError("the source holds no annotated image, so there is nothing to convert")
    with ending_on_sigterm(), sole_writer(target.folder, "conversion"):
        _check_results(target, overwrite)
        with replacing_conversion(target.folder, target.summary) as draft:
            convert_one = partial(_convert_one, source.read, target, draft.folder)
            entries = []
            for entry, errors in in_parallel(convert_one, source.images, num_workers, "images"):
                entries.append(entry)
                found.add(errors)
                if len(found.faults) >= MAX_FAULTS:
                    break
            if found.faults:
                raise FaultsError(found.faults, found.left_out)
            if draft.summary is not None:
                target.summarize(entries, draft.summary)
            written = files_of(draft.folder) | ({target.summary.name} if target.summary else set())
            write_manifest(target.folder, read_manifest(target.folder) | written)
        write_manifest(target.folder, written)
    return found.left_out


@dataclass(frozen=True)
class _Found:
    """What is wrong with annotations.

    Attributes:
        faults: what must be mended.
        left_out: what was left out, and all else used.
    """

    faults: list[DataError] = field(default_factory=list)
    left_out: list[DataError] = field(default_factory=list)

    def add(self, errors: Iterable[DataError]) -> None:
        """Sort errors into the two lists."""
        for error in errors:
            (self.left_out if error.is_left_out else self.faults).append(error)


def _check_results(target: Target, overwrite: bool) -> None:
    present = [path for path in target.results if path.exists()]
    if present and not overwrite:
        raise UsageError(
            f"{present[0]}: exists already; choose another --save_dir or --name, or add --overwrite"
        )
    refuse_foreign(target.folder, target.summary)


def _clashes(images: Sequence[AnnotatedImage]) -> Iterator[DataError]:
    owners: dict[str, AnnotatedImage] = {}
    for image in images:
        other = owners.setdefault(stem_of(image), image)
        if other is not image:
            yield DataError(
                f"images {other.file_name!r} (id {other.image_id}) and {image.file_name!r} (id "
                f"{image.image_id}) would be written to one PNG; images need names that differ "
                "without their suffix"
            )


def stem_of(image: AnnotatedImage) -> str:
    """The image's name with folders, without suffix, which its files are named after."""
    return Path(image.file_name).with_suffix("").as_posix()


def _convert_one(
    read: Callable[[AnnotatedImage], PanopticMap],
    target: Target,
    folder: Path,
    image: AnnotatedImage,
) -> tuple[Any, list[DataError]]:
    """Return what `summarize` needs, None for a broken image, and what is wrong with the image."""
    with collecting_errors() as errors:
        try:
            return target.write(image, read(image), folder), errors
        except DataError as error:
            raise_or_collect(error)
    return None, errors
