"""Compare methods on one data set: quality, cost, kinds of mistakes, images.

With --train_seconds each configuration is trained for that time first: a short trial tells how long
a step takes, the iterations that fit are chosen, and the learning rate's schedule is brought to
that length. An interrupted call goes on where it stopped when it is given again.

Written are index.html (one file with all images, for any browser, no network needed),
comparison.md with pictures/, comparison.json, and each method's predictions in COCO panoptic form.
Each method is measured in a process of its own. The kinds of mistakes are those of
tools/comparing/errors.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.cli.command_line import run_script
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.cli.parser import Parser, not_negative, positive
from panoptic_deeplab.errors import UsageError

if TYPE_CHECKING:
    from comparing.methods import Method

EXAMPLE = (
    "python tools/compare.py --configs A.yml B.yml --save_dir output/compare "
    "--model_paths A/iter_90000 B/iter_90000"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_script(add_arguments, compare, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the command and its flags."""
    parser.describe(__doc__, EXAMPLE)
    parser.add_argument(
        "--configs", nargs="+", required=True, metavar="YAML", help="one configuration per method"
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
    parser.add_argument(
        "--dataset_root", type=Path, help="the data set of all methods (default: their own)"
    )
    parser.add_argument("--save_dir", type=Path, required=True, help="the folder for all results")
    parser.add_argument(
        "--device",
        choices=["cpu", "gpu"],
        default="cpu",
        help="where to compute (default: %(default)s)",
    )
    parser.add_argument(
        "--processes",
        type=positive,
        help="processes of a training (default: 2 on a CPU, 1 on a GPU); measuring takes one",
    )
    parser.add_argument(
        "--num_workers",
        type=not_negative,
        default=0,
        help="workers that read ahead (default: %(default)s)",
    )
    parser.add_argument(
        "--worst",
        type=positive,
        default=3,
        help="number of worst images shown of each method (default: %(default)s)",
    )
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="A.B=VALUE", help="changes to all configurations"
    )
    add_debug_argument(parser)


def compare(arguments: argparse.Namespace) -> None:
    """Train where asked for, measure, and write the comparison."""
    refuse_contradictions(arguments)
    from comparing.methods import read_methods, refuse_other_data

    from panoptic_deeplab.files import usable_folder
    from panoptic_deeplab.parallel import ending_on_sigterm

    methods = read_methods(
        arguments.configs, arguments.model_paths, arguments.dataset_root, arguments.opts
    )
    refuse_other_data(methods)
    usable_folder(arguments.save_dir)
    with ending_on_sigterm():
        measured = [measure_method(method, arguments) for method in methods]
    write_comparison(methods, measured, arguments)


def refuse_contradictions(arguments: argparse.Namespace) -> None:
    """Refuse flags that contradict each other."""
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


def measure_method(method: Method, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one method, trained first where it has no weights."""
    from comparing.training import Recipe, call, train_for, training_cost

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
    training = training_cost(weights)
    about = {"name": method.name, "config": method.config.path, "weights": str(weights)}
    trained = {"training": None if training is None else asdict(training)}
    return about | trained | read_json(folder / "measured.json")


def write_comparison(
    methods: Sequence[Method], measured: Sequence[dict[str, Any]], arguments: argparse.Namespace
) -> None:
    """Write the comparison of the measured methods."""
    from benchmarking.machine import describe_machine
    from comparing.images import choose_images, draw_images
    from comparing.pages import write_pages

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
