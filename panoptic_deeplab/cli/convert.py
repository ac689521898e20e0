"""Convert annotations between COCO panoptic and the forms of other data sets and tools."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panoptic_deeplab.cli.command_line import run_script
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.cli.parser import Parser, positive, processes
from panoptic_deeplab.errors import DataError, FaultsError, UsageError
from panoptic_deeplab.parallel import MAX_WORKERS

if TYPE_CHECKING:
    from panoptic_deeplab.convert.run import Source, Target

Commands = argparse._SubParsersAction  # of Parser
Open = Callable[[argparse.Namespace], "tuple[Source, str]"]
"""Opens the source that a command line describes; also returns the default of --name."""

SUMMARY = "convert annotations from one form to another"
DESCRIPTION = """
Convert annotations of many forms to COCO panoptic, and COCO panoptic to the forms of Cityscapes and
BDD100K.

The example writes data/mine/train.json and data/mine/train/*.png, which the data set CocoPanoptic
reads. All of it appears at the end, or nothing. `COMMAND --help` tells each form's arguments, with
an example.
"""
PREPARATION = """
Make Cityscapes as it is downloaded ready for training.

For each split it writes, beside what the download holds,

    gtFine/cityscapes_panoptic_{split}_trainId.json
    gtFine/cityscapes_panoptic_{split}_trainId/*.png
        as csCreatePanopticImgs --use-train-id: the JSON byte for byte, the
        PNGs pixel for pixel;
    gtFine/{split}/{city}/*_gtFine_labelTrainIds.png
        where polygons lie and they are missing.

Each file appears whole or not at all, the JSON last; a split that is already done is left alone.
"""
OVERLAPS = ("last", "first", "small_on_top")
LARGEST_SIDE = 1 << 16
LISTED = 20
"""Faults that are printed, and as many of what is left out; a count says how many are not."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its commands."""
    parser.describe(
        DESCRIPTION,
        "panoptic-deeplab convert from-labelme --folder labels --things car,person "
        "--stuff road,sky --save_dir data/mine --name train",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        _add_from_cityscapes,
        _add_from_bdd100k,
        _add_from_scalabel,
        _add_from_kitti,
        _add_from_coco_instances,
        _add_from_labelme,
        _add_to_cityscapes,
        _add_to_bdd100k,
        _add_prepare_cityscapes,
    ):
        add(commands)


def run(args: argparse.Namespace) -> None:
    """Do what the command asks for."""
    args.command(args)


def _convert(args: argparse.Namespace) -> None:
    from panoptic_deeplab.convert.run import convert

    source, name = args.open(args)
    name = args.name or name
    if Path(name).name != name or name.startswith("."):
        raise UsageError(f"--name: expected a name without folders and dots, got {name!r}")
    target = args.target(args, source, name)
    try:
        left_out = convert(source, target, args.num_workers, args.overwrite)
    except FaultsError as error:
        _list("warning: left out", error.left_out)
        if len(error.errors) == 1:
            raise
        _list("faults", error.errors)
        raise DataError(f"{len(error.errors)} faults, listed above; nothing was written") from error
    _list("warning: left out", left_out)
    classes = f"{source.info.num_classes} classes, {len(source.info.thing_ids)} of them things"
    print(f"{target.results[0]}: {len(source.images)} images, {classes}")


def _list(title: str, errors: Sequence[DataError]) -> None:
    if errors:
        print(f"{title}: {len(errors)}", file=sys.stderr)
    for error in errors[:LISTED]:
        print(f"    {error}", file=sys.stderr)
    if len(errors) > LISTED:
        print(f"    and {len(errors) - LISTED} more", file=sys.stderr)


def _add_command(
    commands: Commands,
    name: str,
    description: str,
    example: str,
    open_source: Open,
    target: Callable[[argparse.Namespace, Source, str], Target],
) -> Parser:
    parser = commands.add_parser(name, help=description.splitlines()[0])
    parser.describe(description, f"panoptic-deeplab convert {name} {example}")
    parser.add_argument("--save_dir", required=True, help="the folder to write to")
    parser.former_names["--output"] = "--save_dir"
    parser.add_argument("--name", help="name of the result; default: the name of the source")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    _add_workers_and_debug(parser)
    parser.set_defaults(command=_convert, open=open_source, target=target)
    return parser


def _add_workers_and_debug(parser: Parser) -> None:
    parser.add_argument(
        "--num_workers",
        type=processes,
        default=min(os.cpu_count() or 1, MAX_WORKERS),
        help="processes; default: all cores",
    )
    parser.former_names["--workers"] = "--num_workers"
    add_debug_argument(parser)


def _add_ignore_unknown(parser: Parser) -> None:
    parser.add_argument(
        "--ignore_unknown",
        action="store_true",
        help="make void what belongs to no class; default: an error",
    )


def _add_overlap(parser: Parser, default: str) -> None:
    parser.add_argument(
        "--overlap",
        choices=OVERLAPS,
        default=default,
        metavar="RULE",
        help="which of two objects covers the other: the last or first of the file, or "
        "(small_on_top) the one of the smaller area, crowds being lowest (default: %(default)s)",
    )


def _add_from_cityscapes(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "from-cityscapes",
        "Cityscapes, or CVAT's Cityscapes 1.0, to COCO panoptic.\n\n"
        "From *_instanceIds.png, or *_polygons.json where these are missing. The 19 classes have "
        "their train ids; the maps are those of csCreatePanopticImgs --use-train-id. Beside a "
        "label_colors.txt of CVAT the classes are one's own, and stuff is what --stuff names, or "
        "else what no instance is numbered of.",
        "--dataset_root data/cityscapes --split val --save_dir data/cityscapes_coco",
        _open_cityscapes,
        _coco_panoptic,
    )
    parser.add_argument("--dataset_root", required=True, help="the folder that holds gtFine")
    parser.add_argument("--split", required=True, help="the folder below gtFine")
    _add_stuff(parser)


def _open_cityscapes(args: argparse.Namespace) -> tuple[Source, str]:
    from panoptic_deeplab.convert.sources import open_cityscapes

    return open_cityscapes(Path(args.dataset_root), args.split, args.stuff), args.split


def _add_from_bdd100k(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "from-bdd100k",
        "BDD100K's bitmasks to COCO panoptic.\n\n"
        "All parts of a class of stuff become one segment; what is crowd or ignored is a crowd.",
        "--folder data/bdd100k/labels/pan_seg/bitmasks/val --save_dir data/bdd100k_coco",
        _open_bdd100k,
        _coco_panoptic,
    )
    parser.add_argument("--folder", required=True, help="the folder of the bitmasks")


def _open_bdd100k(args: argparse.Namespace) -> tuple[Source, str]:
    from panoptic_deeplab.convert.sources import open_bitmasks

    return open_bitmasks(Path(args.folder)), Path(args.folder).resolve().name


def _add_from_scalabel(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "from-scalabel",
        "Scalabel JSON to COCO panoptic.\n\n"
        "RLE masks or polygons of BDD100K's classes. Later labels cover earlier ones; all "
        "parts of a class of stuff become one segment.",
        "--json data/bdd100k/labels/pan_seg/polygons/pan_seg_val.json "
        "--save_dir data/bdd100k_coco --name val",
        _open_scalabel,
        _coco_panoptic,
    )
    parser.add_argument("--json", required=True, help="the file, or a folder of such files")
    parser.add_argument(
        "--size",
        type=positive,
        nargs=2,
        metavar=("WIDTH", "HEIGHT"),
        default=(1280, 720),
        help="size of the images, which polygons need; default: 1280 720",
    )
    _add_ignore_unknown(parser)


def _open_scalabel(args: argparse.Namespace) -> tuple[Source, str]:
    from panoptic_deeplab.convert.sources import open_scalabel

    width, height = args.size
    if max(width, height) > LARGEST_SIDE:
        raise UsageError(f"--size: expected sides of 1..{LARGEST_SIDE}, got {width} {height}")
    json = Path(args.json)
    return open_scalabel(json, (height, width), args.ignore_unknown), json.resolve().stem


def _add_from_kitti(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "from-kitti",
        "KITTI panoptic to COCO panoptic.\n\nAt the size of its PNGs.",
        "--dataset_root data/kitti --split validation --save_dir data/kitti_coco",
        _open_kitti,
        _coco_panoptic,
    )
    parser.add_argument("--dataset_root", required=True, help="the folder that holds the splits")
    parser.add_argument("--split", required=True, help="training, validation ...")


def _open_kitti(args: argparse.Namespace) -> tuple[Source, str]:
    from panoptic_deeplab.convert.sources import open_kitti

    return open_kitti(Path(args.dataset_root), args.split), args.split


def _add_from_coco_instances(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "from-coco-instances",
        "COCO instances to COCO panoptic.\n\n"
        "CVAT, Label Studio, Roboflow and others export them: polygons, RLE or boxes alone. "
        "Categories are things, but for those that --stuff names or the JSON gives isthing 0. "
        "Semantic PNGs, one value a pixel, tell what lies beneath the objects; 255 is void "
        "unless it has a name.",
        "--json instances_train.json --stuff road,sky --save_dir data/mine --name train",
        _open_coco_instances,
        _coco_panoptic,
    )
    parser.add_argument("--json", required=True, help="the instances")
    _add_stuff(parser)
    parser.add_argument(
        "--images",
        help="the folder of the images, where the JSON's names lead elsewhere: "
        "images are found there by their last part",
    )
    parser.add_argument("--semantic", help="folder of PNGs, NAME.png for the image NAME.jpg")
    parser.add_argument(
        "--semantic_classes",
        metavar="NAMES",
        help="names of the values 0, 1, ... of those PNGs, as road,sky or a JSON that holds a list "
        "or {value: name}; names of things mark pixels that are void without an object",
    )
    parser.former_names["--stuff_classes"] = "--semantic_classes"
    _add_overlap(parser, "small_on_top")
    _add_ignore_unknown(parser)


def _add_stuff(parser: Parser) -> None:
    parser.add_argument(
        "--stuff", default="", metavar="NAMES", help="classes that are surfaces: road,sky"
    )


def _open_coco_instances(args: argparse.Namespace) -> tuple[Source, str]:
    from panoptic_deeplab.convert.classes import names_of_values
    from panoptic_deeplab.convert.objects import SemanticFolder, open_coco_instances

    if bool(args.semantic) != bool(args.semantic_classes):
        raise UsageError("--semantic and --semantic_classes belong together; give both or none")
    semantic = None
    if args.semantic:
        names = names_of_values(args.semantic_classes)
        semantic = SemanticFolder(Path(args.semantic), names, args.ignore_unknown)
    json, images = Path(args.json), Path(args.images) if args.images else None
    source = open_coco_instances(json, args.overlap, semantic, args.stuff, images)
    return source, json.stem


def _add_from_labelme(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "from-labelme",
        "labelme, or X-AnyLabeling, to COCO panoptic.\n\n"
        "Polygons, rectangles (turned ones too), circles and masks; those of one label and "
        "group_id are one object. Points and lines are left out, and counted. "
        "A crowd is what has the flag `crowd`, or a label such as cargroup where car is a class. "
        "__ignore__ and _background_ are void, as is what nothing covers.",
        "--folder labels --things car,person --stuff road,sky --save_dir data/mine --name train",
        _open_labelme,
        _coco_panoptic,
    )
    parser.add_argument(
        "--folder", required=True, help="the folder of the JSONs; folders below count"
    )
    parser.add_argument("--images", help="the folder of the images; default: beside the JSONs")
    parser.add_argument("--things", default="", help="labels whose objects are counted: car,person")
    _add_stuff(parser)
    parser.add_argument(
        "--classes", help="instead of these two: a YAML or JSON that lists {name, isthing}"
    )
    _add_overlap(parser, "last")
    _add_ignore_unknown(parser)


def _open_labelme(args: argparse.Namespace) -> tuple[Source, str]:
    from panoptic_deeplab.convert.classes import classes_of_names, read_classes
    from panoptic_deeplab.convert.objects import open_labelme

    if bool(args.classes) == bool(args.things or args.stuff):
        raise UsageError("the classes are needed: --things and --stuff, or --classes FILE")
    info = (
        read_classes(Path(args.classes))
        if args.classes
        else classes_of_names(args.things, args.stuff)
    )
    folder = Path(args.folder)
    images = Path(args.images or folder)
    source = open_labelme(folder, images, info, args.overlap, args.ignore_unknown)
    return source, folder.resolve().name


def _add_to_cityscapes(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "to-cityscapes",
        "COCO panoptic to Cityscapes.\n\n"
        "Writes *_labelIds.png and *_instanceIds.png as gtFine has them. Classes are matched by "
        "name. The crowds of a class become one, as do parts of stuff.",
        "--json data/cityscapes_coco/val.json --save_dir data/cityscapes_again",
        _open_coco_panoptic,
        _cityscapes,
    )
    _add_coco_panoptic(parser)


def _add_to_bdd100k(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "to-bdd100k",
        "COCO panoptic to BDD100K's bitmasks.\n\nClasses are matched by name.",
        "--json data/bdd100k_coco/val.json --save_dir data/bdd100k_again",
        _open_coco_panoptic,
        _bdd100k,
    )
    _add_coco_panoptic(parser)


def _add_coco_panoptic(parser: Parser) -> None:
    parser.add_argument("--json", required=True, help="the COCO panoptic JSON")
    parser.add_argument(
        "--png_folder", help="the folder of its PNGs; default: --json without .json"
    )
    parser.add_argument(
        "--classes",
        help="a JSON or YAML with categories {id, name, isthing}, where --json has none",
    )
    _add_ignore_unknown(parser)


def _open_coco_panoptic(args: argparse.Namespace) -> tuple[Source, str]:
    from panoptic_deeplab.convert.classes import read_classes
    from panoptic_deeplab.convert.sources import open_coco_panoptic

    json = Path(args.json)
    folder = Path(args.png_folder) if args.png_folder else None
    info = read_classes(Path(args.classes)) if args.classes else None
    return open_coco_panoptic(json, folder, info), json.stem


def _add_prepare_cityscapes(commands: Commands) -> None:
    name, description = "prepare-cityscapes", PREPARATION
    parser = commands.add_parser(
        name, help="Cityscapes as it is downloaded to training annotations."
    )
    parser.describe(description, f"panoptic-deeplab convert {name} --dataset_root data/cityscapes")
    parser.add_argument(
        "--dataset_root",
        required=True,
        type=Path,
        help="the folder that holds leftImg8bit and gtFine",
    )
    parser.add_argument(
        "--splits",
        nargs="+",
        default=["train", "val"],
        metavar="NAME",
        help="splits; default: train val",
    )
    parser.add_argument(
        "--save_dir",
        type=Path,
        help="write to this folder instead, with a link to leftImg8bit: the dataset_root to train "
        "with where the data set itself cannot be written to",
    )
    parser.add_argument("--overwrite", action="store_true", help="also redo splits that are done")
    _add_workers_and_debug(parser)
    parser.set_defaults(command=_prepare_cityscapes)


def _prepare_cityscapes(args: argparse.Namespace) -> None:
    from panoptic_deeplab.convert.prepare_cityscapes import prepare_cityscapes

    files = prepare_cityscapes(
        args.dataset_root, args.splits, args.num_workers, args.overwrite, args.save_dir
    )
    for path, written in files.items():
        print(f"{path}: {'written' if written else 'already there (--overwrite makes it again)'}")


def _coco_panoptic(args: argparse.Namespace, source: Source, name: str) -> Target:
    from panoptic_deeplab.convert.targets import CocoPanopticTarget

    return CocoPanopticTarget(Path(args.save_dir), name, source.info)


def _cityscapes(args: argparse.Namespace, source: Source, name: str) -> Target:
    from panoptic_deeplab.convert.targets import CityscapesTarget

    return CityscapesTarget(Path(args.save_dir), name, source.info, args.ignore_unknown)


def _bdd100k(args: argparse.Namespace, source: Source, name: str) -> Target:
    from panoptic_deeplab.convert.targets import Bdd100kTarget

    return Bdd100kTarget(Path(args.save_dir), name, source.info, args.ignore_unknown)
