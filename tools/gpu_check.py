"""Check on GPUs what no CPU can show; docs/gpu.md explains each check.

Small scenes are made, then trained on, predicted and exported by the commands
that a user would type; what each gives is compared. One JSON file gets the
results after each check. Checks that need more GPUs than there are, or a
package that is missing, are skipped by name.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gpu_checking.checks import Check, checks_in

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 15 * 60
"""For all checks together."""


def main(argv: list[str] | None = None) -> int:
    """Run the checks and return the exit code."""
    parser = script_parser(__doc__, "python tools/gpu_check.py --json gpu_check.json")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default="gpu_check.json",
        help="gets the results (default: %(default)s)",
    )
    parser.add_argument(
        "--save_dir",
        type=Path,
        default="output/gpu_check",
        help="a new folder for what the checks write (default: %(default)s)",
    )
    parser.add_argument("--list", action="store_true", help="print the commands and stop")
    add_debug_argument(parser)
    return run(check_all, parser.parse_args(argv))


def check_all(arguments: argparse.Namespace) -> None:
    """Run all checks, one after the other, and write what they gave.

    Raises:
        DataError: at the end, if some failed.
    """
    if arguments.list:
        print("\n".join(map(str, checks_in(arguments.save_dir))))
        return
    folder = arguments.save_dir.resolve()
    if folder.exists():
        raise DataError(f"{folder}: exists; remove it, or choose another --save_dir")
    from panoptic_deeplab.environment import describe_environment
    from panoptic_deeplab.files import write_json

    report: dict[str, Any] = {"environment": describe_environment(), "checks": []}
    checks, gpus, until = checks_in(folder), gpu_count(), time.monotonic() + SECONDS
    for check in checks:
        result = outcome(check, gpus, until, folder)
        report["checks"].append(result)
        write_json(arguments.json, report, indent=2)
        print(f"{result['status']:8} {check.name:21} {result.get('message', '')}", flush=True)
    failed = [result["name"] for result in report["checks"] if result["status"] == "failed"]
    if failed:
        raise DataError(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}")


def gpu_count() -> int:
    """Return how many GPUs Paddle sees."""
    import paddle

    compiled = paddle.device.is_compiled_with_cuda()
    return paddle.device.cuda.device_count() if compiled else 0


def outcome(check: Check, gpus: int, until: float, folder: Path) -> dict[str, Any]:
    """Run a check, until a time of the clock at most, and return its row of the report."""
    row = {"name": check.name, "command": str(check)}
    if reason := reason_to_skip(check, gpus):
        return row | {"status": "skipped", "message": reason}
    start = time.monotonic()
    try:
        output = output_of(check, max(until - start, 1), folder / f"{check.name}.txt")
        result = {"status": "passed", "figures": check.verify(output)}
    except DataError as error:
        result = {"status": "failed", "message": str(error)}
    return row | result | {"seconds": round(time.monotonic() - start, 1)}


def reason_to_skip(check: Check, gpus: int) -> str | None:
    """Return what is missing for a check, None where nothing is."""
    if check.gpus > gpus:
        return f"needs {check.gpus} GPU{'s' if check.gpus > 1 else ''}, there are {gpus}"
    if check.package and importlib.util.find_spec(check.package) is None:
        return f"needs the package {check.package}"
    return None


def output_of(check: Check, seconds: float, path: Path) -> str:
    """Run the command; return what it printed, which the file `path` gets too.

    Raises:
        DataError: it failed or took too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            code = subprocess.run(
                [sys.executable, *check.command],
                cwd=ROOT,
                env=os.environ | check.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise DataError(f"{path}: not done when the time for all was up") from error
    output = path.read_text(errors="replace")
    if code != 0:
        last = output.strip().rpartition("\n")[2]
        raise DataError(f"{path}: ended with exit code {code}; {last[:300]}")
    return output


if __name__ == "__main__":
    sys.exit(main())
