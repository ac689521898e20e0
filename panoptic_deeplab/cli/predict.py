"""Predicts pictures: overlays for people, ids for programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_deeplab.cli.command_line import (
    add_common_arguments,
    add_grouping_arguments,
    add_profile_argument,
    add_view_arguments,
    chosen_views,
    load_config,
    run_script,
)
from panoptic_deeplab.cli.parser import Parser, not_negative
from panoptic_deeplab.results import FOLDERS, FORMATS

if TYPE_CHECKING:
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.engine.views import Augmentation
    from panoptic_deeplab.inference.exported import ExportedModel, ExportedPredictor

GROUPING_FLAGS = ("threshold", "nms_kernel", "top_k")


SUMMARY = "predict images: overlays for people, ids for programs"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone, as predict.py does; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its flags."""
    parser.describe(
        "Predict pictures. Under --save_dir come, for each, panoptic/NAME.png (segment ids in COCO "
        "panoptic form, listed in panoptic.json), panoptic/NAME_overlay.png, semantic/NAME.png and "
        "instance/NAME.png, or what --format asks for. A second prediction into the same folder "
        "adds to its lists; of a picture predicted again the new result stays. Ctrl-C or SIGTERM "
        "list what is done by then.",
        "panoptic-deeplab predict --config configs/demo/panoptic_deeplab_lite_scenes.yml "
        "--model_path output/demo/model --image_path my_pictures --save_dir output/mine "
        "--format pictures csv",
    )
    add_common_arguments(parser)
    parser.add_argument(
        "--model_path",
        required=True,
        help="weights: a .pdparams file or its folder; or an exported model.onnx",
    )
    parser.add_argument(
        "--runtime",
        choices=["auto", "onnxruntime", "openvino"],
        default="auto",
        help="what runs a model.onnx; auto takes the first that is installed",
    )
    parser.add_argument(
        "--image_path", required=True, help="a picture, a folder of pictures, or a quoted pattern"
    )
    parser.add_argument(
        "--save_dir",
        type=Path,
        default=Path("./output/result"),
        help="where the results go (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        default=["pictures"],
        metavar="FORM",
        help=f"what to write, one or several (default: pictures): {described(FORMATS)}",
    )
    parser.add_argument(
        "--num_workers",
        type=not_negative,
        default=1,
        help="threads that read, and as many that write, beside the network (default: %(default)s)",
    )
    add_profile_argument(parser)
    add_grouping_arguments(parser)
    add_view_arguments(parser)


def described(formats: Mapping[str, str]) -> str:
    """All forms in one text."""
    return "; ".join(f"{name}: {what}" for name, what in formats.items())


def run(arguments: argparse.Namespace) -> None:
    """Builds what the configuration names and predicts all pictures."""
    from panoptic_deeplab.files import usable_folder
    from panoptic_deeplab.inference.sources import find_pictures

    results = [arguments.save_dir / folder for folder in FOLDERS]
    pictures = find_pictures(arguments.image_path, left_out=results)
    usable_folder(arguments.save_dir)
    config = load_config(arguments)
    views = chosen_views(arguments)

    from panoptic_deeplab.engine.predictor import predict_pictures
    from panoptic_deeplab.inference.exported import ExportedModel, exported_file
    from panoptic_deeplab.results.writer import ResultWriter

    file = exported_file(arguments.model_path)
    if file is None:
        predictor = trained_predictor(config, arguments.model_path, views)
    else:
        exported = ExportedModel(file, arguments.runtime)
        predictor = exported_predictor(config, exported, views, arguments)
    writer = ResultWriter(
        arguments.save_dir,
        config.info,
        list(dict.fromkeys(arguments.format)),
        [picture.name for picture in pictures],
    )
    predict_pictures(predictor, pictures, writer, arguments.num_workers, profile=arguments.profile)


def trained_predictor(config: Config, model_path: str, views: Augmentation | None) -> Predictor:
    """The configuration's model with the weights of a checkpoint."""
    from panoptic_deeplab.engine.checkpoint import read_info_beside
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.weights.loading import load_weights

    config.info = read_info_beside(model_path) or config.info
    predictor = Predictor(
        config.model, config.preprocess, config.val_transforms, config.postprocessor, views
    )
    load_weights(
        config.model,
        model_path,
        num_classes=config.info.num_classes,
        way_out="predict with the configuration they were trained with",
    )
    return predictor


def exported_predictor(
    config: Config,
    exported: ExportedModel,
    views: Augmentation | None,
    arguments: argparse.Namespace,
) -> Predictor | ExportedPredictor:
    """An exported file in place of the model; classes, padding and normalisation are the file's.

    Raises:
        UsageError: the file holds the grouping, and another one or merged views are asked for.
    """
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.errors import UsageError
    from panoptic_deeplab.inference.exported import ExportedNetwork, ExportedPredictor
    from panoptic_deeplab.preprocess import Preprocess
    from panoptic_deeplab.transforms import Padding

    deployment = exported.deployment
    config.info = deployment.info
    if not deployment.with_postprocess:
        height, width = deployment.least_size
        return Predictor(
            ExportedNetwork(exported),
            Preprocess(deployment.mean, deployment.std),
            [Padding([width, height])],
            config.postprocessor,
            views,
        )
    changed = [name for name in GROUPING_FLAGS if getattr(arguments, name) is not None]
    if changed or views is not None:
        flag = f"--{changed[0]}" if changed else "--aug_eval"
        raise UsageError(
            f"{exported.path}: holds its post-processing, which {flag} cannot change; leave it "
            "out, or export without --with_postprocess"
        )
    return ExportedPredictor(exported)


if __name__ == "__main__":
    sys.exit(main())
