"""The installation: whether it can work, and what it is.

Some combinations install without complaint and then fail far from the cause. `check_environment`
knows them by the names and versions of what is installed, without importing any of it;
`explain_import_error` knows what only shows when an import fails. The report:

    python -m panoptic_deeplab.environment
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import re
import shutil
import sys
import tempfile
import warnings
from importlib import metadata

from panoptic_deeplab.errors import UsageError

OLDEST_PADDLE = (3, 3)
OLDEST_OPENCV_FOR_NUMPY_2 = (4, 10)
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
HEADLESS_OPENCV = "opencv-python-headless==4.11.0.86"
PADDLE = ("paddlepaddle", "paddlepaddle-gpu")
GPU_WHEEL = "paddlepaddle-gpu==3.3.1 -i https://www.paddlepaddle.org.cn/packages/stable/cu126/"

_NO_PADDLE = (
    "PaddlePaddle is not installed: run `make setup DEVICE=cpu`, or "
    f"`pip install 'paddlepaddle>=3.3,<4'`, or for a GPU (CUDA 12.6) `pip install {GPU_WHEEL}`"
)


def check_environment() -> None:
    """Refuse an installation that is known not to work; costs a few milliseconds.

    Paddle may be missing: files that hold their post-processing run without (`require_paddle`).
    Call it before the first import of PaddleSeg: where the home folder cannot be written to, which
    PaddleSeg and VisualDL insist on, it also gives this process and its children a temporary one.

    Raises:
        UsageError: what is wrong and which command fixes it, in one line.
    """
    paddle = _installed(*PADDLE)
    if paddle:
        _check_paddle(paddle)
    _check_opencv(_installed(*OPENCV), _installed("numpy").get("numpy", "0"))
    if paddle:
        _check_openmp()
    _ensure_home()


def require_paddle() -> None:
    """Refuse an installation without Paddle.

    Raises:
        UsageError: which commands install it, in one line.
    """
    if not _installed(*PADDLE):
        raise UsageError(_NO_PADDLE)


def _check_paddle(builds: dict[str, str]) -> None:
    if len(builds) > 1:
        raise UsageError(
            "paddlepaddle and paddlepaddle-gpu are both installed and overwrite each other: run "
            "`pip uninstall -y paddlepaddle paddlepaddle-gpu`, then install the one you want again "
            f"(GPU, CUDA 12.6: `pip install {GPU_WHEEL}`)"
        )
    ((name, version),) = builds.items()
    if _release(version) < OLDEST_PADDLE:
        raise UsageError(
            f"{name} {version} is installed, 3.3 or newer is needed: install a newer one "
            f"(`pip install 'paddlepaddle>=3.3,<4'`; GPU, CUDA 12.6: `pip install {GPU_WHEEL}`)"
        )


def _check_opencv(builds: dict[str, str], numpy: str) -> None:
    if not builds:
        raise UsageError(f"OpenCV is not installed: run `pip install {HEADLESS_OPENCV}`")
    if len(builds) > 1:
        names = " ".join(builds)
        raise UsageError(
            f"{' and '.join(builds)} are both installed and overwrite each other: run "
            f"`pip uninstall -y {names}`, then `pip install {HEADLESS_OPENCV}`"
        )
    ((name, version),) = builds.items()
    if _release(numpy) >= (2,) and _release(version) < OLDEST_OPENCV_FOR_NUMPY_2:
        raise UsageError(
            f"{name} {version} was built for numpy 1, and numpy {numpy} is installed: run "
            "`pip install 'numpy>=1.26,<2' 'pandas<3'`"
        )


def _check_openmp() -> None:
    """Try what Paddle tries first: its own failure prints more lines, and they do not help."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libgomp.so.1")
        except OSError:
            raise UsageError(_explain_missing_library("libgomp")) from None


def _ensure_home() -> None:
    home = os.path.expanduser("~")
    if os.path.isdir(home) and os.access(home, os.W_OK):
        return
    substitute = tempfile.mkdtemp(prefix="panoptic_deeplab-home-")
    atexit.register(shutil.rmtree, substitute, ignore_errors=True)
    os.environ["HOME"] = substitute


def explain_import_error(error: ImportError) -> str | None:
    """Return one line on a failed import that says what to install; None for an unknown failure.

    >>> explain_import_error(ImportError("libGL.so.1: cannot open shared object file"))[:24]
    'OpenCV needs libGL, whic'
    """
    message = str(error)
    missing_library = re.search(r"(lib[\w.+-]+?)\.so[\d.]*: cannot open shared object", message)
    if missing_library:
        return _explain_missing_library(missing_library[1])
    if "numpy.core.multiarray failed to import" in message or "_ARRAY_API not found" in message:
        return (
            "a library was built for numpy 1 and numpy 2 is installed: run "
            "`pip install 'numpy>=1.26,<2' 'pandas<3'`"
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package == "paddle":
            return _NO_PADDLE
        if package != "panoptic_deeplab":
            return (
                f'the Python package "{package}" is not installed: run `make setup` and use '
                ".venv/bin/python, or run `pip install .`"
            )
    return None


def _explain_missing_library(library: str) -> str:
    if library == "libgomp":
        return (
            "PaddlePaddle needs libgomp, which this machine lacks: `make setup` brings one, or run "
            "`sudo apt install libgomp1`"
        )
    if library in ("libGL", "libgthread-2.0", "libglib-2.0"):
        return (
            f"OpenCV needs {library}, which this machine lacks: run "
            "`pip uninstall -y opencv-python` and "
            f"`pip install --no-deps {HEADLESS_OPENCV}`, or `sudo apt install libgl1 libglib2.0-0`"
        )
    return f"this machine lacks the system library {library}: install it"


def describe_environment() -> dict[str, str | int]:
    """Say what a log or a report of a defect should know; imports Paddle, starts no compiler."""
    versions = _installed(*PADDLE, "paddleseg", "numpy", *OPENCV)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": usable_cores(),
        **versions,
        "gpus": _gpus(),
    }


def usable_cores() -> int:
    """Count the cores this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def idle_cores() -> float:
    """Return how many of these cores nobody has used for a minute, on average; 0 if none says."""
    try:
        busy = os.getloadavg()[0]
    except (AttributeError, OSError):  # not on Windows, not in every container
        return 0.0
    return max(usable_cores() - busy, 0.0)


def _gpus() -> str:
    import paddle

    if not paddle.device.is_compiled_with_cuda():
        return "none (CPU build of PaddlePaddle)"
    count = paddle.device.cuda.device_count()
    if count == 0:
        return "none found"
    return ", ".join(paddle.device.cuda.get_device_name(i) for i in range(count))


def _installed(*distributions: str) -> dict[str, str]:
    """Return name -> version of those that are installed."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: "3.3.1.post0" -> (3, 3, 1)."""
    return tuple(
        int(number) for number in re.match(r"\d*(\.\d+)*", version)[0].split(".") if number
    )


def main() -> int:
    """Check the installation, import what every command needs, print what it is."""
    warnings.simplefilter("ignore")  # of dependencies, as they are first compiled
    try:
        check_environment()
        import cityscapesscripts  # noqa: F401
        import cv2  # noqa: F401
        import paddleseg  # noqa: F401
        import visualdl  # noqa: F401

        for name, value in describe_environment().items():
            print(f"  {name}: {value}")
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except ImportError as error:
        print(explain_import_error(error) or f"import failed: {error}", file=sys.stderr)
        return UsageError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
