"""Make street scenes, labeled and laid out as Cityscapes, ready for training.

Every scene depends only on the seed, its split and its number: more scenes, or more processes,
change none of the first. The folder appears when all of it is done; a run that is stopped leaves
nothing behind that looks finished.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.parallel import MAX_WORKERS, ending_on_sigterm, in_parallel

SMALLEST_SIZE = 32
LARGEST_SIZE = 8192
_PARTS = {"leftImg8bit", "gtFine"}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = script_parser(
        __doc__, "python tools/make_scenes.py --output data/scenes --train 400 --val 50"
    )
    parser.add_argument("--output", required=True, help="the folder to make")
    parser.add_argument("--train", type=int, default=400, help="training scenes; default: 400")
    parser.add_argument("--val", type=int, default=50, help="validation scenes; default: 50")
    parser.add_argument("--height", type=int, default=256, help="pixels; default: 256")
    parser.add_argument("--width", type=int, default=512, help="pixels; default: 512")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random draws; default: 0")
    parser.add_argument(
        "--num_workers", type=int, default=os.cpu_count() or 1, help="processes; default: all cores"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace scenes in --output")
    add_debug_argument(parser)
    parser.former_names["--workers"] = "--num_workers"
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the scenes and return the exit code."""
    return run(_make, parse_args(argv))


def _make(args: argparse.Namespace) -> None:
    check_numbers(args)
    output = check_output(Path(args.output), args.overwrite)
    counts = {"train": args.train, "val": args.val}
    make_scenes(output, counts, (args.height, args.width), args.seed, args.num_workers)
    print(f"{output}: {args.train} training and {args.val} validation scenes")


def check_numbers(args: argparse.Namespace) -> None:
    """Refuse what cannot be made.

    Raises:
        UsageError: a number is out of its range, or there is nothing to make.
    """
    _check_range("--train", args.train, 0, 999_999)
    _check_range("--val", args.val, 0, 999_999)
    _check_range("--num_workers", args.num_workers, 1, MAX_WORKERS)
    _check_range("--height", args.height, SMALLEST_SIZE, LARGEST_SIZE)
    _check_range("--width", args.width, SMALLEST_SIZE, LARGEST_SIZE)
    if args.train + args.val == 0:
        raise UsageError("--train and --val: expected at least one scene in all, got 0 and 0")


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name}: expected {low}..{high}, got {value}")


def check_output(output: Path, overwrite: bool) -> Path:
    """The folder to make, absolute, once it is known that nobody's files are lost by it.

    Raises:
        UsageError: a file stands there, or a folder that may not be replaced.
    """
    output = Path(os.path.abspath(output))
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output}: expected a folder to make, but a file stands there")
    held = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if held and not overwrite:
        raise UsageError(
            f"--output {output}: expected a new or empty folder, but it holds files; "
            "choose another or add --overwrite"
        )
    if held - _PARTS:
        raise UsageError(
            f"--output {output}: --overwrite replaces folders of scenes, but this one also holds "
            f"{sorted(held - _PARTS)[0]}; choose another"
        )
    return output


def make_scenes(
    output: Path, counts: dict[str, int], size: tuple[int, int], seed: int, workers: int
) -> None:
    """Make the folder of scenes: images, labels, panoptic files.

    Args:
        output: what to make; replaced as a whole when all is done.
        counts: split -> number of scenes.
        size: (height, width) in pixels.
        seed: of all random draws.
        workers: processes.
    """
    from scenes.files import Job, write_scene

    from panoptic_deeplab.convert.prepare_cityscapes import make_panoptic
    from panoptic_deeplab.files import replacing_folder
    from panoptic_deeplab.folder_lock import sole_writer

    jobs = [
        Job(seed, split, index, *size) for split, count in counts.items() for index in range(count)
    ]
    with (
        ending_on_sigterm(),
        sole_writer(output, "generation of scenes"),
        replacing_folder(output) as folder,
    ):
        for _ in in_parallel(partial(write_scene, root=folder), jobs, workers, "scenes"):
            pass
        for split, count in counts.items():
            if count:
                make_panoptic(folder / "gtFine", split, workers)


if __name__ == "__main__":
    sys.exit(main())
