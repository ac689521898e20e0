"""Predicts pictures: overlays for people, ids for programs."""

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


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(predict, parse_arguments(argv))


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description="Predict pictures. Under --save_dir come, for each, panoptic/NAME.png (segment "
        "ids in COCO panoptic form, listed in panoptic.json), panoptic/NAME_overlay.png, "
        "semantic/NAME.png and instance/NAME.png.",
        epilog="example: python predict.py --config configs/panoptic_deeplab/"
        "panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005.yml --model_path "
        "output/iter_90000/model.pdparams --image_path data/cityscapes/leftImg8bit/val/",
    )
    add_common_arguments(parser)
    parser.add_argument(
        "--model_path", required=True, help="weights: a .pdparams file or the folder of one"
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
        "--num_workers",
        type=not_negative,
        default=1,
        help="threads that read and write beside the network (default: %(default)s)",
    )
    add_grouping_arguments(parser)
    add_view_arguments(parser)
    return parser.parse_args(argv)


def predict(arguments: argparse.Namespace) -> None:
    """Builds what the configuration names and predicts all pictures."""
    from panoptic_deeplab.engine.pictures import find_pictures
    from panoptic_deeplab.files import usable_folder

    pictures = find_pictures(arguments.image_path, arguments.save_dir)
    usable_folder(arguments.save_dir)
    config = load_config(arguments)
    views = chosen_views(arguments)

    from panoptic_deeplab.engine.checkpoint import read_info_beside
    from panoptic_deeplab.engine.predictor import Predictor, predict_pictures
    from panoptic_deeplab.engine.weights import load_weights
    from panoptic_deeplab.results import ResultWriter

    config.info = read_info_beside(arguments.model_path) or config.info
    predictor = Predictor(
        config.model, config.preprocess, config.val_transforms, config.postprocessor, views
    )
    load_weights(config.model, arguments.model_path)
    writer = ResultWriter(arguments.save_dir, config.info)
    predict_pictures(predictor, pictures, writer, arguments.num_workers)


if __name__ == "__main__":
    sys.exit(main())
