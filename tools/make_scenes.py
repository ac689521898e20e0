"""Make scenes with labels, ready for training: streets laid out as Cityscapes, or a warehouse.

Every scene depends only on the seed, its split and its number: more scenes, or more processes,
change none of the first. The folder appears when all of it is done; a run that is stopped leaves
nothing behind that looks finished.

With --frames each scene becomes a sequence: the camera drives, vehicles and people move, hide each
other, leave and come, and instances keep their ids. Sequences are also laid out as KITTI-STEP's
(images, panoptic_maps).

With --world warehouse the scenes show another world to another camera (floor, wall, shelf, box,
robot), laid out as one's own data for configs/own_data.yml: images and COCO panoptic annotations.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.parallel import MAX_WORKERS, ending_on_sigterm, in_parallel

if TYPE_CHECKING:
    from scenes.files import Job

SMALLEST_SIZE = 32
LARGEST_SIZE = 8192
MAX_FRAMES = 100
"""At the end of a longer sequence the street would end too."""
STREET, WAREHOUSE = "street", "warehouse"
_PARTS = {"leftImg8bit", "gtFine", "images", "panoptic_maps", "annotations"}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = script_parser(
        __doc__, "python tools/make_scenes.py --output data/scenes --train 400 --val 50"
    )
    parser.add_argument("--output", required=True, help="the folder to make")
    parser.add_argument(
        "--world",
        choices=[STREET, WAREHOUSE],
        default=STREET,
        help="what the scenes show (default: %(default)s)",
    )
    parser.add_argument("--train", type=int, help="training scenes; default: 400")
    parser.add_argument("--val", type=int, help="validation scenes; default: 50")
    parser.add_argument("--frames", type=int, help="make each scene a sequence of that many frames")
    parser.add_argument(
        "--sequences",
        type=int,
        help="sequences to measure on, short for --train 0 --val N --frames 24; --frames as given",
    )
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
    args = with_defaults(args)
    check_numbers(args)
    output = check_output(Path(args.output), args.overwrite)
    counts = {"train": args.train, "val": args.val}
    size = args.height, args.width
    if args.world == WAREHOUSE:
        make_warehouse(output, counts, size, args.seed, args.num_workers)
    else:
        make_scenes(output, counts, size, args.seed, args.num_workers, args.frames)
    what = "scenes" if args.frames is None else f"sequences of {args.frames} frames"
    print(f"{output}: {args.train} training and {args.val} validation {what}")


def with_defaults(args: argparse.Namespace) -> argparse.Namespace:
    """Say how many scenes or sequences of each split are meant.

    Raises:
        UsageError: --sequences stands beside what it is short for.
    """
    given = vars(args).copy()
    sequences = given.pop("sequences")
    if sequences is None:
        defaults = {"train": 400, "val": 50}
    else:
        _check_range("--sequences", sequences, 1, 999_999)
        for name in ("train", "val"):
            if given[name] is not None:
                raise UsageError(
                    f"--sequences {sequences} is short for --train 0 --val {sequences}; with "
                    f"--{name} give --train, --val and --frames instead"
                )
        defaults = {"train": 0, "val": sequences, "frames": 24}
    return argparse.Namespace(
        **given | {name: value for name, value in defaults.items() if given[name] is None}
    )


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
    if args.frames is not None:
        _check_range("--frames", args.frames, 1, MAX_FRAMES)
        if args.world != STREET:
            raise UsageError(f"--world {args.world}: sequences are made of streets only")
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
    output: Path,
    counts: dict[str, int],
    size: tuple[int, int],
    seed: int,
    workers: int,
    frames: int | None = None,
) -> None:
    """Make the folder of scenes: images, labels, panoptic files.

    Args:
        output: what to make; replaced as a whole when all is done.
        counts: split -> number of scenes.
        size: (height, width) in pixels.
        seed: of all random draws.
        workers: processes.
        frames: of each sequence; None for single images.
    """
    from scenes.files import write_scene, write_sequence

    from panoptic_deeplab.convert.prepare_cityscapes import make_panoptic

    write = write_scene if frames is None else partial(write_sequence, frames=frames)
    unit = "scenes" if frames is None else "sequences"
    with _folder_in_the_making(output) as folder:
        jobs = [job for split in counts for job in _jobs(split, counts[split], size, seed)]
        for _ in in_parallel(partial(write, root=folder), jobs, workers, unit):
            pass
        for split, count in counts.items():
            if count:
                make_panoptic(folder / "gtFine", split, workers)


def make_warehouse(
    output: Path, counts: dict[str, int], size: tuple[int, int], seed: int, workers: int
) -> None:
    """Make the folder of images and COCO panoptic annotations of a warehouse.

    Args:
        output, counts, size, seed, workers: as of `make_scenes`.
    """
    from scenes.own_files import write_own_json
    from scenes.warehouse import INFO, write_warehouse

    with _folder_in_the_making(output) as folder:
        for split, count in counts.items():
            if count:
                jobs = _jobs(split, count, size, seed)
                entries = in_parallel(
                    partial(write_warehouse, root=folder), jobs, workers, f"{split}: scenes"
                )
                write_own_json(entries, split, INFO, folder)


def _jobs(split: str, count: int, size: tuple[int, int], seed: int) -> list[Job]:
    from scenes.files import Job

    return [Job(seed, split, index, *size) for index in range(count)]


@contextmanager
def _folder_in_the_making(output: Path) -> Iterator[Path]:
    """Yield the folder to write to, which becomes `output` when all is done."""
    from panoptic_deeplab.files import replacing_folder
    from panoptic_deeplab.folder_lock import sole_writer

    with (
        ending_on_sigterm(),
        sole_writer(output, "generation of scenes"),
        replacing_folder(output) as folder,
    ):
        yield folder


if __name__ == "__main__":
    sys.exit(main())
