"""Serve a model on this machine: a page for people, an address for programs."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence

from panoptic_deeplab.cli.command_line import end_quietly_when_terminated, run_script, start_log
from panoptic_deeplab.cli.flags import (
    add_common_arguments,
    add_grouping_arguments,
    add_runtime_argument,
    add_tile_arguments,
    chosen_tiling,
    grouping_settings,
)
from panoptic_deeplab.cli.parser import Parser, not_negative
from panoptic_deeplab.errors import UsageError

SUMMARY = "a page and an address on this machine that predict"
DEFAULT_PORT = 8080


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its flags."""
    parser.describe(
        "Serve a model at http://127.0.0.1:PORT, for this machine alone, until Ctrl-C. The page "
        "takes images and the camera; an export by --format web is computed in the browser, any "
        "other model by this process. Programs send images to /v2/models/panoptic/infer (KServe's "
        "Open Inference Protocol, JSON or binary). Images are predicted one at a time.",
        "panoptic-deeplab serve --model_path panoptic_deeplab_lite_scenes",
    )
    add_common_arguments(parser, needs_config=False)
    parser.add_argument(
        "--model_path",
        required=True,
        help="as predict takes it: a checkpoint folder, an export or its folder, weights, an https "
        "URL or a name of the zoo",
    )
    add_runtime_argument(parser)
    parser.add_argument(
        "--port",
        type=not_negative,
        default=DEFAULT_PORT,
        help="where to listen, 0 for any free port (default: %(default)s)",
    )
    add_grouping_arguments(parser)
    add_tile_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Serve the model that the command line names."""
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"serve needs {', '.join(missing)}; pip install 'panoptic-deeplab[serve]'")
    from panoptic_deeplab.inference.loading import load_predictor
    from panoptic_deeplab.inference.location import locate_model
    from panoptic_deeplab.inference.options import LoadOptions

    start_log()
    options = LoadOptions(
        arguments.device,
        arguments.opts,
        grouping_settings(arguments),
        runtime=arguments.runtime,
        tiling=chosen_tiling(arguments),
    )
    files = locate_model(arguments.model_path, arguments.config)
    predictor = load_predictor(files, options)
    end_quietly_when_terminated()

    from panoptic_deeplab.serving.server import serve

    serve(predictor, files.weights.parent, arguments.port)
