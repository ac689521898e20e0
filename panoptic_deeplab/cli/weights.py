"""Converts published weights of other frameworks."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_deeplab.cli.command_line import run_script
from panoptic_deeplab.cli.parser import Parser
from panoptic_deeplab.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from panoptic_deeplab.config import Config
    from panoptic_deeplab.weights.conversion import Report
    from panoptic_deeplab.weights.origins import Origin

SUMMARY = "convert published weights of other frameworks"
EXAMPLE = (
    "panoptic-deeplab weights convert --model_path efficientps.pth --config "
    "configs/efficientps/efficientps_b5_cityscapes.yml --save_dir weights/efficientps"
)
CONVERSION = """
Make published weights (EfficientPS, EfficientNets) a checkpoint of this project.

The file (PyTorch's zip format or .pdparams; nothing in it is run, PyTorch is not needed) is read,
each entry becomes what the configured network has in its place, and a folder is written: the
weights (model.pdparams), the classes where they are known (dataset_info.json), the configuration
(config.yml) and what became of each entry, with the license (conversion.json). An entry that is
unknown or missing is an error. Whose weights they are is told by their names.

EfficientPS's folder is a checkpoint: --model_path of val and predict. PaddleClas's file is a
backbone's: --opts model.backbone.pretrained=FOLDER/model.pdparams of train.
"""
REPORT_FILE = "conversion.json"
FILES = {"model.pdparams", "dataset_info.json", "config.yml", REPORT_FILE}


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
    parser.add_argument("--model_path", type=Path, required=True, help="the published file")
    parser.add_argument("--config", required=True, help="of the network that gets them (YAML)")
    parser.add_argument("--save_dir", type=Path, required=True, help="the folder to write")
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="A.B=VALUE", help="changes to the configuration"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier conversion")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    parser.former_names.update({"--weights": "--model_path", "--output": "--save_dir"})
    parser.set_defaults(command=convert)


def run(args: argparse.Namespace) -> None:
    """Do what the command asks for."""
    args.command(args)


def convert(args: argparse.Namespace) -> None:
    """Convert a file of weights and tell what became of its entries."""
    check_output(args.save_dir, args.overwrite)
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.weights import conversion

    with conversion.published_entries(args.model_path) as (entries, others):
        config = Config(args.config, args.opts)
        weights, origin, report = conversion.convert(entries, config.model, args.model_path)
    report.dropped |= others
    refuse_other_classes(origin, config, args.model_path)
    write(args, config, weights, origin, report)
    print(f"{args.model_path}: {origin.name}", *report.lines(), sep="\n")
    print(f"licence: {origin.licence}")
    print(f"written and loaded into the network: {args.save_dir}")


def check_output(output: Path, overwrite: bool) -> None:
    """Refuses, before anything is done, a folder that would be lost.

    Raises:
        UsageError: a file stands there, or the folder holds something (with `overwrite`:
            something else than a conversion).
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"--save_dir {output}: expected a folder to make, but a file stands there")
    held = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if held and not overwrite:
        raise UsageError(
            f"--save_dir {output}: expected a new or empty folder, but it holds files; choose "
            "another or add --overwrite"
        )
    if held - FILES or (held and REPORT_FILE not in held):
        raise UsageError(
            f"--save_dir {output}: --overwrite replaces conversions, but this folder is none; "
            "choose another"
        )


def refuse_other_classes(origin: Origin, config: Config, weights: Path) -> None:
    """Keeps weights from a configuration whose classes only happen to be as many.

    Raises:
        DataError: the names of the classes differ.
    """
    if origin.info is None:
        return
    there, here = ([c.name for c in info.categories] for info in (origin.info, config.info))
    if there != here:
        raise DataError(
            f"{weights}: was trained for the classes of {origin.info.name}, the configuration has "
            f"those of {config.info.name}; choose a configuration of {origin.info.name}"
        )


def write(
    args: argparse.Namespace,
    config: Config,
    weights: dict[str, np.ndarray],
    origin: Origin,
    report: Report,
) -> None:
    """Writes the folder, after its weights have been loaded into the network."""
    from panoptic_deeplab.files import replacing_folder, write_json
    from panoptic_deeplab.weights.loading import NOTE_ENDING, load_weights

    part = getattr(config.model, origin.part) if origin.part else config.model
    with replacing_folder(args.save_dir) as folder:
        with open(folder / "model.pdparams", "wb") as file:
            pickle.dump(weights | {f"licence{NOTE_ENDING}": origin.licence}, file, protocol=4)
        load_weights(part, folder / "model.pdparams")
        (folder / "config.yml").write_text(config.to_yaml(), "utf-8")
        if origin.info is not None:
            write_json(folder / "dataset_info.json", origin.info.to_dict(), indent=2)
        source = {
            "file": args.model_path.name,
            "sha256": _checksum(args.model_path),
            "origin": origin.name,
            "licence": origin.licence,
            "config": args.config,
        }
        write_json(folder / REPORT_FILE, source | vars(report), indent=2)


def _checksum(path: Path) -> str:
    checksum = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
