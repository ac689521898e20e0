"""Let the disk run full under each command; what was there stays, and nothing is left half-written.

Each command writes into a small file system in memory (tmpfs, for which this program needs to be
root), first a large one, then ones that hold only a part of what it writes. It must then end with
one line that says so, its results whole or absent, and end well once there is space again.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stressing.processes import start
from stressing.trials import Trial, chosen, trials, writing_trials
from stressing.world import make_world

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.errors import DataError, UsageError

_LARGE, _FILLER, _PAGE = 1 << 30, 1 << 20, 4096
_PARTS = (0.02, 0.3, 0.7)
"""Of what a command writes: the sizes of the small disks."""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = script_parser(__doc__, "sudo python tools/stress_disk.py")
    parser.add_argument("--command", help="the only one to run, such as predict; default: all")
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run all and return the exit code."""
    return run(stress, parse_arguments(argv))


def stress(arguments: argparse.Namespace) -> None:
    """Run each command on disks that are too small."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        world = make_world(folder)
        disk = folder / "disk"
        disk.mkdir()
        table = chosen(trials(world, disk) | writing_trials(world, disk), arguments.command)
        for name, trial in table.items():
            with mounted(disk, _LARGE):
                _call(trial, folder / "output.txt", expected=0)
                written = shutil.disk_usage(disk).used
                whole = [trial.state(path) for path in trial.results]
                if None in whole:
                    raise DataError(f"{name}: not all results are there without a full disk")
            for part in _PARTS:
                free = int(part * written) // _PAGE * _PAGE
                _fill(name, trial, whole, disk, free, folder / "output.txt")
            print(f"{name}: writes {written / 1e6:.1f} MB, {len(_PARTS)} full disks", flush=True)


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """Mount a file system of some bytes at a folder.

    Raises:
        UsageError: this user may not.
    """
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        raise UsageError("mounting a small disk needs root; run this with sudo")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _fill(
    name: str, trial: Trial, whole: Sequence[object], disk: Path, size: int, output: Path
) -> None:
    with mounted(disk, size + _FILLER):
        (disk / "filler").write_bytes(bytes(_FILLER))
        said = _call(trial, output, expected=1)
        if "no space left" not in said:
            raise DataError(f"{name}: a full disk was told as {said[-300:]!r}")
        for path, expected in zip(trial.results, whole, strict=True):
            if trial.state(path) not in (None, expected):
                raise DataError(f"{name}: {path} is neither whole nor absent on a full disk")
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", f"remount,size={_LARGE}", str(disk)], check=True)
        _call(trial, output, expected=0)
        if [trial.state(path) for path in trial.results] != list(whole):
            raise DataError(f"{name}: with space again it did not end as without a full disk")


def _call(trial: Trial, output: Path, expected: int) -> str:
    """Run a command in front of an empty output file and return what it said."""
    output.write_bytes(b"")
    code = start(trial.words, output).wait()
    said = output.read_text("utf-8", "replace")
    if code != expected:
        raise DataError(f"{trial.words[0]}: exit code {code}, expected {expected}: {said[-2000:]}")
    return said


if __name__ == "__main__":
    sys.exit(main())
