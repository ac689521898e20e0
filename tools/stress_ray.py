"""Kill actors of predictions with Ray at random moments; each image must come once, and right.

Two actors on this machine predict 200 images again and again while one or the other is killed with
kill -9; then each image must have exactly one result, equal to that of one process without Ray.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from stressing.lists import truthful_list
from stressing.world import make_world

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.cli.main import main as panoptic_deeplab
from panoptic_deeplab.errors import DataError

if TYPE_CHECKING:
    import numpy as np

FORMS = ("coco", "parquet")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = script_parser(__doc__, "python tools/stress_ray.py --kills 30")
    parser.add_argument("--kills", type=int, default=3, help="of each form; default: %(default)s")
    parser.add_argument("--images", type=int, default=200, help="default: %(default)s")
    parser.add_argument(
        "--longest", type=float, default=6.0, help="seconds between kills; default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the kills; default: %(default)s")
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the stress and return the exit code."""
    return run(stress, parse_arguments(argv))


def stress(arguments: argparse.Namespace) -> None:
    """Predict as files and as Parquet until each was killed as often as asked."""
    from stressing.actors import cluster

    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary, cluster(num_cpus=2):
        folder = Path(temporary)
        world = make_world(folder)
        write_images(folder / "images", sorted(world.images.rglob("*.png")), rng, arguments.images)
        expected = predicted_without_ray(world.model, folder / "images")
        for form in FORMS:
            number = kill(arguments, rng, world.model, folder, form, expected)
            print(
                f"{form}: {arguments.kills} kills in {number} predictions of {arguments.images} "
                "images, each image once and right",
                flush=True,
            )


def kill(
    arguments: argparse.Namespace,
    rng: random.Random,
    model: Path,
    folder: Path,
    form: str,
    expected: Mapping[str, np.ndarray],
) -> int:
    """Predict, each time into another folder, until there were so many kills; count predictions."""
    from stressing.actors import Killer

    kills = number = 0
    while kills < arguments.kills:
        results = folder / f"{form}_{number}"
        with Killer(rng, arguments.longest, arguments.kills - kills) as killer:
            predict(model, folder / "images", results, form)
        check(results, form, expected)
        kills, number = kills + killer.kills, number + 1
    return number


def write_images(folder: Path, scenes: list[Path], rng: random.Random, count: int) -> None:
    """Write crops of the scenes, no two of them equal."""
    folder.mkdir()
    for number in range(count):
        left, top = rng.randint(0, 32), rng.randint(0, 16)
        with Image.open(scenes[number % len(scenes)]) as image:
            image.crop((left, top, left + 96, top + 48)).save(folder / f"{number}.png")


def predicted_without_ray(model: Path, images: Path) -> Mapping[str, np.ndarray]:
    """Return the ids of each image, by its name."""
    from panoptic_deeplab import load_model

    predictor = load_model(model, "cpu", runtime="paddle")
    return {result.name: result.ids for result in predictor.predict(images)}


def predict(model: Path, images: Path, results: Path, form: str) -> None:
    """Predict with two actors."""
    words = ["predict", "--model_path", model, "--image_path", images, "--save_dir", results]
    # a network that is compiled midway has other last digits
    words += ["--device", "cpu", "--runtime", "paddle", "--format", form]
    words += ["--engine", "ray", "--actors", 2]
    if panoptic_deeplab(list(map(str, words))) != 0:
        raise DataError(f"a prediction as {form} failed")


def check(results: Path, form: str, expected: Mapping[str, np.ndarray]) -> None:
    """Refuse results that lack an image, have one twice, or another one than without Ray."""
    import numpy as np

    found = {"coco": ids_in_coco, "parquet": ids_in_parquet}[form](results)
    names = sorted(name for name, _ in found)
    if names != sorted(expected):
        raise DataError(f"{results}: has {len(names)} results of {len(expected)} images")
    for name, ids in found:
        if not np.array_equal(ids, expected[name]):
            raise DataError(f"{results}: {name} is another than without Ray")
    remains = list(results.rglob(".*"))
    if remains:
        raise DataError(f"{remains[0]} was left behind")


def ids_in_coco(results: Path) -> list[tuple[str, np.ndarray]]:
    """Return name and ids of all that the list of `--format coco` names."""
    from panoptic_deeplab.formats.images import read_ids

    folder = results / "coco" / "panoptic"
    pngs = truthful_list(folder.with_suffix(".json")) or []
    return [(png.removesuffix(".png"), read_ids(folder / png)) for png in pngs]


def ids_in_parquet(results: Path) -> list[tuple[str, np.ndarray]]:
    """Return name and ids of all rows of `--format parquet`."""
    import pandas as pd

    from panoptic_deeplab.many_machines.rows import prediction_of

    rows = pd.read_parquet(results / "parquet").to_dict("records")
    return [(row["name"], prediction_of(row).ids) for row in rows]


if __name__ == "__main__":
    sys.exit(main())
