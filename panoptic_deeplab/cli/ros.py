"""Panoptic segmentation for robots: a node of ROS 2, or a bag in and a bag out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_deeplab.cli.command_line import end_quietly_when_terminated, run_script, start_log
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.cli.parser import Parser
from panoptic_deeplab.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from panoptic_deeplab.inference.model import Model
    from panoptic_deeplab.result import Result

SUMMARY = "a node of ROS 2, or a bag in and a bag out"
LIVE_TOPIC = "/image_raw"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone, as tools/ros2_node.py does; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its flags, which are those of OpenDR's EfficientPS node."""
    parser.describe(
        "Predict the images of a topic, as a node of ROS 2 until Ctrl-C, or without ROS from a bag "
        "into a new bag. What is published has the header of its image. Ids and classes are "
        "mono8, or 16UC1 where one is above 255; the node computes while somebody listens.",
        "panoptic-deeplab ros --model_path output/best_model --bag drive --save_dir drive_panoptic",
    )
    parser.add_argument(
        "--model_path",
        "--checkpoint",
        default="cityscapes",
        help="as of predict; cityscapes and kitti are EfficientPS's weights (default: %(default)s)",
    )
    parser.add_argument("--config", metavar="PATH|NAME", help="default: the one beside the weights")
    parser.add_argument(
        "--device", choices=["auto", "cpu", "gpu"], default="auto", help="default: %(default)s"
    )
    parser.add_argument(
        "-i",
        "--input_rgb_image_topic",
        metavar="TOPIC",
        help=f"the images; NAME/compressed are compressed ones (default: {LIVE_TOPIC}, or the only "
        "images of the bag)",
    )
    parser.add_argument(
        "-oh",
        "--output_heatmap_topic",
        metavar="TOPIC",
        type=_topic,
        default="/opendr/panoptic",
        help="TOPIC/instance gets the ids of segments, TOPIC/semantic the classes; none: neither "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "-ov",
        "--output_rgb_image_topic",
        metavar="TOPIC",
        type=_topic,
        default="/opendr/panoptic/rgb_visualization",
        help="gets the overlay; none: nothing does (default: %(default)s)",
    )
    parser.add_argument(
        "--detailed_visualization",
        action="store_true",
        help="there, image, classes, instances and overlay side by side",
    )
    parser.add_argument(
        "--track",
        action="store_true",
        help="TOPIC/instance gets ids that last from image to image, 0 where there is no thing",
    )
    parser.add_argument("--bag", type=Path, help="a bag of ROS 2 or ROS 1, in place of a node")
    parser.add_argument("--save_dir", type=Path, help="the new bag, with --bag")
    parser.add_argument(
        "--ros-args", nargs=argparse.REMAINDER, default=[], help="what follows is for ROS"
    )
    add_debug_argument(parser)


def _topic(text: str) -> str | None:
    return None if text.lower() == "none" else text


def _tracking(model: Model) -> Callable[[np.ndarray], Result]:
    """Predict as `model` does, the images one after the other as those of a video."""
    from panoptic_deeplab.inference.tracked import ResultTracker

    tracker = ResultTracker(model.info)
    return lambda pixels: tracker(model(pixels))


def run(arguments: argparse.Namespace) -> None:
    """Load the model, then predict the bag or run the node."""
    if (arguments.bag is None) != (arguments.save_dir is None):
        raise UsageError("--bag and --save_dir go together: the bag to read and the one to make")
    from panoptic_deeplab.inference.model import load_model
    from panoptic_deeplab.learners.efficient_ps import EfficientPsLearner
    from panoptic_deeplab.ros.bag import predict_bag, refuse_useless
    from panoptic_deeplab.ros.node import refuse_no_ros, spin
    from panoptic_deeplab.ros.topics import drawn_topics

    start_log()
    drawn = drawn_topics(
        arguments.output_heatmap_topic,
        arguments.output_rgb_image_topic,
        arguments.detailed_visualization,
        arguments.track,
    )
    if not drawn:
        raise UsageError("-oh none and -ov none leave nothing to publish; give one a topic")
    if arguments.bag is None:
        refuse_no_ros()
    else:
        refuse_useless(arguments.bag, arguments.save_dir)
    of_opendr = EfficientPsLearner.published
    model_path = of_opendr.get(arguments.model_path, arguments.model_path)
    model = load_model(model_path, arguments.device, arguments.config)
    if arguments.track:
        model = _tracking(model)
    end_quietly_when_terminated()
    topic = arguments.input_rgb_image_topic
    if arguments.bag is None:
        spin(model, topic or LIVE_TOPIC, drawn, ["--ros-args", *arguments.ros_args])
    else:
        predict_bag(model, arguments.bag, arguments.save_dir, topic, drawn)
