"""Published weights: the zoo by name, those of other frameworks converted, own ones packed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from panoptic_deeplab.cli.command_line import run_script
from panoptic_deeplab.cli.flags import add_config_arguments, add_debug_argument
from panoptic_deeplab.cli.parser import Parser, file_here

SUMMARY = "published weights: list, fetch and convert them, pack your own"
EXAMPLE_NAME = "panoptic_deeplab_resnet50_os32_cityscapes"
EXAMPLE = (
    "panoptic-deeplab weights convert --model_path efficientps.pth --config "
    "efficientps_b5_cityscapes --save_dir weights/efficientps"
)
CONVERSION = """
Make published weights (EfficientPS, Panoptic FPN, Panoptic-DeepLab, EfficientNets, ResNets) this
project's own.

The file (.pth, .pkl or .pdparams; nothing in it is run, PyTorch is not needed) is read,
each entry becomes what the configured network has in its place, and a folder is written: the
weights (model.pdparams), the classes where they are known (dataset_info.json), the configuration
(config.yml) and what became of each entry, with the license (conversion.json). An entry that is
unknown or missing is an error. Whose weights they are is told by their names.

The folders of whole networks are checkpoints: --model_path of val and predict. Those of networks
for ImageNet (of PaddleClas, torchvision and detectron2) are backbones: --opts
model.backbone.pretrained=FOLDER of train.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its commands."""
    parser.describe(
        "Published weights. A model of the zoo is named wherever --model_path is asked for; what "
        "is downloaded stays in ~/.cache/panoptic_deeplab, or in the folder that the environment "
        "variable PANOPTIC_DEEPLAB_CACHE names, and is fetched from a mirror if "
        "PANOPTIC_DEEPLAB_MIRROR holds its address.",
        f"panoptic-deeplab weights download {EXAMPLE_NAME}",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_list(commands.add_parser("list", help="the models of the zoo"))
    add_show(commands.add_parser("show", help="all that is known of a model"))
    add_download(commands.add_parser("download", help="fetch models before they are needed"))
    add_convert(commands.add_parser("convert", help="make them a checkpoint of this project"))
    add_pack(commands.add_parser("pack", help="make a checkpoint half as large, to share it"))


def add_list(parser: Parser) -> None:
    """Describe `weights list`."""
    parser.describe("List the models of the zoo.", "panoptic-deeplab weights list")
    add_debug_argument(parser)
    parser.set_defaults(command=list_models)


def add_show(parser: Parser) -> None:
    """Describe `weights show` and its flags."""
    parser.describe(
        "Tell a model's configuration, address, license and published score, and where it is kept.",
        f"panoptic-deeplab weights show {EXAMPLE_NAME}",
    )
    parser.add_argument("name", metavar="NAME", help="of the model")
    add_debug_argument(parser)
    parser.set_defaults(command=show)


def add_download(parser: Parser) -> None:
    """Describe `weights download` and its flags."""
    parser.describe(
        "Fetch models, so that they can be used without a network. A download that broke off is "
        "resumed. The checksum of the first download is recorded and held to.",
        f"panoptic-deeplab weights download {EXAMPLE_NAME}",
    )
    parser.add_argument("names", metavar="NAME", nargs="+", help="of the models")
    add_debug_argument(parser)
    parser.set_defaults(command=download)


def add_convert(parser: Parser) -> None:
    """Describe `weights convert` and its flags."""
    parser.describe(CONVERSION, EXAMPLE)
    parser.add_argument("--model_path", type=file_here, required=True, help="the published file")
    parser.add_argument("--save_dir", type=Path, required=True, help="the folder to write")
    add_config_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier conversion")
    parser.former_names.update({"--weights": "--model_path", "--output": "--save_dir"})
    parser.set_defaults(command=convert)


def add_pack(parser: Parser) -> None:
    """Describe `weights pack` and its flags."""
    parser.describe(
        "Write the weights of a checkpoint as safetensors in half precision, with configuration "
        "and classes: a folder to share, for --model_path and for train --init. Training cannot "
        "resume from it.",
        "panoptic-deeplab weights pack --model_path output/best_model --save_dir shared/streets",
    )
    parser.add_argument("--model_path", type=file_here, required=True, help="the checkpoint folder")
    parser.add_argument("--save_dir", type=Path, required=True, help="the folder to write")
    add_debug_argument(parser)
    parser.set_defaults(command=pack)


def run(args: argparse.Namespace) -> None:
    """Do what the command asks for."""
    args.command(args)


def list_models(_: argparse.Namespace) -> None:
    """Print name, score and authors of each model of the zoo."""
    from panoptic_deeplab.weights import zoo

    for model in zoo().values():
        fetched = "; is here" if model.path.exists() else ""
        here = "; travels with the package" if model.file else fetched
        print(f"{model.name}\n    {model.score}, as {model.by} published{here}")


def show(args: argparse.Namespace) -> None:
    """Print what is known of a model of the zoo."""
    from panoptic_deeplab.weights import zoo_model

    model = zoo_model(args.name)
    here = "is there" if model.path.exists() else "not fetched yet"
    facts = {name: value for name, value in vars(model).items() if value and name != "by_hand"}
    for name, value in (facts | {"kept in": f"{model.path} ({here})"}).items():
        print(f"{name + ':':9} {value}")
    if model.by_hand:
        print("fetch:    by hand, with a browser; put the file under the name above")


def download(args: argparse.Namespace) -> None:
    """Fetch models of the zoo into the cache and print where each lies."""
    from panoptic_deeplab.weights import zoo_model

    for model in [zoo_model(name) for name in args.names]:
        print(f"{model.name}: {model.fetch()}\nlicense: {model.license}")


def convert(args: argparse.Namespace) -> None:
    """Convert a file of weights and tell what became of its entries."""
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.weights import convert_published

    config = Config(args.config, args.opts)
    origin, report = convert_published(config, args.model_path, args.save_dir, args.overwrite)
    print(f"{args.model_path}: {origin.name}", *report.lines(), sep="\n")
    print(f"license: {origin.license}")
    print(f"written and loaded into the network: {args.save_dir}")


def pack(args: argparse.Namespace) -> None:
    """Pack a checkpoint and tell how large it is."""
    from panoptic_deeplab.weights import pack_checkpoint

    path = pack_checkpoint(args.model_path, args.save_dir)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
