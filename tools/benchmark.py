"""Measure what is fast here against what it replaces, in one run on one machine.

Each implementation runs in a process of its own; after a first call, whose result is compared and
whose peak memory is measured, rounds alternate between the two. The table shows the medians, half
the interquartile range (±), the speedup, the goal, and the memory that ours / theirs needed beyond
what was held before. All inputs are synthetic, the same in every run; no data set is needed.

  {subjects}
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_deeplab.cli.command_line import run_script
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.cli.parser import Parser, positive
from panoptic_deeplab.errors import UsageError

if TYPE_CHECKING:
    from benchmarking.comparison import Result

SUBJECTS = {
    "model": "the network in each runtime",
    "predict": "predict.py and val.py by runtime, image to map and whole commands",
    "export": "image to panoptic map by an exported file; its network alone",
    "postprocess": "network outputs to the panoptic map",
    "fusion": "outputs of EfficientPS to the panoptic map",
    "targets": "annotations to training targets",
    "train_step": "one step of a training",
    "solo": "duplicates among masks of SOLOv2; memory of its step",
    "throughput": "folders of images to files, by one process, two, and Ray",
    "loader": "waiting for samples in a training from disk",
    "evaluation": "scores against cityscapesscripts",
}
ALL = "all"
WITHIN_OTHERS = {"model"}  # which `all` need not measure twice
IMAGE_SUFFIXES = (".png", ".jpg")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_script(add_arguments, benchmark, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the command and its flags."""
    subjects = SUBJECTS | {ALL: "all of them, in this order, each once"}
    listed = "\n  ".join(f"{name:12} {what}" for name, what in subjects.items())
    parser.describe(
        __doc__.format(subjects=listed),
        "python tools/benchmark.py all --json benchmark.json --plot benchmark.png",
    )
    parser.add_argument(
        "subject", choices=subjects, metavar="SUBJECT", help="what to measure, see above"
    )
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--plot", type=Path, help="draw them into this image (.png or .jpg)")
    parser.add_argument(
        "--repeats",
        type=positive,
        default=7,
        help="rounds of each comparison (default: %(default)s)",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="comparisons whose names hold this text"
    )
    parser.add_argument(
        "--threads", type=positive, help="of the numeric libraries (default: one a core)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, one round, no processes of their own"
    )
    add_debug_argument(parser)


def benchmark(arguments: argparse.Namespace) -> None:
    """Measure, print and write the results.

    Raises:
        UsageError: a result could not be written.
    """
    check_outputs(arguments)
    threads = arguments.threads or usable_cores()
    from benchmarking.machine import describe_machine
    from benchmarking.report import (
        format_heading,
        format_machine,
        format_notes,
        format_result,
        to_json,
    )

    from panoptic_deeplab.files import write_json

    machine = describe_machine(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # of the measured processes
    print(format_machine(machine), flush=True)
    if arguments.quick:
        print("quick: a trial run; times and goals mean nothing at this size")
    chosen = [name for name in SUBJECTS if name not in WITHIN_OTHERS]
    names = chosen if arguments.subject == ALL else [arguments.subject]
    measured = []
    for name in names:
        results = []
        print(format_heading(name))
        for result in results_of(name, arguments):
            print(format_result(result), flush=True)
            results.append(result)
        print(*format_notes(results), sep="\n", flush=True)
        measured += [(name, result) for result in results]
    if arguments.json is not None:
        write_json(arguments.json, to_json(measured, machine), indent=2)
    if arguments.plot is not None:
        from benchmarking.plot import draw_plot

        from panoptic_deeplab.formats.images import write_image

        write_image(arguments.plot, draw_plot(measured, machine))


def check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse, before anything is measured, files that cannot be written.

    Raises:
        UsageError: the image's name has another suffix.
        DataError: a folder cannot be written to.
    """
    from panoptic_deeplab.files import usable_folder

    for path in filter(None, (arguments.json, arguments.plot)):
        usable_folder(path.parent)
    if arguments.plot is not None and arguments.plot.suffix not in IMAGE_SUFFIXES:
        raise UsageError(f"--plot {arguments.plot}: expected a name that ends in .png or .jpg")


def results_of(name: str, arguments: argparse.Namespace) -> Iterator[Result]:
    """Measure one subject with a progress bar."""
    from benchmarking.processes import InPlace, Worker

    from panoptic_deeplab.progress import progress_bar

    subject = importlib.import_module(f"benchmarking.{name}")
    repeats, runner = (1, InPlace) if arguments.quick else (arguments.repeats, Worker)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        comparisons = [
            comparison
            for comparison in subject.comparisons(Path(folder), arguments.quick)
            if arguments.only in comparison.name
        ]
        with progress_bar(
            comparisons, title=name, total=len(comparisons), unit="comparisons"
        ) as bar:
            for comparison in bar:
                bar.set_postfix_str(comparison.name, refresh=sys.stderr.isatty())
                yield comparison.run(repeats, runner)


def usable_cores() -> int:
    """The number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
