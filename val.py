"""Evaluates a trained model on the validation split."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from panoptic_deeplab.command_line import (
    add_common_arguments,
    add_grouping_arguments,
    add_view_arguments,
    chosen_views,
    load_config,
    not_negative,
    run,
)
from panoptic_deeplab.errors import UsageError


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(evaluate_model, parse_arguments(argv))


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description="Evaluate a model: panoptic quality, mean IoU and instance AP in one pass.",
        epilog="example: python val.py --config configs/panoptic_deeplab/"
        "panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005.yml "
        "--model_path output/iter_90000/model.pdparams",
    )
    add_common_arguments(parser)
    parser.add_argument(
        "--model_path", required=True, help="weights: a .pdparams file or the folder of one"
    )
    parser.add_argument(
        "--num_workers",
        type=not_negative,
        default=0,
        help="threads that read images ahead (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument(
        "--oracle",
        nargs="+",
        metavar="NAME",
        help="outputs to replace by the truth, to see where the errors come from: any of "
        "semantic, center and offset for Panoptic-DeepLab",
    )
    add_grouping_arguments(parser)
    add_view_arguments(parser)
    return parser.parse_args(argv)


def evaluate_model(arguments: argparse.Namespace) -> None:
    """Builds what the configuration names, evaluates it and tells the result."""
    config = load_config(arguments)

    from panoptic_deeplab.engine import distributed
    from panoptic_deeplab.engine.evaluator import evaluate
    from panoptic_deeplab.engine.oracle import Oracle
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.engine.weights import load_weights
    from panoptic_deeplab.evaluation import format_table
    from panoptic_deeplab.files import write_json

    views = chosen_views(arguments)
    oracle = None
    if arguments.oracle:
        oracle = Oracle(arguments.oracle, config.targets, config.postprocessor)
    if arguments.json and (
        Path(arguments.json).is_dir() or not Path(arguments.json).parent.is_dir()
    ):
        raise UsageError(f"--json {arguments.json}: expected a file in a folder that exists")
    dataset = config.val_dataset
    predictor = Predictor(config.model, config.preprocess, (), config.postprocessor, views)
    load_weights(config.model, arguments.model_path)
    results = evaluate(predictor, dataset, config.evaluators, arguments.num_workers, oracle)
    if distributed.is_main():
        print(format_table(results, config.info))
        if arguments.json:
            write_json(arguments.json, results, indent=2)


if __name__ == "__main__":
    sys.exit(main())
