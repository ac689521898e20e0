"""The command `panoptic-deeplab VERB ...`; each verb is a module of its own in this folder.

A verb's module has SUMMARY (one line), `add_arguments(parser)`, `run(arguments)`, and `main(argv)`
for a script of its own. None imports Paddle, NumPy or OpenCV before it runs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from panoptic_deeplab import __version__
from panoptic_deeplab.cli.command_line import run
from panoptic_deeplab.cli.parser import Parser

VERBS = (
    *("train", "val", "predict", "export", "serve", "ros"),
    *("convert", "check", "evaluate", "weights"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb that the command line names; return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    arguments = build_parser().parse_args(words or ["--help"])
    return run(arguments.run, arguments)


def build_parser() -> Parser:
    """The parser of the command with all its verbs."""
    parser = Parser(prog="panoptic-deeplab")
    parser.describe(
        "Panoptic segmentation on PaddlePaddle. `panoptic-deeplab VERB --help` tells each verb's "
        "arguments.",
        "panoptic-deeplab predict --model_path output/best_model --image_path street.jpg",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name in VERBS:
        verb = importlib.import_module(f"panoptic_deeplab.cli.{name}")
        verb_parser = verbs.add_parser(name, help=verb.SUMMARY)
        verb.add_arguments(verb_parser)
        verb_parser.set_defaults(run=verb.run)
    return parser
