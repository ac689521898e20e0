"""Writes a trained model as files that run without this package, and tries them."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.cli.command_line import load_config, run_script
from panoptic_deeplab.cli.flags import add_common_arguments
from panoptic_deeplab.cli.parser import Parser, positive

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from panoptic_deeplab.config import Config
    from panoptic_deeplab.export.description import Deployment

CALIBRATION_PICTURES = 32
REPEATS = 3
FLOAT_LAYERS = 2  # convolutions before each output; what was measured: docs/deploy.md


SUMMARY = "write a model as one file for other runtimes"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its flags."""
    parser.describe(
        "Export a model for any batch, height and width. Under --save_dir come "
        "deploy.yaml and inference.json with inference.pdiparams (Paddle) or model.onnx (ONNX). "
        "With --with_postprocess the file takes uint8 pictures and gives panoptic ids, a segment "
        "table and a semantic map. What was written is run on a sample; if it does not agree with "
        "the model, nothing is left behind.",
        "panoptic-deeplab export --config configs/demo/"
        "panoptic_deeplab_lite_scenes.yml --model_path output/demo/model "
        "--save_dir output/demo/onnx --format onnx --with_postprocess",
    )
    add_common_arguments(parser)
    parser.add_argument(
        "--model_path", required=True, help="weights: a .pdparams file or the folder of one"
    )
    parser.add_argument(
        "--save_dir",
        type=Path,
        default=Path("./output/inference_model"),
        help="a folder for the export, new or of an earlier one (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=["paddle", "onnx"],
        default="paddle",
        help="what to write (default: %(default)s)",
    )
    parser.add_argument(
        "--with_postprocess", action="store_true", help="pictures in, ids and segments out"
    )
    parser.add_argument(
        "--opset", type=int, default=17, help="version of ONNX's operators (default: %(default)s)"
    )
    parser.add_argument(
        "--int8", action="store_true", help="8-bit network (ONNX), calibrated on --calibration"
    )
    parser.add_argument(
        "--calibration",
        metavar="DIR",
        help=f"pictures like those to come; {CALIBRATION_PICTURES} of them are used",
    )
    parser.add_argument(
        "--image", type=Path, help="the sample to try the export on (default: one made here)"
    )
    parser.add_argument(
        "--repeats",
        type=positive,
        default=REPEATS,
        help="runs of which the median time is told (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Loads the model, writes it and tries what was written.

    Raises:
        DataError: it does not agree with the model on the sample.
    """
    check_arguments(arguments)
    os.environ.setdefault("GLOG_minloglevel", "2")  # Paddle's remarks on its own programs
    config = load_config(arguments)

    from panoptic_deeplab.engine.checkpoint import read_info_beside
    from panoptic_deeplab.export.description import FILE
    from panoptic_deeplab.export.trial import compare
    from panoptic_deeplab.files import replacing_folder
    from panoptic_deeplab.weights.loading import load_weights

    config.info = read_info_beside(arguments.model_path) or config.info
    deployment = describe(config, arguments)
    model = config.model
    load_weights(model, arguments.model_path, num_classes=config.info.num_classes)
    model.eval()
    with replacing_folder(arguments.save_dir) as folder:
        write_paddle(folder, config, deployment, arguments)
        if arguments.format == "onnx":
            write_onnx(folder, deployment, arguments)
        (folder / FILE).write_text(deployment.to_yaml(), "utf-8")
        compare(folder, config, deployment, arguments)
    tell_files(arguments.save_dir)


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuses what cannot be done before anything is loaded."""
    from panoptic_deeplab.errors import DataError, UsageError

    if arguments.format == "onnx":
        need_packages("onnx", "paddle2onnx", "onnxruntime")
        from panoptic_deeplab.export.onnx_file import OPSETS

        if arguments.opset not in OPSETS:
            raise UsageError(f"--opset must be in {OPSETS[0]}..{OPSETS[-1]}, got {arguments.opset}")
    if arguments.int8 and (arguments.format != "onnx" or not arguments.calibration):
        raise UsageError("--int8 needs --format onnx and --calibration DIR with pictures")
    if arguments.calibration and not arguments.int8:
        raise UsageError("--calibration does nothing without --int8; add it")
    folder = arguments.save_dir
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: expected a folder to write to, but a file stands there")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "deploy.yaml").exists():
        raise UsageError(
            f"{folder}: holds something else than an export; choose another --save_dir"
        )


def need_packages(*names: str) -> None:
    """Says in one line what to install."""
    import importlib.util

    from panoptic_deeplab.errors import UsageError

    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"an ONNX export needs {', '.join(missing)}; pip install "
            "'panoptic-deeplab[deploy]' or these packages"
        )


def describe(config: Config, arguments: argparse.Namespace) -> Deployment:
    """What goes into deploy.yaml.

    Raises:
        UsageError: a transform or the postprocessor has no form in an export.
    """
    import numpy as np

    from panoptic_deeplab.errors import UsageError
    from panoptic_deeplab.export.description import Deployment
    from panoptic_deeplab.transforms import Padding

    for transform in config.val_transforms:
        if not isinstance(transform, Padding):
            raise UsageError(
                f"{type(transform).__name__} in val_dataset.transforms cannot be exported, only "
                "Padding can; take it out with --opts 'val_dataset.transforms=[]'"
            )
    postprocessor = config.postprocessor
    if not hasattr(postprocessor, "export_settings"):
        raise UsageError(f"{type(postprocessor).__name__} cannot be exported; CenterGrouping can")
    paddings = [(t.target_height, t.target_width) for t in config.val_transforms]
    least = tuple(int(side) for side in np.max([(1, 1), *paddings], axis=0))
    node = config.tree.get("preprocess", {})
    mean, std = (
        [float(value) for value in np.broadcast_to(node.get(name, [0.5]), 3)]
        for name in ("mean", "std")
    )
    grouping = postprocessor.export_settings()
    return Deployment(
        arguments.with_postprocess, config.info, mean, std, least, grouping, made_by(arguments)
    )


def made_by(arguments: argparse.Namespace) -> dict[str, Any]:
    """The versions of what makes the file."""
    from importlib.metadata import version

    import panoptic_deeplab

    used = ["paddle2onnx", "onnx"] if arguments.format == "onnx" else []
    known = {"panoptic_deeplab": panoptic_deeplab.__version__, "python": platform.python_version()}
    known |= {name: version(name) for name in ["paddlepaddle", *used]}
    if arguments.format == "onnx":
        known |= {"opset": arguments.opset, "precision": "int8" if arguments.int8 else "float32"}
    return known | {"config": str(arguments.config)}


def write_paddle(
    folder: Path, config: Config, deployment: Deployment, arguments: argparse.Namespace
) -> None:
    """The program: of the network alone where ONNX is made of it."""
    from panoptic_deeplab.export.program import NetworkProgram, PanopticProgram, save_program

    whole = arguments.with_postprocess and arguments.format == "paddle"
    program = (
        PanopticProgram(config.model, config.preprocess, deployment)
        if whole
        else NetworkProgram(config.model)
    )
    save_program(program, folder)


def write_onnx(folder: Path, deployment: Deployment, arguments: argparse.Namespace) -> None:
    """`model.onnx`, made of the program in `folder`, which stays beside it."""
    from panoptic_deeplab.export.description import MODEL
    from panoptic_deeplab.export.onnx_file import convert_program, with_grouping, write_model

    model = convert_program(folder, arguments.opset)
    if arguments.int8:
        model = in_int8(model, deployment, arguments.calibration)
    if arguments.with_postprocess:
        model = with_grouping(model, deployment)
    write_model(model, deployment, folder / MODEL)


def in_int8(model: onnx.ModelProto, deployment: Deployment, pictures: str) -> onnx.ModelProto:
    """The network quantised, its ranges learnt from pictures."""
    from panoptic_deeplab.export.quantization import quantized
    from panoptic_deeplab.formats.images import read_image
    from panoptic_deeplab.inference.sources import find_images
    from panoptic_deeplab.progress import progress_bar

    found = find_images(pictures)
    chosen = found[:: max(1, len(found) // CALIBRATION_PICTURES)][:CALIBRATION_PICTURES]

    def inputs() -> Iterator[np.ndarray]:
        for picture in progress_bar(
            chosen, title="calibrating", total=len(chosen), unit="pictures"
        ):
            yield network_input(read_image(picture.path), deployment)

    return quantized(model, inputs(), FLOAT_LAYERS)


def network_input(image: np.ndarray, deployment: Deployment) -> np.ndarray:
    """[H, W, 3] uint8 -> [1, 3, P, Q] float32, normalised and padded."""
    import numpy as np

    mean, std = (np.array(values) for values in (deployment.mean, deployment.std))
    scale, shift = (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)
    below, beside = (
        max(least - side, 0)
        for least, side in zip(deployment.least_size, image.shape[:2], strict=True)
    )
    values = image.astype(np.float32) * scale + shift
    padded = np.pad(values, ((0, below), (0, beside), (0, 0)))
    return np.ascontiguousarray(padded.transpose(2, 0, 1))[None]


def tell_files(folder: Path) -> None:
    """What was written, with sizes."""
    for path in sorted(folder.iterdir()):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
