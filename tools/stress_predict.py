"""Kill predictions into one folder again and again; its lists must agree with its files.

Each prediction gets some of the images, at new sizes, and is killed with kill -9 at a random moment
of its work. No list may then name a file that is not there or is another, what earlier predictions
finished stays listed, and one prediction that ends lists all that is there, with no hidden remains.

Then one prediction of many images is killed as often, and goes on with --skip_done. It must end
with the files and lists of one that was never killed, and make no image twice that it had finished.

With --ranks several processes share each prediction; the launcher, one of them, or all are killed.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from stressing.lists import truthful_list
from stressing.processes import digest, family_of, finish, kill_after, start
from stressing.world import IMAGES, make_world

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.errors import DataError

LISTS = ("panoptic.json", "coco/panoptic.json", "cityscapes/panoptic.json")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = script_parser(__doc__, "python tools/stress_predict.py --kills 40")
    parser.add_argument("--kills", type=int, default=3, help="of each kind; default: %(default)s")
    parser.add_argument(
        "--images",
        type=int,
        default=200,
        help="of the prediction that goes on; default: %(default)s",
    )
    parser.add_argument(
        "--ranks",
        type=int,
        default=1,
        help="processes of each prediction, by Paddle's launcher; default: %(default)s",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the kills; default: %(default)s")
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the stress and return the exit code."""
    return run(stress, parse_arguments(argv))


def stress(arguments: argparse.Namespace) -> None:
    """Kill predictions of both kinds as often as asked."""
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        world = make_world(folder)
        scenes = sorted(world.images.rglob("*.png"))
        words = ["predict", "--model_path", world.model, "--image_path", folder / "images"]
        words += ["--device", "cpu", "--runtime", "paddle", "--num_workers", 2]
        words += ["--format", "images", "coco", "csv", "crops", "cityscapes"]
        kills, ranks = arguments.kills, arguments.ranks
        kill_changing(words, folder, scenes, rng, kills, ranks)
        print(f"{kills} kills of predictions: all lists agree with the files", flush=True)
        numbers = [*range(len(scenes))] * -(-arguments.images // len(scenes))
        give_images(folder / "images", scenes, rng, numbers[: arguments.images])
        kill_one(words, folder, rng, kills, ranks)
        print(
            f"{kills} kills of a prediction of {arguments.images} images that went on: "
            "one correct result of each"
        )


def kill_changing(
    words: list[Any],
    folder: Path,
    scenes: list[Path],
    rng: random.Random,
    count: int,
    ranks: int,
) -> None:
    """Kill predictions of changing images into one folder, and let one end now and then."""
    words = [*words, "--save_dir", folder / "results"]
    give_images(folder / "images", scenes, rng, range(IMAGES))
    seconds, kills = work_seconds(words, folder, folder / "results", ranks), 0
    while kills < count:
        before = listed_images(folder / "results")
        numbers = rng.sample(range(IMAGES), rng.randint(1, IMAGES))
        names = give_images(folder / "images", scenes, rng, numbers)
        process = start(words, folder / "output.txt", ranks)
        wait_for_work(process, folder / "results")
        is_killed = kill_after(process, rng.uniform(0, seconds), rng)
        check(folder / "results", before, names if is_killed else set())
        kills += is_killed
    before = listed_images(folder / "results")
    names = give_images(folder / "images", scenes, rng, range(IMAGES))
    finish(words, folder / "output.txt", ranks)
    check(folder / "results", dict.fromkeys(before, names), set())
    refuse_remains(folder / "results")


def kill_one(words: list[Any], folder: Path, rng: random.Random, count: int, ranks: int) -> None:
    """Kill one prediction until it has ended; begin another where it ends after too few kills."""
    whole, results = folder / "whole", folder / "going_on"
    seconds, kills = work_seconds([*words, "--save_dir", whole], folder, whole, ranks), 0
    words = [*words, "--save_dir", results, "--skip_done"]
    while kills < count:
        process = start(words, folder / "output.txt", ranks)
        wait_for_work(process, results)
        done = versions_of_done(results)
        is_killed = kill_after(process, rng.uniform(0, 2 * seconds / count), rng)
        refuse_changed(results, done)
        listed_images(results)
        if not is_killed:
            refuse_other(results, whole)
            shutil.rmtree(results)
        kills += is_killed
    finish(words, folder / "output.txt", ranks)
    refuse_other(results, whole)
    refuse_remains(results)


def versions_of_done(folder: Path) -> dict[Path, int]:
    """Return when the files of whole results were written, as the journal names them."""
    done: dict[Path, int] = {}
    lines = [
        line
        for journal in sorted(folder.glob("results*.jsonl"), key=lambda path: len(path.name))
        for line in journal.read_bytes().split(b"\n")[:-1]
    ]
    for line in map(json.loads, lines):
        for file in line.get("files", ()):
            done.pop(folder / file, None)
            if "made" in line:
                done[folder / file] = (folder / file).stat().st_mtime_ns
    return done


def refuse_changed(folder: Path, done: Mapping[Path, int]) -> None:
    """Refuse results that were whole and have been written again."""
    for file, changed in done.items():
        if file.stat().st_mtime_ns != changed:
            raise DataError(f"{file.relative_to(folder)}: was made again")


def refuse_other(folder: Path, whole: Path) -> None:
    """Refuse results that are not those of a prediction that was never killed."""
    found, expected = (
        {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
        for root in (folder, whole)
    )
    if found.keys() != expected.keys():
        raise DataError(f"{sorted(found.keys() ^ expected.keys())[0]}: is there in one case alone")
    for name, path in found.items():
        # a zip has the times of its files, and the journal an order of its own
        if path.suffix not in (".zip", ".jsonl") and digest(path) != digest(expected[name]):
            raise DataError(f"{name}: is not that of a prediction that was never killed")


def refuse_remains(folder: Path) -> None:
    """Refuse hidden files that a killed prediction left and the last one did not clear."""
    remains = list(folder.rglob(".*"))
    if remains:
        raise DataError(f"{remains[0]} was left behind")


def give_images(
    folder: Path, scenes: list[Path], rng: random.Random, numbers: Sequence[int]
) -> set[str]:
    """Fill a folder with images of random sizes, so that no two of a name are equal.

    Args:
        folder: to be filled.
        scenes: what the images are cut from.
        rng: of the sizes.
        numbers: the scene of each image; one that comes again has another name.

    Returns:
        their names, without suffix.
    """
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for place, number in enumerate(numbers):
        name = f"scene-{number + place // len(scenes) * len(scenes)}"
        size = rng.randint(33, 128), rng.randint(33, 64)
        with Image.open(scenes[number]) as image:
            image.crop((0, 0, *size)).save(folder / f"{name}.png")
    return {path.stem for path in folder.iterdir()}


def work_seconds(words: list[Any], folder: Path, results: Path, ranks: int) -> float:
    """Predict all images once; return the seconds between the first file and the end."""
    process = start(words, folder / "output.txt", ranks)
    wait_for_work(process, results)
    begin = time.monotonic()
    if process.wait() != 0:
        raise DataError(f"a prediction failed: {(folder / 'output.txt').read_text()[-2000:]}")
    return time.monotonic() - begin


def wait_for_work(process: Any, results: Path) -> None:
    """Wait until a prediction holds its folder of results."""
    from panoptic_deeplab.results.lock import LOCK_FILE

    lock = results / LOCK_FILE
    while process.poll() is None and not (
        lock.exists() and any(str(one) in lock.read_text() for one in family_of(process))
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
    table = folder / "segments.csv"
    rows = csv.DictReader(table.read_text("utf-8").splitlines() if table.exists() else [])
    named["segments.csv"] = {Path(row["image"]).name for row in rows}
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
