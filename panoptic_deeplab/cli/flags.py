"""Flags that several verbs take, each written once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.cli.parser import fraction, not_negative, odd, positive
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.tiles import DEFAULT_OVERLAP, Tiling

if TYPE_CHECKING:
    from panoptic_deeplab.views import Augmentation

GROUPING_FLAGS: dict[str, tuple[Callable[[str], Any], str]] = {
    "threshold": (fraction, "heatmap value that a center must exceed, 0..1"),
    "nms_kernel": (odd, "window of a center in pixels, odd"),
    "top_k": (positive, "maximum number of centers in an image"),
}
"""Settings of the postprocessor that are flags of their own, as the reference's: type and help."""


def add_common_arguments(parser: argparse.ArgumentParser, needs_config: bool = True) -> None:
    """--config, --opts, --debug and --device; the arguments are those of `add_config_arguments`."""
    add_config_arguments(parser, needs_config)
    parser.add_argument(
        "--device",
        choices=["auto", "cpu", "gpu"],
        default="auto",
        help="where to compute; auto takes a GPU if Paddle sees one (default: %(default)s)",
    )


def add_runtime_argument(parser: argparse.ArgumentParser) -> None:
    """--runtime."""
    parser.add_argument(
        "--runtime",
        choices=["auto", "paddle", "onnxruntime", "openvino"],
        default="auto",
        help="what computes the network on a CPU: paddle, or the faster onnxruntime and openvino, "
        "for which a checkpoint's network is compiled once, checked against Paddle and kept; auto "
        "takes one that is installed, and compiles beside Paddle where that pays (default: "
        "%(default)s)",
    )


def add_config_arguments(parser: argparse.ArgumentParser, needs_config: bool = True) -> None:
    """--config, --opts and --debug.

    Args:
        parser: gets the flags.
        needs_config: False where the configuration may lie beside the weights of --model_path.
    """
    beside = "" if needs_config else "; default: the one beside the weights of --model_path"
    parser.add_argument(
        "--config",
        required=needs_config,
        metavar="PATH|NAME",
        help=f"the configuration: a YAML file, or the name of one that is shipped{beside}",
    )
    parser.add_argument(
        "--opts",
        nargs="+",
        default=[],
        metavar="A.B=VALUE",
        help="changes to the configuration, such as batch_size=2 val_dataset.dataset_root=DIR",
    )
    add_debug_argument(parser)


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """--json, for verbs that report."""
    parser.add_argument(
        "--json", type=_report, metavar="FILE", help="also write the results to FILE"
    )


def _report(text: str) -> Path:
    """A JSON to write: a new one, or in place of an earlier report, never of annotations."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: expected a file in a folder that exists")
    if path.exists() and not _is_report(path):
        raise argparse.ArgumentTypeError(
            f"{text}: the results would replace this file, which holds something else"
        )
    return path


def _is_report(path: Path) -> bool:
    try:
        content = read_json(path)
    except DataError:
        return False
    return isinstance(content, dict) and not {"images", "annotations"} & content.keys()


def add_debug_argument(parser: argparse.ArgumentParser) -> None:
    """--debug, which every verb takes."""
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")


def add_grouping_arguments(parser: argparse.ArgumentParser) -> None:
    """The reference's post-processing flags; each overrides a key of the configuration."""
    group = parser.add_argument_group("post-processing (default: what the configuration says)")
    for name, (kind, text) in GROUPING_FLAGS.items():
        group.add_argument(f"--{name}", type=kind, help=text)


def grouping_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return name -> value of the `GROUPING_FLAGS` that the command line gives."""
    given = {name: getattr(arguments, name, None) for name in GROUPING_FLAGS}
    return {name: value for name, value in given.items() if value is not None}


def add_profile_argument(parser: argparse.ArgumentParser) -> None:
    """--profile, which tells where the time went."""
    parser.add_argument(
        "--profile", action="store_true", help="tell at the end which step took how much time"
    )


def add_view_arguments(parser: argparse.ArgumentParser) -> None:
    """PaddleSeg's flags for test-time augmentation; `chosen_views` reads them."""
    group = parser.add_argument_group("test-time augmentation")
    group.add_argument("--aug_eval", action="store_true", help="merge several views of each image")
    group.add_argument(
        "--scales", type=float, nargs="+", metavar="S", help="sizes of the views (default: 1.0)"
    )
    group.add_argument(
        "--flip_horizontal", action="store_true", help="also show each size mirrored"
    )


def chosen_views(arguments: argparse.Namespace) -> Augmentation | None:
    """Return the views that the command line asks for, None for the image as it is.

    Raises:
        UsageError: views are described but not asked for, or their scales cannot be used.
    """
    if not arguments.aug_eval:
        if arguments.scales is not None or arguments.flip_horizontal:
            raise UsageError("--scales and --flip_horizontal do nothing without --aug_eval; add it")
        return None
    from panoptic_deeplab.views import Augmentation

    return Augmentation(tuple(arguments.scales or [1.0]), arguments.flip_horizontal)


def add_tile_arguments(parser: argparse.ArgumentParser) -> None:
    """--tile and --tile_overlap; `chosen_tiling` reads them."""
    group = parser.add_argument_group("images larger than memory")
    group.add_argument(
        "--tile",
        type=positive,
        nargs=2,
        metavar=("WIDTH", "HEIGHT"),
        help="cut larger images into tiles of this size, which the network sees one by one",
    )
    group.add_argument(
        "--tile_overlap",
        type=not_negative,
        metavar="PIXELS",
        help=f"what neighboring tiles share at least (default: {DEFAULT_OVERLAP})",
    )


def chosen_tiling(arguments: argparse.Namespace) -> Tiling | None:
    """Return the tiles that the command line asks for, None for whole images.

    Raises:
        UsageError: there is an overlap without tiles, or a size that tiles cannot have.
    """
    if arguments.tile is None:
        if arguments.tile_overlap is not None:
            raise UsageError("--tile_overlap does nothing without --tile WIDTH HEIGHT; add it")
        return None
    width, height = arguments.tile
    overlap = arguments.tile_overlap
    return Tiling((height, width), DEFAULT_OVERLAP if overlap is None else overlap)
