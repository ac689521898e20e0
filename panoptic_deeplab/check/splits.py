"""A split as a whole, and the training split beside the validation split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from panoptic_deeplab.check import SPLITS
from panoptic_deeplab.check.findings import ERROR, KINDS, Finding, Findings
from panoptic_deeplab.check.images import ImageReport, check_image
from panoptic_deeplab.check.statistics import Statistics
from panoptic_deeplab.datasets import PanopticDataset
from panoptic_deeplab.errors import DataError, UsageError, collecting_errors, raise_or_collect
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.registry import DATASETS
from panoptic_deeplab.structures import Category

if TYPE_CHECKING:
    from panoptic_deeplab.config import Config

_UNLABELED = "picture without annotation"


@dataclass
class SplitCheck:
    """What is known of a split after all of it was read.

    Attributes:
        name: train or val.
        dataset: what was read.
        statistics: of the images that could be read.
        index_of_digest: digest of an image file -> its index in the data set.
        without_errors: one byte per record, 1 where its image has no error.
    """

    name: str
    dataset: PanopticDataset
    statistics: Statistics
    index_of_digest: dict[bytes, int] = field(default_factory=dict)
    without_errors: bytearray = field(default_factory=bytearray)

    def path(self, digest: bytes) -> str:
        """The path of the image with that digest."""
        return str(self.dataset.records[self.index_of_digest[digest]].image_path)

    def add(self, index: int, report: ImageReport) -> Iterator[Finding]:
        """Count an image and yield what is wrong with it."""
        self.statistics.add(report)
        self.without_errors.append(
            all(KINDS[finding.kind].severity != ERROR for finding in report.findings)
        )
        yield from report.findings
        if report.digest in self.index_of_digest:
            path = str(self.dataset.records[index].image_path)
            cause = f"{path}: has the same content as {self.path(report.digest)}"
            yield Finding("repeated picture", self.name, cause, path, report.image_id)
        elif report.digest is not None:
            self.index_of_digest[report.digest] = index


def check_splits(
    config: Config, names: Sequence[str], workers: int
) -> tuple[Findings, list[SplitCheck]]:
    """Find what is wrong with the splits and count what is in those that can be opened.

    Arguments and errors are those of `check_dataset`.
    """
    present = [name for name in names if f"{name}_dataset" in config.tree]
    if not present:
        wanted = " or ".join(f"'{name}_dataset'" for name in names)
        raise UsageError(f"{config.path}: has no section {wanted} to check")
    findings, checks = Findings(), []
    for position, name in enumerate(present):
        first_failed = position > len(checks)
        with collecting_errors() as errors:
            dataset = _open(config, name, own_classes=first_failed)
        findings.extend(
            Finding.of(error, str(error), split=name) for error in _without_consequences(errors)
        )
        if dataset is not None:
            if not (len(dataset) or errors):
                cause = f"{dataset.name}: there is no image"
                findings.extend([Finding("missing file", name, cause)])
            checks.append(_check_split(dataset, name, workers, findings))
    if tuple(check.name for check in checks) == SPLITS:
        findings.extend(compare_class_tables(config))
        findings.extend(compare_splits(*checks))
    return findings, checks


def _open(config: Config, name: str, own_classes: bool) -> PanopticDataset | None:
    """A split; None where not even its list of images can be read.

    Args:
        config: names it.
        name: of the split.
        own_classes: go by the split's own classes, not by those of the training split.
    """
    section = f"{name}_dataset"
    try:
        if own_classes:
            config.info = config.classes_of(section)
        return getattr(config, section)
    except DataError as error:
        raise_or_collect(error)
        return None


def _check_split(
    dataset: PanopticDataset, name: str, workers: int, findings: Findings
) -> SplitCheck:
    """Read all of a split.

    Threads read the files: most of the work (decoding, sorting, hashing) leaves the interpreter
    to the others.
    """
    check = SplitCheck(name, dataset, Statistics(dataset.info))
    boxes = dataset.annotated_boxes()

    def checked(index: int) -> ImageReport:
        return check_image(dataset, index, name, boxes.get(dataset.records[index].image_id))

    images = read_ahead(checked, range(len(dataset)), workers if workers > 1 else 0)
    bar = progress_bar(images, title=name, total=len(dataset), unit="images")
    for index, report in enumerate(bar):
        findings.extend(check.add(index, report))
    findings.extend(_absent_classes(check))
    if len(dataset) and all(record.label_path is None for record in dataset.records):
        # A split without annotations serves for prediction, but not for training.
        kind = "missing file" if name == SPLITS[0] else "nothing annotated"
        findings.extend([Finding(kind, name, f"{dataset.name}: no image is annotated")])
    return check


def _without_consequences(errors: Sequence[DataError]) -> Iterator[DataError]:
    """The errors, without images reported as unannotated because their annotation is faulty."""
    refused = {error.where.get("image_id") for error in errors if error.kind != _UNLABELED}
    for error in errors:
        if error.kind != _UNLABELED or error.where.get("image_id") not in refused:
            yield error


def _absent_classes(check: SplitCheck) -> Iterator[Finding]:
    if not check.statistics.annotated:
        return
    for index in check.statistics.absent():
        category = check.dataset.info.categories[index]
        cause = (
            f"class {category.name!r} (id {category.official_id}) has no segment in {check.name}"
        )
        yield Finding("class without segment", check.name, cause)


def compare_splits(train: SplitCheck, val: SplitCheck) -> Iterator[Finding]:
    """Find images and image ids that are in both splits."""
    index_of_id = {record.image_id: i for i, record in enumerate(train.dataset.records)}
    digest_of_index = {index: digest for digest, index in val.index_of_digest.items()}
    for index, record in enumerate(val.dataset.records):
        digest, path = digest_of_index.get(index), str(record.image_path)
        if digest in train.index_of_digest:
            cause = f"{path}: is also a training image, {train.path(digest)}"
            yield Finding("shared picture", val.name, cause, path, record.image_id)
        elif record.image_id in index_of_id:
            other = train.dataset.records[index_of_id[record.image_id]].image_path
            cause = f"{path}: has the image id {record.image_id}, and so has {other} in training"
            yield Finding("shared image id", val.name, cause, path, record.image_id)


def compare_class_tables(config: Config) -> Iterator[Finding]:
    """Find classes that one split's files list and the other's lack by name and by number.

    Classes that differ in name or number alone are reported when the second split is read, and all
    that differ from classes in the configuration when either is.
    """
    if "categories" in config.tree:
        return
    tables = {}
    for name in SPLITS:
        try:
            tables[name] = _own_classes(config, name)
        except DataError as error:
            yield Finding.of(error, str(error), split=name)
            return
    for name, other in (SPLITS, SPLITS[::-1]):
        names = {category.name for category in tables[other]}
        numbers = {category.official_id for category in tables[other]}
        for category in tables[name]:
            if category.name not in names and category.official_id not in numbers:
                cause = f"category {category.name!r} (id {category.official_id}) is not in {other}"
                yield Finding("class table", name, cause)


def _own_classes(config: Config, name: str) -> tuple[Category, ...]:
    """The classes that the split's own files list."""
    node = config.tree[f"{name}_dataset"]
    arguments = {key: value for key, value in node.items() if key != "type"}
    return DATASETS[node["type"]].describe(**arguments).categories
