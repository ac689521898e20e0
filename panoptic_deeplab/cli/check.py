"""Read everything that a training would, and tell what is wrong with it and what is in it.

Every image and annotation is decoded; nothing stops at the first fault. Each finding names the
file, the pixel (y, x) or the id, the cause and the fix; then come statistics, as a table and, with
--save_dir, as images: statistics.png, and samples.jpg with some annotations drawn.

Errors stop a training or falsify what it learns or its score; warnings do not.

{errors}

{warnings}

Exit code: 0 nothing wrong, or warnings only; 1 errors; 2 a wrong command line or configuration.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_deeplab.check.findings import ERROR, KINDS, WARNING, Findings
from panoptic_deeplab.cli.command_line import run_script
from panoptic_deeplab.cli.flags import add_config_arguments
from panoptic_deeplab.cli.parser import Parser, not_negative, positive
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import usable_folder, write_json

if TYPE_CHECKING:
    from panoptic_deeplab.check.splits import SplitCheck
    from panoptic_deeplab.config import Config


SUMMARY = "find what is wrong with a data set before training on it"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its flags."""
    parser.describe(
        __doc__.format(errors=_kinds(ERROR), warnings=_kinds(WARNING)),
        "panoptic-deeplab check --config own_data --save_dir output/check",
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--split",
        choices=["train", "val", "both"],
        default="both",
        help="the split to read; both (the default): the splits that the configuration has",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    parser.add_argument("--save_dir", type=Path, help="the folder for the images")
    parser.add_argument(
        "--examples",
        type=positive,
        default=5,
        help="findings shown of each kind (default: %(default)s)",
    )
    parser.add_argument(
        "--samples", type=not_negative, default=6, help="annotations drawn (default: %(default)s)"
    )
    parser.add_argument(
        "--num_workers",
        type=positive,
        default=os.cpu_count() or 1,
        help="threads that read; default: all cores",
    )


def _kinds(severity: str) -> str:
    names = ", ".join(name for name, kind in KINDS.items() if kind.severity == severity)
    return f"{severity.capitalize()}s: {names}."


def run(args: argparse.Namespace) -> None:
    """Check the data set and tell what was found."""
    from panoptic_deeplab.check.splits import check_splits
    from panoptic_deeplab.check.tables import findings_text, statistics_text
    from panoptic_deeplab.config import Config

    config = Config(args.config, args.opts)
    names = _split_names(config, args.split)
    for folder in (args.save_dir, args.json and args.json.resolve().parent):
        if folder is not None:
            usable_folder(folder)  # before the long work, not after it
    findings = Findings()
    checks = check_splits(config, names, args.num_workers, findings)
    for check in checks:
        print(statistics_text(check.statistics, check.dataset.name), end="\n\n")
    print(findings_text(findings, args.examples))
    if args.json is not None:
        statistics = {check.name: check.statistics.to_dict() for check in checks}
        write_json(args.json, findings.to_dict() | {"statistics": statistics}, indent=1)
    if args.save_dir is not None:
        _draw(checks, args.save_dir, args.samples)
    if findings.total(ERROR):
        raise DataError(f"{args.config}: {findings.total(ERROR)} error(s) found, listed above")


def _split_names(config: Config, split: str) -> list[str]:
    from panoptic_deeplab.check.splits import SPLITS

    names = SPLITS if split == "both" else (split,)
    present = [name for name in names if f"{name}_dataset" in config.tree]
    if not present:
        wanted = " or ".join(f"'{name}_dataset'" for name in names)
        raise UsageError(f"{config.path}: has no section {wanted} to check")
    return present


def _draw(checks: Sequence[SplitCheck], folder: Path, samples: int) -> None:
    from panoptic_deeplab.check.chart import draw_statistics
    from panoptic_deeplab.check.samples import draw_samples
    from panoptic_deeplab.formats.images import write_image

    images = {
        "statistics.png": draw_statistics(checks),
        "samples.jpg": draw_samples(checks, samples),
    }
    for name, image in images.items():
        if image is not None:
            write_image(folder / name, image)
            print(f"{folder / name}: written")
