"""Export a trained model as files that run without this package."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from panoptic_deeplab.cli.command_line import (
    end_quietly_when_terminated,
    run_script,
    start_log,
)
from panoptic_deeplab.cli.flags import add_common_arguments
from panoptic_deeplab.cli.parser import Parser, positive
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.export.plan import (
    CALIBRATION_IMAGES,
    DEFAULT_OPSET,
    FORMATS,
    MAX_BATCH_SIZE,
    OPSETS,
    PACKAGED,
    REPEATS,
)

_log = logging.getLogger(__name__)

SUMMARY = "write a model as one file for other runtimes, or as a page that runs it"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its flags."""
    parser.describe(
        "Export a model, for any batch, height and width unless --input_shape fixes them. "
        "--save_dir gets deploy.yaml and inference.json with inference.pdiparams (Paddle) or "
        "model.onnx (ONNX). With --with_postprocess the file maps uint8 images to panoptic ids, a "
        "segment table and a semantic map. The export is compared with the model on a sample and "
        "put in place only if both agree. All is computed on the CPU: a GPU rounds to TF32. "
        "--format web writes the ONNX file with a page that runs it in the browser, "
        "--format triton as a model repository of NVIDIA Triton.",
        "panoptic-deeplab export --model_path panoptic_deeplab_lite_scenes "
        "--save_dir output/demo/onnx --format onnx --with_postprocess",
    )
    add_common_arguments(parser, needs_config=False)
    parser.add_argument(
        "--model_path",
        required=True,
        help="a checkpoint folder, a weights file, an https URL of weights, or a name of the zoo",
    )
    parser.add_argument(
        "--save_dir",
        type=Path,
        default=Path("./output/inference_model"),
        help="a folder for the export, new or of an earlier one (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="what to write; web: a folder for any web server, triton: a model repository for "
        "NVIDIA Triton, both with the grouping (default: %(default)s)",
    )
    parser.add_argument(
        "--with_postprocess", action="store_true", help="images in, ids and segments out"
    )
    parser.add_argument(
        "--opset",
        type=int,
        default=DEFAULT_OPSET,
        help=f"version of ONNX's operators, {OPSETS[0]}..{OPSETS[-1]}; --with_postprocess needs 16 "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--input_shape",
        type=positive,
        nargs=4,
        metavar=("N", "3", "HEIGHT", "WIDTH"),
        help="fix the shape of the input, as older TensorRT needs it: 1 3 512 1024",
    )
    parser.add_argument(
        "--int8", action="store_true", help="8-bit network (ONNX), calibrated on --calibration"
    )
    parser.add_argument(
        "--calibration",
        metavar="DIR",
        help=f"images like those to come; {CALIBRATION_IMAGES} of them are used",
    )
    parser.add_argument(
        "--image",
        type=Path,
        help="the sample for that comparison, and of the page (default: a generated image)",
    )
    parser.add_argument(
        "--ort_web",
        type=Path,
        metavar="FILE",
        help="for --format web, the npm package of ONNX Runtime Web as a file, where npm's "
        "registry cannot be reached",
    )
    parser.add_argument(
        "--bucket",
        type=positive,
        nargs=2,
        action="append",
        default=[],
        metavar=("WIDTH", "HEIGHT"),
        help="for --format triton, a model of its own for images of this size, as well; repeatable",
    )
    parser.add_argument(
        "--max_batch_size",
        type=positive,
        default=MAX_BATCH_SIZE,
        metavar="N",
        help="for --format triton, images of equal size that the server may join to a batch "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--repeats",
        type=positive,
        default=REPEATS,
        help="runs whose median time is printed (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Export the model that the command line names."""
    from panoptic_deeplab.export.plan import ExportPlan, check_target
    from panoptic_deeplab.inference.loading import load_predictor
    from panoptic_deeplab.inference.location import locate_model
    from panoptic_deeplab.inference.options import LoadOptions

    plan = ExportPlan(
        arguments.format,
        arguments.with_postprocess or arguments.format in PACKAGED,
        arguments.opset,
        arguments.int8,
        arguments.calibration,
        arguments.image,
        arguments.repeats,
        tuple(arguments.input_shape) if arguments.input_shape else None,
        arguments.ort_web,
        tuple(sorted({(width, height) for width, height in arguments.bucket})),
        arguments.max_batch_size,
    )
    check_target(arguments.save_dir)
    files = locate_model(arguments.model_path, arguments.config)
    if files.is_exported:
        raise UsageError(f"{files.weights}: is exported already; give the checkpoint")
    start_log()
    if arguments.device == "gpu":
        _log.info("--device gpu: exports are made and compared on the CPU, as a GPU rounds to TF32")
    opts = [*arguments.opts, *plan.overrides]
    predictor = load_predictor(files, LoadOptions("cpu", opts, runtime="paddle"))
    end_quietly_when_terminated()

    from panoptic_deeplab.export.exporting import export_model

    for path in export_model(predictor, arguments.save_dir, plan, str(files.config)):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
