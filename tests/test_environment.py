"""Broken installations are told apart by what is installed; nothing here imports Paddle."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from panoptic_deeplab import environment
from panoptic_deeplab.errors import UsageError

GOOD = {"paddlepaddle": "3.3.1", "opencv-python-headless": "4.11.0.86", "numpy": "1.26.4"}


@pytest.fixture
def install(monkeypatch):
    """Pretend that exactly these distributions are installed."""

    def pretend(distributions: dict[str, str]) -> None:
        def version(name: str) -> str:
            if name not in distributions:
                raise metadata.PackageNotFoundError(name)
            return distributions[name]

        monkeypatch.setattr(environment.metadata, "version", version)

    return pretend


def _change(**versions: str | None) -> dict[str, str]:
    """Return GOOD with some distributions changed, added or (None) taken away."""
    changed = GOOD | {name.replace("_", "-"): version for name, version in versions.items()}
    return {name: version for name, version in changed.items() if version is not None}


@pytest.mark.parametrize(
    "installed",
    [
        pytest.param(GOOD, id="the lock"),
        pytest.param(_change(paddlepaddle=None, paddlepaddle_gpu="3.3.1"), id="gpu build"),
        pytest.param(
            _change(opencv_python_headless=None, opencv_python="4.5.5.64"), id="plain pip install"
        ),
        pytest.param(_change(numpy="2.2.1"), id="numpy 2 with an OpenCV built for it"),
        pytest.param(_change(paddlepaddle="3.10.0.post1"), id="3.10 is newer than 3.3"),
        pytest.param(_change(paddlepaddle="4.0.0rc1"), id="a release candidate"),
        pytest.param(_change(paddlepaddle=None), id="no paddle, which exported files do without"),
    ],
)
def test_working_installations_pass(install, installed):
    install(installed)
    environment.check_environment()


@pytest.mark.parametrize(
    ("installed", "told"),
    [
        pytest.param(
            _change(paddlepaddle_gpu="3.3.1"),
            ["paddlepaddle and paddlepaddle-gpu", "pip uninstall -y paddlepaddle paddlepaddle-gpu"],
            id="both paddles",
        ),
        pytest.param(
            _change(paddlepaddle="2.6.2"), ["paddlepaddle 2.6.2", "3.3 or newer"], id="old paddle"
        ),
        pytest.param(
            _change(paddlepaddle=None, paddlepaddle_gpu="2.6.2"),
            ["paddlepaddle-gpu 2.6.2", "3.3 or newer"],
            id="old gpu paddle, PyPI's newest",
        ),
        pytest.param(
            _change(opencv_python="4.5.5.64"),
            [
                "opencv-python and opencv-python-headless",
                "pip uninstall -y opencv-python opencv-python-headless",
                "pip install opencv-python-headless==4.11.0.86",
            ],
            id="both opencvs",
        ),
        pytest.param(
            _change(opencv_python_headless=None), ["OpenCV is not installed"], id="no opencv"
        ),
        pytest.param(
            _change(opencv_python_headless=None, opencv_python="4.5.5.64", numpy="2.0.0"),
            ["opencv-python 4.5.5.64", "numpy 2.0.0", "'numpy>=1.26,<2'"],
            id="numpy 2 with an OpenCV built for numpy 1",
        ),
    ],
)
def test_broken_installations_are_told_in_one_line(install, installed, told):
    install(installed)
    with pytest.raises(UsageError) as error:
        environment.check_environment()
    message = str(error.value)
    assert "\n" not in message
    for words in told:
        assert words in message


def test_a_missing_paddle_is_told_where_it_is_needed(install):
    install(_change(paddlepaddle=None))
    with pytest.raises(UsageError) as error:
        environment.require_paddle()
    message = str(error.value)
    assert message == environment.explain_import_error(ModuleNotFoundError(name="paddle.nn"))
    for words in ("not installed", "make setup DEVICE=cpu", "paddlepaddle-gpu==3.3.1 -i https://"):
        assert words in message
    install(GOOD)
    environment.require_paddle()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Paddle brings its own")
def test_a_missing_libgomp_is_told_before_paddle_is_imported(install, monkeypatch):
    def no_library(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    install(GOOD)
    monkeypatch.setattr(environment.ctypes, "CDLL", no_library)
    with pytest.raises(UsageError, match=r"which this machine lacks.*apt install libgomp1"):
        environment.check_environment()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ImportError("libgomp.so.1: cannot open shared object file: No such file or directory"),
            "sudo apt install libgomp1",
        ),
        (
            ImportError("libGL.so.1: cannot open shared object file: No such file or directory"),
            "opencv-python-headless==4.11.0.86",
        ),
        (
            ImportError("libgthread-2.0.so.0: cannot open shared object file: No such file"),
            "libglib2.0-0",
        ),
        (ImportError("libfoo-1.so.2: cannot open shared object file"), "libfoo-1"),
        (ImportError("numpy.core.multiarray failed to import"), "'numpy>=1.26,<2'"),
        (ModuleNotFoundError("No module named 'rich'", name="rich.table"), '"rich"'),
    ],
)
def test_failed_imports_are_explained_in_one_line(error, told):
    explanation = environment.explain_import_error(error)
    assert explanation is not None
    assert told in explanation
    assert "\n" not in explanation


@pytest.mark.parametrize(
    "error",
    [
        ImportError("cannot import name 'x' from 'y'"),
        ModuleNotFoundError("No module named 'panoptic_deeplab.x'", name="panoptic_deeplab.x"),
    ],
)
def test_defects_of_ours_are_not_explained_away(error):
    assert environment.explain_import_error(error) is None


def test_an_unwritable_home_is_replaced(install, monkeypatch, tmp_path):
    install(GOOD)
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    environment.check_environment()
    assert os.access(os.environ["HOME"], os.W_OK)


def test_a_good_home_is_kept(install, monkeypatch, tmp_path):
    install(GOOD)
    monkeypatch.setenv("HOME", str(tmp_path))
    environment.check_environment()
    assert os.environ["HOME"] == str(tmp_path)


def test_this_environment_passes_quickly():
    environment.check_environment()
    start = time.perf_counter()
    environment.check_environment()
    assert time.perf_counter() - start < 0.2  # about 2 ms; the rest is for a busy machine


def test_the_check_imports_neither_paddle_nor_opencv():
    code = (
        "import sys; from panoptic_deeplab.environment import check_environment; "
        "check_environment(); "
        "print([name for name in ('paddle', 'cv2', 'numpy') if name in sys.modules])"
    )
    root = Path(__file__).parents[1]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_the_report_comes_without_a_warning() -> None:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "panoptic_deeplab.environment"]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "  python: " in done.stdout


@pytest.mark.parametrize(("load", "idle"), [(0.25, 3.75), (4.0, 0.0), (9.0, 0.0), (None, 0.0)])
def test_cores_that_others_use_are_not_idle(monkeypatch, load: float | None, idle: float) -> None:
    def loads() -> tuple[float, float, float]:
        if load is None:
            raise OSError
        return load, 0.0, 0.0

    monkeypatch.setattr(environment, "usable_cores", lambda: 4)
    monkeypatch.setattr(environment.os, "getloadavg", loads)
    assert environment.idle_cores() == idle
