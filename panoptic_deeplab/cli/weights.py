"""Convert published weights of other frameworks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from panoptic_deeplab.cli.command_line import run_script
from panoptic_deeplab.cli.flags import add_config_arguments
from panoptic_deeplab.cli.parser import Parser, file_here

SUMMARY = "convert published weights of other frameworks"
EXAMPLE = (
    "panoptic-deeplab weights convert --model_path efficientps.pth --config "
    "efficientps_b5_cityscapes --save_dir weights/efficientps"
)
CONVERSION = """
Make published weights (EfficientPS, Panoptic FPN, EfficientNets, ResNets) this project's own.

The file (.pth, .pkl or .pdparams; nothing in it is run, PyTorch is not needed) is read,
each entry becomes what the configured network has in its place, and a folder is written: the
weights (model.pdparams), the classes where they are known (dataset_info.json), the configuration
(config.yml) and what became of each entry, with the license (conversion.json). An entry that is
unknown or missing is an error. Whose weights they are is told by their names.

EfficientPS's and Panoptic FPN's folders are checkpoints: --model_path of val and predict. Those of
networks for ImageNet (of PaddleClas, torchvision and detectron2) are backbones: --opts
model.backbone.pretrained=FOLDER/model.pdparams of train.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its commands."""
    parser.describe("Published weights of other frameworks.", EXAMPLE)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_convert(commands.add_parser("convert", help="make them a checkpoint of this project"))


def add_convert(parser: Parser) -> None:
    """Describe `weights convert` and its flags."""
    parser.describe(CONVERSION, EXAMPLE)
    parser.add_argument("--model_path", type=file_here, required=True, help="the published file")
    parser.add_argument("--save_dir", type=Path, required=True, help="the folder to write")
    add_config_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier conversion")
    parser.former_names.update({"--weights": "--model_path", "--output": "--save_dir"})
    parser.set_defaults(command=convert)


def run(args: argparse.Namespace) -> None:
    """Do what the command asks for."""
    args.command(args)


def convert(args: argparse.Namespace) -> None:
    """Convert a file of weights and tell what became of its entries."""
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.weights import convert_published

    config = Config(args.config, args.opts)
    origin, report = convert_published(config, args.model_path, args.save_dir, args.overwrite)
    print(f"{args.model_path}: {origin.name}", *report.lines(), sep="\n")
    print(f"license: {origin.license}")
    print(f"written and loaded into the network: {args.save_dir}")
