"""The command `panoptic-deeplab VERB ...`; each verb is a file of its own in this folder."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

VERBS = {
    "train": "train what a configuration describes",
    "val": "evaluate a model on the validation split",
    "predict": "predict images: overlays for people, ids for programs",
    "export": "write a model as one file for other runtimes",
    "convert": "convert annotations from one form to another",
    "check": "find what is wrong with a data set before training on it",
    "evaluate": "score prediction files as the official tools do",
    "weights": "convert published weights of other frameworks",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb that the command line names; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="panoptic-deeplab",
        description="Panoptic segmentation on PaddlePaddle.",
        epilog="`panoptic-deeplab VERB --help` tells the rest.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, summary in VERBS.items():
        verbs.add_parser(name, help=summary, add_help=False)
    arguments, rest = parser.parse_known_args(argv)
    verb = importlib.import_module(f"panoptic_deeplab.cli.{arguments.verb}")
    return verb.main(rest)


if __name__ == "__main__":
    sys.exit(main())
