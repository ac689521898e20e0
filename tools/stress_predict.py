"""Kill predictions into one folder again and again; its lists must agree with its files.

Each prediction gets some of the images, at new sizes, and is killed with kill -9 at a random moment
of its work. No list may then name a file that is not there or is another, what earlier predictions
finished stays listed, and one prediction that ends lists all that is there, with no hidden remains.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from stressing.lists import truthful_list
from stressing.processes import finish, kill_after, start
from stressing.world import IMAGES, make_world

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.errors import DataError

LISTS = ("panoptic.json", "coco/panoptic.json", "cityscapes/panoptic.json")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = script_parser(__doc__, "python tools/stress_predict.py --kills 40")
    parser.add_argument("--kills", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the kills; default: %(default)s")
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the stress and return the exit code."""
    return run(stress, parse_arguments(argv))


def stress(arguments: argparse.Namespace) -> None:
    """Kill predictions as often as asked, and let one end now and then."""
    rng, kills = random.Random(arguments.seed), 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        world = make_world(folder)
        scenes = sorted(world.images.rglob("*.png"))
        words = ["predict", "--model_path", world.model, "--image_path", folder / "images"]
        words += ["--save_dir", folder / "results", "--device", "cpu", "--num_workers", 2]
        words += ["--format", "images", "coco", "csv", "crops", "cityscapes"]
        give_images(folder / "images", scenes, rng, IMAGES)
        seconds = work_seconds(words, folder)
        while kills < arguments.kills:
            before = listed_images(folder / "results")
            names = give_images(folder / "images", scenes, rng, rng.randint(1, IMAGES))
            process = start(words, folder / "output.txt")
            wait_for_work(process, folder / "results")
            is_killed = kill_after(process, rng.uniform(0, seconds))
            check(folder / "results", before, names if is_killed else set())
            kills += is_killed
        before = listed_images(folder / "results")
        names = give_images(folder / "images", scenes, rng, IMAGES)
        finish(words, folder / "output.txt")
        check(folder / "results", dict.fromkeys(before, names), set())
        remains = list((folder / "results").rglob(".*"))
        if remains:
            raise DataError(f"{remains[0]} was left behind")
    print(f"{kills} kills of predictions: all lists agree with the files")


def give_images(folder: Path, scenes: list[Path], rng: random.Random, count: int) -> set[str]:
    """Fill a folder with some images of random sizes, so that no two of a name are equal.

    Returns:
        their names, without suffix.
    """
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for number in rng.sample(range(len(scenes)), count):
        size = rng.randint(33, 128), rng.randint(33, 64)
        with Image.open(scenes[number]) as image:
            image.crop((0, 0, *size)).save(folder / f"scene-{number}.png")
    return {path.stem for path in folder.iterdir()}


def work_seconds(words: list[Any], folder: Path) -> float:
    """Predict all images once; return the seconds between the first file and the end."""
    process = start(words, folder / "output.txt")
    wait_for_work(process, folder / "results")
    begin = time.monotonic()
    if process.wait() != 0:
        raise DataError(f"a prediction failed: {(folder / 'output.txt').read_text()[-2000:]}")
    return time.monotonic() - begin


def wait_for_work(process: Any, results: Path) -> None:
    """Wait until a prediction holds its folder of results."""
    from panoptic_deeplab.results.journal import LOCK_FILE

    lock = results / LOCK_FILE
    while process.poll() is None and not (
        lock.exists() and lock.read_text().count(str(process.pid))
    ):
        time.sleep(0.005)


def listed_images(folder: Path) -> dict[str, set[str]]:
    """Return the images that each list names, without folders and suffix, by the list's path.

    Raises:
        DataError: an entry contradicts its PNG.
    """
    named = {}
    for name in LISTS:
        named[name] = {Path(png).stem for png in truthful_list(folder / name) or []}
    with open(folder / "segments.csv", encoding="utf-8") as file:
        named["segments.csv"] = {Path(row["image"]).name for row in csv.DictReader(file)}
    return named


def check(folder: Path, before: Mapping[str, set[str]], unfinished: set[str]) -> None:
    """Refuse lists that contradict the files, or lack what was listed and is not being replaced.

    Args:
        folder: of the results.
        before: what each list must name.
        unfinished: images that lists need not name.
    """
    for path, names in listed_images(folder).items():
        missing = before[path] - names - unfinished
        if missing:
            raise DataError(f"{path} no longer names {sorted(missing)[0]}")


if __name__ == "__main__":
    sys.exit(main())
