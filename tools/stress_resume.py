"""Kill a training again and again; it must end as if nothing had happened.

It trains once without interruption and once with kill -9 at random moments, each time resumed with
`--resume_model auto`, and compares the last checkpoints and the best models bit for bit.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from stressing.world import CONFIG, ROOT, make_scenes

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.errors import DataError

STATE_FILES = ("model.pdparams", "model_ema.pdparams", "model.pdopt")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = script_parser(__doc__, "python tools/stress_resume.py --kills 20")
    parser.add_argument("--kills", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--iters", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--save_interval", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--num_workers", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--accumulate_steps", type=int, default=2, help="default: %(default)s")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the kills; default: %(default)s"
    )
    parser.add_argument("--config", default=CONFIG, help="default: %(default)s")
    parser.add_argument("--dataset_root", type=Path, help="default: small scenes, made here")
    parser.add_argument("--opts", nargs="+", default=[], help="changes to the configuration")
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and return the exit code."""
    return run(stress, parse_arguments(argv))


def stress(arguments: argparse.Namespace) -> None:
    """Train twice and compare."""
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.dataset_root or make_scenes(Path(folder) / "scenes")
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        start = time.monotonic()
        train(arguments, root, whole).wait()
        seconds = time.monotonic() - start
        print(f"without interruption: {seconds:.0f} s", flush=True)
        kills = kill_and_resume(arguments, root, killed, seconds)
        compare(*(path / f"iter_{arguments.iters}" for path in (whole, killed)), STATE_FILES)
        compare(*(path / "best_model" for path in (whole, killed)), ["model.pdparams"])
        print(f"{kills} kills, {arguments.iters} iterations: equal weights, bit for bit")


def train(arguments: argparse.Namespace, root: Path, save_dir: Path) -> subprocess.Popen:
    """Start a training that resumes from whatever lies in `save_dir`."""
    options = {
        "--config": arguments.config,
        "--save_dir": save_dir,
        "--device": "cpu",
        "--resume_model": "auto",
        "--iters": arguments.iters,
        "--save_interval": arguments.save_interval,
        "--keep_checkpoint_max": 2,
        "--num_workers": arguments.num_workers,
        "--accumulate_steps": arguments.accumulate_steps,
    }
    words = [str(word) for pair in options.items() for word in pair]
    opts = [f"{split}_dataset.dataset_root={root}" for split in ("train", "val")]
    command = [
        sys.executable,
        "-m",
        "panoptic_deeplab",
        "train",
        *words,
        "--use_ema",
        "--do_eval",
        "--opts",
        *opts,
        *arguments.opts,
    ]
    save_dir.mkdir(parents=True, exist_ok=True)
    with open(save_dir / "output.txt", "ab") as output:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def kill_and_resume(
    arguments: argparse.Namespace, root: Path, save_dir: Path, seconds: float
) -> int:
    """Kill the training as often as asked, then let it end; return the number of kills."""
    rng, kills = random.Random(arguments.seed), 0
    while True:
        process = train(arguments, root, save_dir)
        if kills < arguments.kills:
            wait_for_progress(process, save_dir, rng, seconds)
        ended = process.poll() if kills < arguments.kills else process.wait()
        if ended is None:
            os.killpg(process.pid, 9)
            process.wait()
            kills += 1
            at = max((path.name for path in save_dir.glob("iter_*")), default="nothing")
            print(f"kill {kills} of {arguments.kills}: {at} is there", flush=True)
        elif ended != 0:
            raise DataError(f"a training failed: {(save_dir / 'output.txt').read_text()[-2000:]}")
        elif kills < arguments.kills:
            shutil.rmtree(save_dir)  # it ended before all kills: once more from the start
        else:
            return kills


def wait_for_progress(
    process: subprocess.Popen, save_dir: Path, rng: random.Random, seconds: float
) -> None:
    """Until it has written a new checkpoint, and then for a random while."""
    before = set(save_dir.glob("iter_*"))
    while process.poll() is None and not set(save_dir.glob("iter_*")) - before:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.5 * seconds / 10))


def compare(first: Path, second: Path, names: Sequence[str]) -> None:
    """Refuse any difference in weights, averages or optimizer state."""
    import numpy as np

    from panoptic_deeplab.weights import read_pickle

    for name in names:
        contents = [flatten(read_pickle(folder / name)) for folder in (first, second)]
        if contents[0].keys() != contents[1].keys():
            raise DataError(f"{name}: other entries")
        for key, value in contents[0].items():
            if not np.array_equal(value, contents[1][key], equal_nan=True):
                raise DataError(f"{name}: '{key}' differs")


def flatten(content: dict, prefix: str = "") -> dict:
    """Nested dictionaries as one, without the names Paddle gives parameters."""
    flat = {}
    for key, value in content.items():
        if isinstance(value, dict) and key != "StructuredToParameterName@@":
            flat |= flatten(value, f"{prefix}{key}/")
        elif not isinstance(value, dict) and not isinstance(value, str):
            flat[prefix + key] = value
    return flat


if __name__ == "__main__":
    sys.exit(main())
