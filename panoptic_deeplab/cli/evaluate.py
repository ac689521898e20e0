"""Score files that any program wrote, as the official tool of their form does."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from panoptic_deeplab.cli.command_line import run_script
from panoptic_deeplab.cli.flags import add_debug_argument, add_json_argument
from panoptic_deeplab.cli.parser import Parser, not_negative
from panoptic_deeplab.errors import UsageError

FORMS = {
    "panoptic": "COCO panoptic JSONs, as panopticapi (the PNGs in the folder of the same name)",
    "pixel": "folders of Cityscapes label ids, as csEvalPixelLevelSemanticLabeling",
    "instance": "Cityscapes instance ids and instance files, as csEvalInstanceLevel...",
    "bdd100k": "RGBA bitmasks or Scalabel JSON, each by either, as bdd100k.eval.run -t pan_seg",
    "stq": "SEQUENCE/FRAME.png of class and id, as deeplab2's segmentation and tracking quality",
    "vpq": "the same PNGs, video panoptic quality over windows of 1 to 4 frames",
}

_SETTINGS = {"data_set": ("stq", "vpq"), "png": ("stq", "vpq"), "rule": ("vpq",)}
"""Which forms take a flag."""

SUMMARY = "score prediction files as the official tools do"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its arguments."""
    forms = "; ".join(f"{form}: {meaning}" for form, meaning in FORMS.items())
    parser.describe(
        f"Score predictions in files against annotations in files. {forms}.",
        "panoptic-deeplab evaluate panoptic gtFine/cityscapes_panoptic_val.json "
        "results/panoptic.json --num_workers 2 --json scores.json",
    )
    parser.add_argument("form", choices=FORMS, help="form of the files")
    parser.add_argument("gt", type=Path, help="the annotations")
    parser.add_argument("pred", type=Path, help="the predictions")
    parser.add_argument(
        "--gt_folder", type=Path, help="the PNGs of gt, for panoptic (default: gt without .json)"
    )
    parser.add_argument(
        "--pred_folder",
        type=Path,
        help="the PNGs of pred, for panoptic (default: pred without .json)",
    )
    parser.add_argument(
        "--data_set",
        choices=["kitti_step", "motchallenge_step"],
        help="whose classes the files have, for stq and vpq (default: kitti_step)",
    )
    parser.add_argument(
        "--png",
        choices=["three_channel_png", "two_channel_png"],
        help="form of the predictions, for stq and vpq: R = class and 256 G + B = id, as the "
        "annotations, or G = id (default: three_channel_png)",
    )
    parser.add_argument(
        "--rule",
        choices=["coco", "deeplab2"],
        help="how vpq counts crowds: coco leaves them out, deeplab2 takes them as segments "
        "(default: coco)",
    )
    parser.add_argument(
        "--num_workers",
        type=not_negative,
        default=2,
        help="threads that read (default: %(default)s)",
    )
    add_json_argument(parser)
    add_debug_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the official numbers and write all of them to the JSON."""
    from panoptic_deeplab import evaluation
    from panoptic_deeplab.evaluation import format_sequences
    from panoptic_deeplab.files import write_json
    from panoptic_deeplab.text_table import align

    evaluate: dict[str, Callable[..., dict[str, Any]]] = {
        "panoptic": evaluation.evaluate_panoptic_files,
        "pixel": evaluation.evaluate_pixel_files,
        "instance": evaluation.evaluate_instance_files,
        "bdd100k": evaluation.evaluate_bdd100k_files,
        "stq": evaluation.evaluate_stq_files,
        "vpq": evaluation.evaluate_vpq_files,
    }
    settings = _settings(arguments)
    paths = [arguments.gt, arguments.pred]
    if arguments.form == "panoptic":
        folders = arguments.gt_folder, arguments.pred_folder
        paths = [
            path
            for file, folder in zip(paths, folders, strict=True)
            for path in (file, folder or file.with_suffix(""))
        ]
    elif arguments.gt_folder or arguments.pred_folder:
        raise UsageError("--gt_folder and --pred_folder are for panoptic alone; leave them out")
    results = evaluate[arguments.form](
        *paths, num_workers=arguments.num_workers, show_progress=True, **settings
    )
    print(format_sequences(results) or align([["score", "value"], *_rows(results)]))
    if arguments.json:
        write_json(arguments.json, results, indent=2)


def _settings(arguments: argparse.Namespace) -> dict[str, str]:
    """The flags of stq and vpq that the command line gives, by the names of the functions.

    Raises:
        UsageError: the form has no such setting.
    """
    given = {name: getattr(arguments, name) for name in ("data_set", "png", "rule")}
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in chosen:
        forms = _SETTINGS[name]
        if arguments.form not in forms:
            raise UsageError(f"--{name} is for {' and '.join(forms)} alone; leave it out")
    return chosen


def _rows(results: Mapping[str, Any], above: str = "") -> list[list[str]]:
    """Each number under the keys that lead to it, in the scale of the official tool."""
    rows = []
    for key, value in results.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            rows += _rows(value, f"{name} / ")
        else:
            rows.append([name, str(value) if isinstance(value, int) else f"{value:.4f}"])
    return rows
