"""Predict images: overlays for people, ids for programs."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_deeplab.cli.command_line import end_quietly_when_terminated, run_script, start_log
from panoptic_deeplab.cli.flags import (
    add_common_arguments,
    add_grouping_arguments,
    add_profile_argument,
    add_runtime_argument,
    add_tile_arguments,
    add_view_arguments,
    chosen_tiling,
    chosen_views,
    grouping_settings,
)
from panoptic_deeplab.cli.parser import Parser, not_negative, positive
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.results import FORMATS
from panoptic_deeplab.video import WRITTEN_SUFFIXES

if TYPE_CHECKING:
    from panoptic_deeplab.inference.options import LoadOptions
    from panoptic_deeplab.inference.sources import Source
    from panoptic_deeplab.structures import DatasetInfo

_log = logging.getLogger(__name__)

_PARQUET = "parquet"
_FORMER_NAMES = {"pictures": "images"}
"""Of forms, still taken."""

SUMMARY = "predict images: overlays for people, ids for programs"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone, as predict.py does; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its flags."""
    parser.describe(
        "Predict images. For each image, --save_dir gets panoptic/NAME.png (segment ids in COCO "
        "panoptic form, listed in panoptic.json), panoptic/NAME_overlay.png, semantic/NAME.png and "
        "instance/NAME.png, or what --format asks for. A second prediction into the same folder "
        "adds to its lists; where an image is predicted again, the new result stays. Ctrl-C and "
        "SIGTERM finish the images at hand and list what is done.",
        "panoptic-deeplab predict --model_path panoptic_deeplab_lite_scenes "
        "--image_path my_images --save_dir output/mine --format images csv",
    )
    add_common_arguments(parser, needs_config=False)
    parser.add_argument(
        "--model_path",
        required=True,
        help="a checkpoint folder, a weights file, an exported model.onnx or its folder, an "
        "https URL of weights, or a name of the zoo (`weights list`)",
    )
    add_runtime_argument(parser)
    parser.add_argument(
        "--image_path",
        "--source",
        required=True,
        metavar="SOURCE",
        help="an image, a folder of images, a quoted pattern, a .txt with a path on each line, an "
        "https URL, an s3:// or gs:// folder, a video, the number of a camera, or an rtsp:// "
        "address",
    )
    parser.add_argument(
        "--every", type=positive, default=1, metavar="N", help="take every N-th image or frame"
    )
    parser.add_argument(
        "--max_frames", type=positive, metavar="N", help="end after N images or frames"
    )
    parser.add_argument(
        "--track",
        action="store_true",
        help="let things keep their ids and colors from image to image",
    )
    parser.add_argument(
        "--save_video",
        type=_video_file,
        metavar="FILE.mp4",
        help="also write the overlays as a video that browsers play; it replaces a file of that "
        "name",
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
        type=_format_name,
        choices=[*FORMATS, _PARQUET],
        default=["images"],
        metavar="FORM",
        help=f"what to write, one or several (default: images): {described(FORMATS)}; {_PARQUET}: "
        "alone, with --engine ray: tables with a row per image",
    )
    parser.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="ray: predict with the actors of a Ray cluster, or else of this machine (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--actors",
        type=positive,
        metavar="N",
        help="with --engine ray: number of processes with a model (default: one for each GPU of "
        "the cluster, or else each CPU)",
    )
    parser.add_argument(
        "--batch_size",
        type=positive,
        default=1,
        help="images of equal size that go through the network together; others wait for a full "
        "batch (default: %(default)s)",
    )
    parser.add_argument(
        "--num_workers",
        type=not_negative,
        default=1,
        help="threads that read, and as many that write, beside the network (default: %(default)s)",
    )
    parser.add_argument(
        "--ground_truth",
        metavar="JSON",
        help="show the ground truth beside each image in the page of --format html: a COCO "
        "panoptic JSON with its PNGs, as Cityscapes' gtFine/cityscapes_panoptic_val.json",
    )
    parser.add_argument(
        "--skip_done",
        action="store_true",
        help="go on with a prediction that was stopped or killed: leave out images of which "
        "--save_dir has whole results in all forms asked for, by this model and these settings, "
        "unless their file has changed since",
    )
    add_profile_argument(parser)
    add_grouping_arguments(parser)
    add_view_arguments(parser)
    add_tile_arguments(parser)


def _video_file(text: str) -> Path:
    """An argument that is a video to be written."""
    path = Path(text)
    if path.suffix.lower() not in WRITTEN_SUFFIXES:
        expected = " or ".join(WRITTEN_SUFFIXES)
        raise argparse.ArgumentTypeError(f"must be a file named {expected}, got '{text}'")
    return path


def _format_name(text: str) -> str:
    return _FORMER_NAMES.get(text, text)


def described(formats: Mapping[str, str]) -> str:
    """Describe all forms in one text."""
    return "; ".join(f"{name}: {what}" for name, what in formats.items())


def run(arguments: argparse.Namespace) -> None:
    """Predict all images with the model that the command line names."""
    if arguments.ground_truth is not None and "html" not in arguments.format:
        raise UsageError("--ground_truth is shown by the page alone; add --format html")
    _refuse_what_ray_lacks(arguments)
    from panoptic_deeplab.files import usable_folder
    from panoptic_deeplab.inference.fingerprint import fingerprint
    from panoptic_deeplab.inference.loading import load_predictor
    from panoptic_deeplab.inference.location import locate_model
    from panoptic_deeplab.inference.options import LoadOptions
    from panoptic_deeplab.inference.run import predict_source
    from panoptic_deeplab.inference.sources import open_source
    from panoptic_deeplab.results.journal import known_files

    start_log()
    views, tiling = chosen_views(arguments), chosen_tiling(arguments)
    source = open_source(
        arguments.image_path,
        known_files(arguments.save_dir),
        arguments.every,
        arguments.max_frames,
    )
    usable_folder(arguments.save_dir)
    options = LoadOptions(
        arguments.device,
        arguments.opts,
        grouping_settings(arguments),
        views,
        arguments.runtime,
        tiling,
        source.count,
    )
    if arguments.engine == "ray":
        _predict_on_ray(arguments, source, options)
        return
    files = locate_model(arguments.model_path, arguments.config)
    predictor = load_predictor(files, options)
    if arguments.ground_truth is not None:
        source = _with_ground_truth(source, arguments.ground_truth, predictor.info)
    end_quietly_when_terminated()
    predict_source(
        predictor,
        source,
        arguments.save_dir,
        list(dict.fromkeys(arguments.format)),
        arguments.num_workers,
        arguments.batch_size,
        profile=arguments.profile,
        track=arguments.track,
        video=arguments.save_video,
        model=fingerprint(files, options, predictor.info),
        skip_done=arguments.skip_done,
    )


def _refuse_what_ray_lacks(arguments: argparse.Namespace) -> None:
    """Refuse flags that need the images one after the other, or another engine."""
    forms = set(arguments.format)
    if _PARQUET in forms and (len(forms) > 1 or arguments.engine != "ray"):
        raise UsageError("--format parquet goes alone, and with --engine ray")
    if arguments.engine != "ray":
        if arguments.actors is not None:
            raise UsageError("--actors is of --engine ray; --num_workers sets the threads here")
        return
    for name in ("track", "save_video", "profile", "ground_truth"):
        if getattr(arguments, name):
            raise UsageError(f"--{name} is not with --engine ray; leave one of them out")


def _predict_on_ray(arguments: argparse.Namespace, source: Source, options: LoadOptions) -> None:
    from panoptic_deeplab.inference.sources import ImageList

    if not isinstance(source, ImageList):
        raise UsageError("--engine ray takes images; a video's frames come one after the other")
    try:
        from panoptic_deeplab.many_machines.engine import Work, predict_on_ray
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--engine ray needs {error.name}; pip install 'panoptic-deeplab[ray]'"
        ) from error
    work = Work(
        arguments.model_path,
        arguments.config,
        options,
        arguments.batch_size,
        arguments.num_workers,
        arguments.actors,
    )
    end_quietly_when_terminated()
    forms = list(dict.fromkeys(arguments.format))
    predict_on_ray(work, source, arguments.save_dir, forms, skip_done=arguments.skip_done)


def _with_ground_truth(source: Source, path: str, info: DatasetInfo) -> Source:
    """Find the ground truth that the command line names, and tell how many images have it."""
    from panoptic_deeplab.formats.ground_truth_files import GroundTruthFiles
    from panoptic_deeplab.inference.sources import ImageList

    if not isinstance(source, ImageList):
        raise UsageError("--ground_truth is of images; a video's frames have none")
    found = GroundTruthFiles(path, info)
    count = found.count(source.files)
    if count < source.count:
        _log.info("%s: ground truth of %d of %d images", path, count, source.count)
    return ImageList(source.images, found)
