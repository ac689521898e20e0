"""The outcome of a check: as text, as plain data, as images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panoptic_deeplab.check.findings import Findings
from panoptic_deeplab.check.samples import draw_samples
from panoptic_deeplab.check.splits import SplitCheck
from panoptic_deeplab.check.tables import findings_text, statistics_text
from panoptic_deeplab.formats.images import write_image


@dataclass(frozen=True)
class Report:
    """The outcome of `check_dataset`.

    Attributes:
        findings: what is wrong.
        splits: what is in each split that could be opened.
    """

    findings: Findings
    splits: list[SplitCheck]

    def to_text(self, examples: int = 5) -> str:
        """The statistics of each split, and the findings with up to `examples` of each kind."""
        parts = [statistics_text(split.statistics, split.dataset.name) for split in self.splits]
        return "\n\n".join([*parts, findings_text(self.findings, examples)])

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        statistics = {split.name: split.statistics.to_dict() for split in self.splits}
        return self.findings.to_dict() | {"statistics": statistics}

    def save_to_img(self, folder: Path, samples: int = 6) -> list[Path]:
        """Write statistics.png and samples.jpg, each where there is something to draw.

        Args:
            folder: where to.
            samples: annotations drawn in samples.jpg.

        Returns:
            The files written.
        """
        from panoptic_deeplab.check.chart import draw_statistics  # here, for matplotlib's sake

        images = {
            folder / "statistics.png": draw_statistics(self.splits),
            folder / "samples.jpg": draw_samples(self.splits, samples),
        }
        drawn = {path: image for path, image in images.items() if image is not None}
        for path, image in drawn.items():
            write_image(path, image)
        return list(drawn)
