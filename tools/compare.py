"""Compares methods on one data set: quality, cost, kinds of mistakes, pictures.

    python tools/compare.py --configs A.yml B.yml --save_dir output/compare \\
        --model_paths A/iter_90000 B/iter_90000
    python tools/compare.py --configs A.yml B.yml --save_dir output/compare \\
        --train_seconds 1200

With --train_seconds each configuration is trained for that time first: a short
trial tells how long a step takes, the iterations that fit are chosen, and the
learning rate's schedule is brought to that length. An interrupted call goes on
where it stopped when it is given again.

Written are index.html (one file with all pictures, for any browser, no network
needed), comparison.md with pictures/, comparison.json, and each method's
predictions in COCO panoptic form. Each method is measured in a process of its
own. The kinds of mistakes are those of tools/comparing/errors.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.cli.command_line import run
from panoptic_deeplab.cli.parser import not_negative, positive
from panoptic_deeplab.errors import UsageError

if TYPE_CHECKING:
    from panoptic_deeplab.config import Config


@dataclass(frozen=True)
class Method:
    """One of the methods to compare.

    Attributes:
        name: the configuration's file name, made unique.
        config: with all changes.
        opts: these changes.
        weights: where they are given.
    """

    name: str
    config: Config
    opts: tuple[str, ...]
    weights: Path | None


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(compare, parse_arguments(argv))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--configs", nargs="+", required=True, metavar="YAML", help="one of each method"
    )
    parser.add_argument(
        "--model_paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="weights of each, in the same order: a .pdparams file or the folder of one",
    )
    parser.add_argument(
        "--train_seconds", type=positive, metavar="S", help="train each for S seconds instead"
    )
    parser.add_argument("--dataset_root", type=Path, help="the data set of all (default: theirs)")
    parser.add_argument("--save_dir", type=Path, required=True, help="where everything goes")
    parser.add_argument(
        "--device", choices=["cpu", "gpu"], default="cpu", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--processes",
        type=positive,
        help="that train together (default: 2 on a CPU, 1 on a GPU); measuring takes one",
    )
    parser.add_argument(
        "--num_workers", type=not_negative, default=0, help="readers ahead (default: %(default)s)"
    )
    parser.add_argument(
        "--worst",
        type=positive,
        default=3,
        help="images shown that each method does worst on (default: %(default)s)",
    )
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="A.B=VALUE", help="changes to all configurations"
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    return parser.parse_args(argv)


def compare(arguments: argparse.Namespace) -> None:
    """Trains where asked for, measures, writes."""
    refuse_contradictions(arguments)
    from panoptic_deeplab.files import usable_folder
    from panoptic_deeplab.parallel import ending_on_sigterm

    methods = read_methods(arguments)
    refuse_other_data(methods)
    usable_folder(arguments.save_dir)
    with ending_on_sigterm():
        measured = [measure_method(method, arguments) for method in methods]
    write_comparison(methods, measured, arguments)


def refuse_contradictions(arguments: argparse.Namespace) -> None:
    """What argparse cannot tell."""
    paths, configs = arguments.model_paths, arguments.configs
    if (paths is None) == (arguments.train_seconds is None):
        raise UsageError(
            "give either --model_paths, one for each configuration, or --train_seconds"
        )
    if paths is not None and len(paths) != len(configs):
        raise UsageError(
            f"expected weights for each of {len(configs)} configurations, got {len(paths)} "
            "--model_paths"
        )


def read_methods(arguments: argparse.Namespace) -> list[Method]:
    """The configurations with all changes."""
    from paddleseg.utils import logger as paddleseg_log

    from panoptic_deeplab.config import Config

    paddleseg_log.log_level = 1  # what it loads is of no interest here
    weights = arguments.model_paths or [None] * len(arguments.configs)
    methods: list[Method] = []
    for path, own_weights in zip(arguments.configs, weights, strict=True):
        opts = tuple(arguments.opts)
        if arguments.dataset_root is not None:
            sections = [
                name for name in ("train_dataset", "val_dataset") if name in Config(path).tree
            ]
            opts += tuple(f"{name}.dataset_root={arguments.dataset_root}" for name in sections)
        name = unique_name(Path(path).stem, [method.name for method in methods])
        methods.append(Method(name, Config(path, opts), opts, own_weights))
    return methods


def unique_name(name: str, taken: Sequence[str]) -> str:
    """`name`, or `name-2` and so on."""
    names = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 2))]
    return next(name for name in names if name not in taken)


def refuse_other_data(methods: Sequence[Method]) -> None:
    """Methods are compared on the same images with the same classes, or not at all."""
    first = methods[0]
    for method in methods[1:]:
        for what, one, other in zip(
            ("classes", "images"), data_of(first), data_of(method), strict=True
        ):
            if one != other:
                raise UsageError(
                    f"{method.config.path}: validates on other {what} than {first.config.path}; "
                    "compare on the same data (--dataset_root, --opts val_dataset...)"
                )


def data_of(method: Method) -> tuple[list[tuple[str, bool]], list[str]]:
    """Classes and images of the validation split."""
    config = method.config
    classes = config.classes_of("val_dataset").categories
    records = config.val_dataset.records
    return [(c.name, c.is_thing) for c in classes], [record.image_id for record in records]


def measure_method(method: Method, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of one method, trained first where it has no weights."""
    from comparing.training import Recipe, call, told_training, train_for

    from panoptic_deeplab.files import read_json

    weights, folder = method.weights, arguments.save_dir / method.name
    if weights is None:
        print(f"\n=== training {method.name} for {arguments.train_seconds} s", flush=True)
        recipe = Recipe(
            method.config,
            method.opts,
            arguments.device,
            arguments.processes or (2 if arguments.device == "cpu" else 1),
            arguments.num_workers,
        )
        weights = train_for(arguments.train_seconds, recipe, folder / "training")
    print(f"\n=== measuring {method.name}", flush=True)
    options = ["--config", method.config.path, "--model_path", weights, "--save_dir", folder]
    options += ["--device", arguments.device, "--num_workers", arguments.num_workers]
    opts = ["--opts", *method.opts] if method.opts else []
    call("-m", "comparing.measure", *options, *opts)
    training = told_training(weights)
    about = {"name": method.name, "config": method.config.path, "weights": str(weights)}
    told = {"training": None if training is None else asdict(training)}
    return about | told | read_json(folder / "measured.json")


def write_comparison(
    methods: Sequence[Method], measured: Sequence[dict[str, Any]], arguments: argparse.Namespace
) -> None:
    """Puts all side by side."""
    from benchmarking.machine import describe_machine
    from comparing.pages import write_pages
    from comparing.pictures import choose_images, draw_images

    config = methods[0].config
    threads = int(os.environ.get("OMP_NUM_THREADS", 1))
    comparison = {
        "made": time.strftime("%Y-%m-%d"),
        "device": arguments.device,
        "machine": describe_machine(threads),
        "data": {
            "name": config.classes_of("val_dataset").name,
            "folder": config.tree["val_dataset"].get("dataset_root"),
            "images": len(config.val_dataset),
            "classes": [
                {"name": category.name, "is_thing": category.is_thing}
                for category in config.classes_of("val_dataset").categories
            ],
        },
        "train_seconds": arguments.train_seconds,
        "methods": list(measured),
    }
    chosen = choose_images(measured, arguments.worst)
    folders = [arguments.save_dir / method.name for method in methods]
    comparison["pictures"] = draw_images(
        chosen,
        config,
        dict(zip([m.name for m in methods], folders, strict=True)),
        arguments.save_dir,
    )
    write_pages(comparison, arguments.save_dir)
    print(f"\n{arguments.save_dir / 'index.html'}")


if __name__ == "__main__":
    sys.exit(main())
