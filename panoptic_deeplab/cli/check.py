"""Read everything that a training would; report what is wrong with it and what is in it.

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

from panoptic_deeplab.check import SPLITS, check_dataset
from panoptic_deeplab.check.findings import ERROR, KINDS, WARNING
from panoptic_deeplab.cli.command_line import run_script
from panoptic_deeplab.cli.flags import add_config_arguments, add_json_argument
from panoptic_deeplab.cli.parser import Parser, not_negative, positive
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import usable_folder, write_json

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
        choices=[*SPLITS, "both"],
        default="both",
        help="the split to read; both (the default): the splits that the configuration has",
    )
    add_json_argument(parser)
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
    """Check the data set and print the report."""
    from panoptic_deeplab.config import Config

    config = Config(args.config, args.opts)
    if args.save_dir is not None:
        usable_folder(args.save_dir)  # before the long work, not after it
    splits = SPLITS if args.split == "both" else (args.split,)
    report = check_dataset(config, splits, args.num_workers)
    print(report.to_text(args.examples))
    if args.json is not None:
        write_json(args.json, report.to_dict(), indent=1)
    if args.save_dir is not None:
        for path in report.save_to_img(args.save_dir, args.samples):
            print(f"{path}: written")
    errors = report.findings.total(ERROR)
    if errors:
        raise DataError(f"{args.config}: {errors} error(s) found, listed above")
