"""What the scripts' command lines share. Nothing here imports Paddle before it is needed."""

from __future__ import annotations

import argparse
import errno
import logging
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.cli.parser import Parser, fraction, odd, positive
from panoptic_deeplab.environment import check_environment, explain_import_error
from panoptic_deeplab.errors import UsageError, UserError

if TYPE_CHECKING:
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.engine.views import Augmentation

ENDED_BY_SIGNAL = 128
"""A shell reports this plus the signal's number."""

GROUPING_FLAGS: dict[str, tuple[Callable[[str], Any], str]] = {
    "threshold": (fraction, "heatmap value that a center must exceed, 0..1"),
    "nms_kernel": (odd, "window of a center in pixels, odd"),
    "top_k": (positive, "maximum number of centers in an image"),
}
"""Settings of the postprocessor that are flags of their own, as the reference's: type and help."""


def run(body: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """Calls `body` and turns what goes wrong into one line and an exit code.

    0 is success, 2 a wrong command line or configuration, 128 + n signal n (130 Ctrl-C, 143
    SIGTERM), 1 everything else. `--debug` shows the traceback as well.
    """
    _quieten()
    try:
        check_environment()
        body(arguments)
        return 0
    except UserError as error:
        return _fail(str(error), error.exit_code, arguments)
    except KeyboardInterrupt as error:
        number = next(iter(error.args), signal.SIGINT)
        return _fail("interrupted", ENDED_BY_SIGNAL + number, arguments)
    except ImportError as error:
        return _fail(explain_import_error(error) or str(error), 1, arguments)
    except OSError as error:
        return _fail(_tell_os_error(error), 1, arguments)
    except MemoryError:
        return _fail("out of memory; try a smaller batch_size or picture", 1, arguments)
    except Exception as error:
        line = " ".join(str(error).split())[:500]
        kind = type(error).__name__
        return _fail(f"unexpected {kind}: {line} (run again with --debug)", 1, arguments)


def run_script(
    add_arguments: Callable[[argparse.ArgumentParser], None],
    body: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
) -> int:
    """The command line of a script that is one verb; returns the exit code."""
    parser = Parser()
    add_arguments(parser)
    return run(body, parser.parse_args(argv))


def script_parser(description: str, example: str) -> Parser:
    """A parser with the help that `Parser.describe` makes of these."""
    parser = Parser()
    parser.describe(description, example)
    return parser


def add_common_arguments(parser: argparse.ArgumentParser, needs_config: bool = True) -> None:
    """--config, --opts, --debug and --device; the arguments are those of `add_config_arguments`."""
    add_config_arguments(parser, needs_config)
    parser.add_argument(
        "--device",
        choices=["auto", "cpu", "gpu"],
        default="auto",
        help="where to compute; auto takes a GPU if Paddle sees one (default: %(default)s)",
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
        help="changes to the configuration, such as batch_size=2 train_dataset.dataset_root=DIR",
    )
    add_debug_argument(parser)


def add_debug_argument(parser: argparse.ArgumentParser) -> None:
    """--debug, which every verb takes."""
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")


def add_grouping_arguments(parser: argparse.ArgumentParser) -> None:
    """The reference's flags for post-processing; each overrides a key of the configuration."""
    group = parser.add_argument_group("post-processing (default: what the configuration says)")
    for name, (kind, text) in GROUPING_FLAGS.items():
        group.add_argument(f"--{name}", type=kind, help=text)


def grouping_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those of `GROUPING_FLAGS` that the command line gives, by name."""
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
    group.add_argument(
        "--aug_eval", action="store_true", help="merge several views of each picture"
    )
    group.add_argument(
        "--scales", type=float, nargs="+", metavar="S", help="sizes of the views (default: 1.0)"
    )
    group.add_argument(
        "--flip_horizontal", action="store_true", help="show each size mirrored as well"
    )


def chosen_views(arguments: argparse.Namespace) -> Augmentation | None:
    """The views that the command line asks for, None for the picture as it is.

    Raises:
        UsageError: views are described but not asked for, or their scales cannot be used.
    """
    if not arguments.aug_eval:
        if arguments.scales is not None or arguments.flip_horizontal:
            raise UsageError("--scales and --flip_horizontal do nothing without --aug_eval; add it")
        return None
    from panoptic_deeplab.engine.views import Augmentation

    return Augmentation(tuple(arguments.scales or [1.0]), arguments.flip_horizontal)


def load_config(arguments: argparse.Namespace, *overrides: str, path: str | None = None) -> Config:
    """The configuration with all changes of the command line; sets up the device and the log.

    Args:
        arguments: the command line.
        overrides: changes beside those of --opts.
        path: the configuration, if not --config; such as the one beside the weights.
    """
    start_log()
    from paddleseg.utils import logger as paddleseg_log

    from panoptic_deeplab.config import Config
    from panoptic_deeplab.engine import distributed

    paddleseg_log.log_level = 1  # what it loads is ours to tell
    end_quietly_when_terminated()
    settings = grouping_settings(arguments)
    grouping = [f"postprocessor.{name}={value}" for name, value in settings.items()]
    config = Config(path or arguments.config, [*arguments.opts, *overrides, *grouping])
    distributed.start(arguments.device)
    return config


def end_quietly_when_terminated() -> None:
    """SIGTERM ends as Ctrl-C does. Paddle, once imported, would print a page about it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def start_log() -> None:
    """Log to standard output in PaddleSeg's form; all ranks but the first log errors alone."""
    from panoptic_deeplab.engine import distributed

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        logging.Formatter("%(asctime)s [%(levelname)s]\t%(message)s", "%Y-%m-%d %H:%M:%S")
    )
    log = logging.getLogger("panoptic_deeplab")
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO if distributed.is_main() else logging.ERROR)


def _quieten() -> None:
    """Hides warnings of libraries that no user can act upon."""
    for message in (
        "No ccache found",
        "When training, we now always track",
        "invalid escape",
        "There are some unused values in state_dict",  # a warm-up's, which Paddle sets all the same
    ):
        warnings.filterwarnings("ignore", message)


def _fail(message: str, exit_code: int, arguments: argparse.Namespace) -> int:
    if getattr(arguments, "debug", False):
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    return exit_code


def _tell_os_error(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"{error.filename or 'the disk'}: no space left; free some or choose another folder"
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
