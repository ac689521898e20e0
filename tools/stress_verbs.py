"""Kill conversions, exports and evaluations again and again; nothing may be lost.

Each command runs once undisturbed and then as often as asked with kill -9 at a random moment. After
each kill every result is whole or not there, no child process lives on, and the next run ends as
the first did, with no hidden remains. (tools/stress_resume.py compares trainings bit for bit,
tools/stress_predict.py lists with files.)
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from stressing.processes import finish, kill_after, start
from stressing.trials import Trial, chosen, trials
from stressing.world import make_world

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.errors import DataError


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = script_parser(__doc__, "python tools/stress_verbs.py --kills 30")
    parser.add_argument("--kills", type=int, default=3, help="of each command; default: 3")
    parser.add_argument("--seed", type=int, default=0, help="of the kills; default: %(default)s")
    parser.add_argument("--command", help="the only one to kill, such as export; default: all")
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run all and return the exit code."""
    return run(stress, parse_arguments(argv))


def stress(arguments: argparse.Namespace) -> None:
    """Kill each command as often as asked."""
    rng, total = random.Random(arguments.seed), 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        world, results = make_world(folder), folder / "results"
        results.mkdir()
        for name, trial in chosen(trials(world, results), arguments.command).items():
            kills = kill_again_and_again(name, trial, arguments.kills, rng, folder / "output.txt")
            print(f"{name}: {kills} kills, nothing lost", flush=True)
            total += kills
    print(f"{total} kills, nothing lost")


def kill_again_and_again(
    name: str, trial: Trial, kills: int, rng: random.Random, output: Path
) -> int:
    """Kill one command; check what is there after each kill, and the end."""
    seconds = finish(trial.words, output)
    whole = [trial.state(path) for path in trial.results]
    done = 0
    while done < kills:
        done += kill_after(start(trial.words, output), rng.uniform(0.3, 1.05) * seconds)
        for path, expected in zip(trial.results, whole, strict=True):
            if trial.state(path) not in (None, expected):
                raise DataError(f"{name}: {path} is neither whole nor absent after a kill")
    finish(trial.words, output)
    if [trial.state(path) for path in trial.results] != whole:
        raise DataError(f"{name}: the last run did not end as the first")
    remains = list(trial.folder.rglob(".part*"))
    if remains:
        raise DataError(f"{name}: {remains[0]} was left behind")
    return done


if __name__ == "__main__":
    sys.exit(main())
