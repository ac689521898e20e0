"""Kinds of faults of a data set with their severity and fix, and the findings of a check."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from panoptic_deeplab.errors import DataError

ERROR, WARNING = "error", "warning"

MAX_KEPT = 100_000
"""Maximum number of findings kept of each kind, to bound the memory of a bad data set."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault: its severity (ERROR or WARNING) and how to fix it."""

    severity: str
    fix: str


KINDS = {
    "missing file": Kind(ERROR, "put the file there, or take its entry out of the annotations"),
    "unprepared": Kind(ERROR, "run the command that the line names"),
    "unreadable file": Kind(ERROR, "fetch or write the file again"),
    "no map of ids": Kind(
        ERROR,
        "write the ids as an RGB PNG of 8 bits, id = R + 256 G + 65536 B: a number of its own for "
        "each segment of the image, 0 for void",
    ),
    "malformed entry": Kind(
        ERROR, "write into the entry what the line expects, or take the entry out of the JSON"
    ),
    "outside folder": Kind(ERROR, "give file names relative to the folder, without .."),
    "unknown category": Kind(
        ERROR, "add the class to the data set's categories, or correct the id"
    ),
    "label ids": Kind(
        ERROR,
        "write the files with train ids: panoptic-deeplab convert prepare-cityscapes --overwrite "
        "(csCreatePanopticImgs --use-train-id)",
    ),
    "class table": Kind(
        ERROR,
        "give both splits the same categories (id, name, isthing), each with an id and a name of "
        "its own",
    ),
    "thing or stuff": Kind(
        ERROR,
        "write isthing into every category, 1 where instances are counted and 0 for stuff, or list "
        "all in the configuration: categories: [{id: 1, name: road, isthing: 0, color: [9, 9, 9]}]",
    ),
    "duplicate image": Kind(ERROR, "keep one entry and one image for each image id"),
    "annotation without picture": Kind(ERROR, "put the image there, or take its entries out"),
    "size mismatch": Kind(
        ERROR,
        "scale the annotation (nearest neighbor) to the image's size, and count area and bbox "
        "again or leave them out",
    ),
    "annotated as stored": Kind(
        ERROR,
        "if the annotation fits the pixels as stored, remove the tag from the image (exiftool "
        "-Orientation= FILE); do not scale the annotation",
    ),
    "duplicate segment": Kind(
        ERROR, "list each segment once, and give each of an image an id of its own"
    ),
    "id not in JSON": Kind(
        ERROR, "list the id under segments_info, or write PNG and JSON again in one run"
    ),
    "segment without pixels": Kind(
        ERROR, "take the segment out of the JSON, or write the PNG again"
    ),
    "wrong area": Kind(
        ERROR,
        "write the number of pixels counted, or leave area out of all segments; scores go by the "
        "annotated area",
    ),
    "shared picture": Kind(ERROR, "take the image out of one split; a score on it says nothing"),
    "EXIF orientation": Kind(
        WARNING,
        "look at the sample that --save_dir draws: if the annotation lies wrong on the upright "
        "image, it was drawn on the stored one; then remove the tag (exiftool -Orientation= FILE)",
    ),
    "wrong box": Kind(WARNING, "write the box counted (x, y, width, height); other tools go by it"),
    "overlap": Kind(WARNING, "cut the masks if the order is wrong; later ones are painted on top"),
    "empty mask": Kind(WARNING, "take the label out or draw it larger; it is skipped"),
    "crowd of stuff": Kind(WARNING, "set iscrowd to 0; stuff has no instances to tell apart"),
    "picture without annotation": Kind(
        WARNING, "annotate it, or take the image and its entry away; it is skipped"
    ),
    "repeated picture": Kind(WARNING, "keep one of them and its entries; it weighs twice"),
    "shared image id": Kind(
        WARNING, "give it another id, or leave it if each split numbers its images from the start"
    ),
    "nothing annotated": Kind(WARNING, "annotate it or leave it out; there is nothing to learn"),
    "class without segment": Kind(
        WARNING, "add examples, or leave the class out of the categories of both splits"
    ),
}
"""Errors stop a training or falsify what it learns or its score; warnings do not."""


_PLACES = ("file", "image_id", "segment_id", "pixel")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault.

    Attributes:
        kind: a key of KINDS.
        split: train or val.
        cause: one line that names the file.
        file: the faulty file.
        image_id: as in the data set.
        segment_id: in the map of ids.
        pixel: (y, x) of the first pixel concerned.
    """

    kind: str
    split: str
    cause: str
    file: str | None = None
    image_id: str | None = None
    segment_id: int | None = None
    pixel: tuple[int, int] | None = None

    @classmethod
    def of(cls, error: DataError, cause: str, *, split: str, **where: Any) -> Finding:
        """Make a finding of a reader's error, whose own place overrides `where`."""
        where |= {name: value for name, value in error.where.items() if name in _PLACES}
        if "file" in where:
            where["file"] = str(where["file"])
        return cls(error.kind, split, cause, **where)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, unknown fields left out."""
        named = {name: getattr(self, name) for name in ("kind", "split", "file", "image_id")}
        where = {"segment_id": self.segment_id, "pixel_yx": self.pixel}
        description = {"cause": self.cause, "cure": KINDS[self.kind].fix}
        known = {key: value for key, value in (named | where).items() if value is not None}
        return {"severity": KINDS[self.kind].severity} | known | description


@dataclass
class Findings:
    """All findings, counted by kind; of each kind the first MAX_KEPT are kept."""

    counts: Counter[str] = field(default_factory=Counter)
    kept: defaultdict[str, list[Finding]] = field(default_factory=lambda: defaultdict(list))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add findings."""
        for finding in findings:
            self.counts[finding.kind] += 1
            if len(self.kept[finding.kind]) < MAX_KEPT:
                self.kept[finding.kind].append(finding)

    def total(self, severity: str) -> int:
        """Number of errors or of warnings."""
        return sum(n for kind, n in self.counts.items() if KINDS[kind].severity == severity)

    def by_kind(self) -> list[tuple[str, Kind, list[Finding]]]:
        """The kinds that occurred with their findings, in the order of KINDS: errors first."""
        return [(kind, KINDS[kind], self.kept[kind]) for kind in KINDS if kind in self.kept]

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for `--json`."""
        return {
            "errors": self.total(ERROR),
            "warnings": self.total(WARNING),
            "counts": {kind: self.counts[kind] for kind, _, _ in self.by_kind()},
            "findings": [f.to_dict() for _, _, kept in self.by_kind() for f in kept],
        }
