"""Run a command line: errors become one line and an exit code, the log and signals are set up.

Nothing here imports Paddle before it is needed.
"""

from __future__ import annotations

import argparse
import errno
import io
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from panoptic_deeplab.cli.flags import grouping_settings
from panoptic_deeplab.cli.parser import Parser
from panoptic_deeplab.environment import check_environment, explain_import_error, require_paddle
from panoptic_deeplab.errors import UserError, reason_of
from panoptic_deeplab.process import (
    hide_harmless_warnings,
    making_many_objects,
    open_closed_streams,
)

if TYPE_CHECKING:
    from panoptic_deeplab.config import Config

ENDED_BY_SIGNAL = 128
"""A shell reports this plus the signal's number."""


def run(body: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """Call `body` and turn what goes wrong into one line and an exit code.

    0 is success, 2 a wrong command line or configuration, 128 + n signal n (130 Ctrl-C, 143
    SIGTERM), 1 everything else. `--debug` shows the traceback as well.
    """
    open_closed_streams()
    hide_harmless_warnings()
    _print_any_text()
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
    except RuntimeError as error:
        return _fail(_tell_runtime_error(error), 1, arguments)
    except ValueError as error:
        return _fail(_tell_value_error(error), 1, arguments)
    except MemoryError:
        return _fail("out of memory; try a smaller batch_size or image", 1, arguments)
    except Exception as error:
        return _fail(_tell_unexpected(error), 1, arguments)


def run_script(
    add_arguments: Callable[[argparse.ArgumentParser], None],
    body: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
) -> int:
    """Run a script that is one verb and return its exit code."""
    parser = Parser()
    add_arguments(parser)
    return run(body, parser.parse_args(argv))


def script_parser(description: str, example: str) -> Parser:
    """Return a parser with the help that `Parser.describe` makes of these."""
    parser = Parser()
    parser.describe(description, example)
    return parser


def load_config(arguments: argparse.Namespace, *overrides: str, path: str | None = None) -> Config:
    """Load the configuration with all changes of the command line; set up device and log.

    Args:
        arguments: the command line.
        overrides: changes beside those of --opts.
        path: the configuration, if not --config; such as the one beside the weights.
    """
    start_log()
    require_paddle()
    with making_many_objects():
        from panoptic_deeplab.config import Config
    from panoptic_deeplab.engine import distributed

    end_quietly_when_terminated()
    settings = grouping_settings(arguments)
    grouping = [f"postprocessor.{name}={value}" for name, value in settings.items()]
    config = Config(path or arguments.config, [*arguments.opts, *overrides, *grouping])
    distributed.start(arguments.device)
    return config


def end_quietly_when_terminated() -> None:
    """Let SIGTERM end as Ctrl-C does; Paddle, once imported, would print a page about it."""
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


def _print_any_text() -> None:
    """Let what the terminal's encoding lacks, such as parts of a file's name, print as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(message: str, exit_code: int, arguments: argparse.Namespace) -> int:
    if getattr(arguments, "debug", False):
        traceback.print_exc()
    with suppress(OSError):  # a closed pipe, say
        print(f"error: {message}", file=sys.stderr)
    return exit_code


def _tell_unexpected(error: Exception) -> str:
    kind, line = type(error).__name__, reason_of(error, 500)
    return f"unexpected {kind}: {line} (run again with --debug)"


def _tell_runtime_error(error: RuntimeError) -> str:
    from panoptic_deeplab.engine import distributed

    return distributed.explain_lost_process(error) or _tell_unexpected(error)


def _tell_value_error(error: ValueError) -> str:
    if "embedded null byte" in str(error):  # Python's words, without the path
        return "a path holds a zero byte, which no file name can; look for it in what names files"
    return _tell_unexpected(error)


def _tell_os_error(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"{error.filename or 'the disk'}: no space left; free some or choose another folder"
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
