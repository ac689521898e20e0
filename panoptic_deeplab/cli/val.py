"""`panoptic-deeplab val`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.cli.command_line import load_config, run_script
from panoptic_deeplab.cli.flags import (
    GROUPING_FLAGS,
    add_common_arguments,
    add_grouping_arguments,
    add_json_argument,
    add_profile_argument,
    add_runtime_argument,
    add_tile_arguments,
    add_view_arguments,
    chosen_tiling,
    chosen_views,
    grouping_settings,
)
from panoptic_deeplab.cli.parser import Parser, not_negative
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.stopwatch import Stopwatch, format_profile

if TYPE_CHECKING:
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.inference.location import ModelFiles
    from panoptic_deeplab.tiles import Tiling
    from panoptic_deeplab.views import Augmentation

_OF_A_MODEL = ("oracle", "aug_eval", "tile", *GROUPING_FLAGS)
_RECORDED = (
    "opts",
    "model_path",
    "predictions",
    *_OF_A_MODEL,
    "scales",
    "flip_horizontal",
    "tile_overlap",
)
"""Flags that the results record."""


SUMMARY = "evaluate a model, or predictions in files, on the validation split"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone, as val.py does; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its flags."""
    parser.describe(
        "Evaluate a model, or predictions in files: panoptic quality, mean IoU and instance AP in "
        "one pass. The mean IoU of a model comes from its semantic branch, the mean IoU of files "
        "from the classes of their segments.",
        "panoptic-deeplab val --model_path output/best_model --json scores.json",
    )
    add_common_arguments(parser, needs_config=False)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--model_path",
        help="a checkpoint (its folder, a weights file, a URL, or a name of the zoo), or an "
        "exported model.onnx or its folder",
    )
    source.add_argument(
        "--predictions",
        metavar="PATH",
        help="score files of any program instead: a folder as predict writes it, a JSON in "
        "COCO panoptic form with its PNGs, or a folder of bitmasks",
    )
    parser.add_argument(
        "--format",
        choices=["coco", "cityscapes", "bdd100k", "kitti_step"],
        default="coco",
        help="form of --predictions: coco (category ids by the JSON's categories, else the data "
        "set's), cityscapes (else label ids), bdd100k (RGBA bitmasks), kitti_step (PNGs of class "
        "and id) (default: %(default)s)",
    )
    parser.add_argument(
        "--num_workers",
        type=not_negative,
        default=1,
        help="threads that read images ahead; 0: one step after the other, in the least memory "
        "(default: %(default)s)",
    )
    add_json_argument(parser)
    parser.add_argument(
        "--oracle",
        nargs="+",
        metavar="NAME",
        help="outputs to replace by the ground truth, to see where the errors come from: any of "
        "semantic, center and offset for Panoptic-DeepLab",
    )
    add_runtime_argument(parser)
    add_profile_argument(parser)
    add_grouping_arguments(parser)
    add_view_arguments(parser)
    add_tile_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Evaluate what the command line names and tell the result."""
    given = [getattr(arguments, name) for name in _OF_A_MODEL]
    if arguments.predictions and any(value is not None and value is not False for value in given):
        flags = ", ".join(f"--{name}" for name in _OF_A_MODEL)
        raise UsageError(f"--predictions are scored as they are; leave out {flags}")
    views, tiling = chosen_views(arguments), chosen_tiling(arguments)
    files = _model_files(arguments)
    config = load_config(arguments, path=files and files.config)

    from panoptic_deeplab.engine import distributed
    from panoptic_deeplab.evaluation import format_sequences, format_table
    from panoptic_deeplab.files import write_json

    config.info = config.classes_of("val_dataset")  # the training split need not be here
    start, watch = time.perf_counter(), Stopwatch()
    if files is None:
        results = _score_files(arguments, config, watch)
    else:
        score = _score_export if files.is_exported else _score_checkpoint
        results = score(files, views, tiling, arguments, config, watch)
    if distributed.is_main():
        tables = format_table(results, config.info), format_sequences(results)
        print(*filter(None, tables), sep="\n\n")
        if arguments.profile:
            total, count = time.perf_counter() - start, len(config.val_dataset)
            print(format_profile(watch.seconds, total, count, "image"))
        if arguments.json:
            evaluated = {name: getattr(arguments, name) for name in _RECORDED}
            evaluated["config"] = config.path
            write_json(arguments.json, {**results, "evaluated": evaluated}, indent=2)


def _model_files(arguments: argparse.Namespace) -> ModelFiles | None:
    """Where the model lies; None where predictions are scored."""
    from panoptic_deeplab.inference.location import locate_model

    if arguments.predictions:
        if arguments.config is None:
            raise UsageError("--predictions: --config is needed, which names the data set")
        return None
    files = locate_model(arguments.model_path, arguments.config)
    if files.config is None:
        raise UsageError(
            f"{files.weights}: an exported file names no data set; give a configuration that does "
            "by --config"
        )
    if files.is_exported and arguments.oracle:
        raise UsageError("--oracle needs a checkpoint, whose outputs can be replaced; leave it out")
    return files


def _score_files(arguments: argparse.Namespace, config: Config, watch: Stopwatch) -> dict[str, Any]:
    from panoptic_deeplab.engine.evaluator import evaluate_predictions
    from panoptic_deeplab.formats.prediction_files import FORMATS

    predictions = FORMATS[arguments.format](arguments.predictions, config.info)
    return evaluate_predictions(
        predictions, config.val_dataset, config.evaluators, arguments.num_workers, watch
    )


def _score_checkpoint(
    files: ModelFiles,
    views: Augmentation | None,
    tiling: Tiling | None,
    arguments: argparse.Namespace,
    config: Config,
    watch: Stopwatch,
) -> dict[str, Any]:
    from panoptic_deeplab.engine.evaluator import evaluate_model
    from panoptic_deeplab.inference.compiling import with_runtime

    return evaluate_model(
        config,
        files.weights,
        views=views,
        oracle_names=arguments.oracle or (),
        num_workers=arguments.num_workers,
        watch=watch,
        tiling=tiling,
        adapt=partial(with_runtime, runtime=arguments.runtime, images=len(config.val_dataset)),
    )


def _score_export(
    files: ModelFiles,
    views: Augmentation | None,
    tiling: Tiling | None,
    arguments: argparse.Namespace,
    config: Config,
    watch: Stopwatch,
) -> dict[str, Any]:
    from panoptic_deeplab.engine.evaluator import evaluate_images
    from panoptic_deeplab.inference.loading import load_predictor
    from panoptic_deeplab.inference.options import LoadOptions

    # Of the configuration an exported file takes the post-processing alone, if it has none.
    opts = [opt for opt in arguments.opts if opt.startswith("postprocessor.")]
    options = LoadOptions(
        arguments.device, opts, grouping_settings(arguments), views, arguments.runtime, tiling
    )
    predictor = load_predictor(files, options)
    return evaluate_images(
        predictor, config.val_dataset, config.evaluators, arguments.num_workers, watch
    )
