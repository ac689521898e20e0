"""Read thousands of damaged files of all kinds; each must be read, or refused in one line.

Small images, annotations, weights, configurations and descriptions of exports are cut, changed bit
by bit, number by number and value by value, repeated in part and taken for one another, and given
to what reads them, in processes with a limit of time and memory. Anything but success and one clear
line is reported with the file, and ends the program with exit code 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import random
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stressing.damage import damaged

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.errors import DataError, UserError
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.text_table import align

if TYPE_CHECKING:
    from stressing.files import FileKind

MEMORY = 2 << 30
"""Bytes that a reader may take beside what the process takes anyway, before and after."""

_MAX_ADDRESSES = 8 << 30  # of memory asked for, most of which may never be touched

SECONDS = 20
_START_SECONDS = 180  # of a process, which imports Paddle
_MAX_MESSAGE = 2000
READ, REFUSED = "read", "refused"


class Outcome(NamedTuple):
    """What became of a file: READ, REFUSED or what went wrong, and the message."""

    what: str
    message: str = ""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = script_parser(__doc__, "python tools/stress_files.py --files 2000 --seed 1")
    parser.add_argument("--files", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--num_workers", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--kind", help="the only kind of file, such as image; default: all in turn")
    parser.add_argument("--save_dir", type=Path, help="where files that did wrong are kept")
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Read all files and return the exit code."""
    return run(stress, parse_arguments(argv))


def stress(arguments: argparse.Namespace) -> None:
    """Damage the files, have them read, and report what became of them."""
    counts: dict[str, Counter[str]] = {}
    faults = 0
    files = DamagedFiles(arguments.seed, arguments.kind)
    for index, outcome in outcomes(arguments):
        kind = files.kind(index)
        counts.setdefault(kind, Counter())[outcome.what] += 1
        if outcome.what not in (READ, REFUSED):
            faults += 1
            print(f"file {index} ({kind}): {outcome.what}: {outcome.message:.300}", flush=True)
            if arguments.save_dir is not None:
                files.write(index, arguments.save_dir / f"{index}")
    columns = sorted({what for counter in counts.values() for what in counter} - {READ, REFUSED})
    columns = [READ, REFUSED, *columns]
    rows = [[kind, *(str(counts[kind][what]) for what in columns)] for kind in sorted(counts)]
    total = ["all", *(str(sum(count[what] for count in counts.values())) for what in columns)]
    print(align([["", *columns], *rows, total], rules=(1, len(rows) + 1)))
    if faults:
        raise DataError(f"{faults} of {arguments.files} files did what none may")


class DamagedFiles:
    """Files by their number, the same for the same seed.

    Args:
        seed: of all changes.
        only: the only kind; None takes all in turn.
    """

    def __init__(self, seed: int, only: str | None) -> None:
        self.seed = seed
        from stressing.files import file_kinds

        self.kinds = file_kinds()
        if only is not None and only not in self.kinds:
            raise DataError(f"--kind must be one of {', '.join(self.kinds)}, got {only!r}")
        self.names = list(self.kinds) if only is None else [only]

    def kind(self, index: int) -> str:
        """Return the kind of a file."""
        return self.names[index % len(self.names)]

    def write(self, index: int, folder: Path) -> tuple[Path, FileKind]:
        """Write a file below a folder, under the name that its readers look for."""
        name, rng = self.kind(index), random.Random(f"{self.seed} {index}")
        kind = self.kinds[name]
        others = [content for other in self.kinds.values() for content in other.whole]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / kind.name
        path.write_bytes(damaged(rng.choice(kind.whole), others, rng))
        return path, kind


def outcomes(arguments: argparse.Namespace) -> Iterator[tuple[int, Outcome]]:
    """Yield the outcome of each file, in order."""
    readers: queue.SimpleQueue[ReaderProcess] = queue.SimpleQueue()

    def read(index: int) -> tuple[int, Outcome]:
        reader = readers.get()
        try:
            return index, reader.read(index)
        finally:
            readers.put(reader)

    processes = [ReaderProcess(arguments) for _ in range(arguments.num_workers)]
    for process in processes:
        readers.put(process)
    try:
        yield from read_ahead(read, range(arguments.files), arguments.num_workers)
    finally:
        for process in processes:
            process.end()


class ReaderProcess:
    """A process that reads files; one that hangs or dies is replaced."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        settings = (other, self.arguments.seed, self.arguments.kind)
        self.process = context.Process(target=read_files, args=settings, daemon=True)
        self.process.start()
        other.close()
        if not self.connection.poll(_START_SECONDS):
            raise RuntimeError("a process that reads files does not start")
        self.connection.recv()

    def read(self, index: int) -> Outcome:
        """Have a file read."""
        self.connection.send(index)
        if self.connection.poll(SECONDS):
            try:
                return Outcome(*self.connection.recv())
            except EOFError:
                self.process.join()
                outcome = Outcome("died", f"exit code {self.process.exitcode}")
        else:
            outcome = Outcome("too slow", f"over {SECONDS} s")
        self.process.kill()
        self.end()
        self._start()
        return outcome

    def end(self) -> None:
        """Close the connection, at which the process ends, and wait for that."""
        self.connection.close()
        self.process.join()


def read_files(connection: Connection, seed: int, only: str | None) -> None:
    """Answer numbers of files with their outcomes until the other side ends; runs in a process."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # libraries of C tell of broken files there
        os.dup2(quiet, stream)
    files = DamagedFiles(seed, only)
    with tempfile.TemporaryDirectory() as temporary:
        for name, kind in files.kinds.items():  # whole files, so that all is imported
            for content in kind.whole:
                path = Path(temporary, name, kind.name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
                outcome_of(path, kind)
        _limit_memory()
        connection.send("ready")
        while True:
            try:
                index = connection.recv()
            except EOFError:
                return
            with tempfile.TemporaryDirectory(dir=temporary) as folder:
                path, kind = files.write(index, Path(folder))
                taken, outcome = _memory_taken(partial(outcome_of, path, kind))
            if taken > MEMORY:
                outcome = Outcome("out of memory", f"{taken >> 20} MB")
            connection.send(tuple(outcome))


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MAX_ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _memory_taken(do: Callable[[], Outcome]) -> tuple[int, Outcome]:
    """Call `do`; return the bytes by which this process grew meanwhile, at its peak."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    outcome = do()
    return _status("VmHWM") - before, outcome


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def outcome_of(path: Path, kind: FileKind) -> Outcome:
    """Read a file in each way: the first fault, else READ if any reader takes it."""
    outcomes = [_outcome_of(path, reader) for reader in kind.readers]
    faults = [outcome for outcome in outcomes if outcome.what not in (READ, REFUSED)]
    read = [outcome for outcome in outcomes if outcome.what == READ]
    return (faults or read or outcomes)[0]


def _outcome_of(path: Path, reader: Callable[[Path], object]) -> Outcome:
    try:
        reader(path)
    except UserError as error:
        message = str(error)
        unclear = "\n" in message or len(message) > _MAX_MESSAGE or "MemoryError" in message
        return Outcome("unclear" if unclear else REFUSED, message[:_MAX_MESSAGE])
    except MemoryError:
        return Outcome("out of memory", reader.__name__)
    except Exception as error:
        return Outcome(type(error).__name__, f"{reader.__name__}: {error!s:.300}")
    return Outcome(READ)


if __name__ == "__main__":
    sys.exit(main())
