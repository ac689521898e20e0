"""The lock is exact, complete and agrees with pyproject.toml; `make setup` refuses in one line."""

from __future__ import annotations

import ast
import os
import platform
import re
import subprocess
import sys
from importlib import metadata, util
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import panoptic_deeplab

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Left out of the lock on purpose. opencv-python: the headless build gives the same `cv2`, without
# libGL and the old image libraries. typing: a backport that Python has had built in since 3.5.
LEFT_OUT = {"opencv-python", "typing"}
# Rooms of the package that need extras.
EXTRAS = {
    "export": ["deploy"],
    "runtimes": ["deploy"],
    "inference": ["deploy", "ray"],
    "cli": ["deploy"],
    "many_machines": ["ray"],
    "serving": ["serve"],
    "result.py": ["supervision"],
    "ros": ["ros"],
    "video": ["video"],
}
# Part of an installation of ROS 2, on no index.
FROM_ROS = {"rclpy", "sensor_msgs"}


def _lock() -> list[Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def _pins(python: str) -> dict[str, str]:
    """Return what the lock installs on one Python: canonical name -> version."""
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    return {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin in _lock()
        if pin.marker is None or pin.marker.evaluate(environment)
    }


def _running() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def test_pins_are_exact():
    for pin in _lock():
        (specifier,) = pin.specifier
        assert specifier.operator == "==", pin
        assert not specifier.version.endswith(".*"), pin


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_each_distribution_is_locked_once_for_each_python(python):
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    names = [
        canonicalize_name(pin.name)
        for pin in _lock()
        if pin.marker is None or pin.marker.evaluate(environment)
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_the_lock_satisfies_pyproject(python):
    pins = _pins(python)
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *chain.from_iterable(extras.values())]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name not in LEFT_OUT:
            assert requirement.specifier.contains(pins[name]), text
    assert not LEFT_OUT & pins.keys()


def test_the_lock_is_complete():
    """Every requirement of every locked distribution, on this Python, is in the lock too."""
    pins = _pins(_running())
    missing = []
    for name in pins:
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            if name == "paddlepaddle":  # the GPU build stands in for it
                continue
            raise
        for requirement in map(Requirement, requirements):
            wanted = canonicalize_name(requirement.name)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and wanted not in LEFT_OUT:
                if wanted not in pins:
                    missing.append(f"{name} needs {requirement}")
                elif not requirement.specifier.contains(pins[wanted], prereleases=True):
                    missing.append(f"{name} needs {requirement}, locked is {pins[wanted]}")
    assert not missing


def test_the_package_imports_only_what_it_declares():
    distributions = metadata.packages_distributions()
    always = _declared(PROJECT["dependencies"])
    undeclared = set()
    for path in (ROOT / "panoptic_deeplab").rglob("*.py"):
        room = path.relative_to(ROOT / "panoptic_deeplab").parts[0]
        extras = (PROJECT["optional-dependencies"][name] for name in EXTRAS.get(room, []))
        declared = always | _declared(list(chain.from_iterable(extras)))
        for package in _imported_packages(path):
            if package in sys.stdlib_module_names | FROM_ROS | {"panoptic_deeplab"}:
                continue
            # Any build of a distribution does: opencv-python-headless, paddlepaddle-gpu.
            owners = {
                re.sub(r"-(headless|gpu)$", "", canonicalize_name(name))
                for name in distributions.get(package, [package])
            }
            if not owners & declared:
                undeclared.add(f"{path.relative_to(ROOT)} imports {package}")
    assert not undeclared


def test_a_room_with_an_extra_is_entered_by_functions_alone():
    """Without the extra everything else imports: no other file imports the room at its top.

    The files of such rooms may import each other.
    """
    scripts = [*ROOT.glob("*.py"), *(ROOT / "tools").rglob("*.py")]
    folders = [ROOT / "panoptic_deeplab" / room for room in EXTRAS]
    entered = set()
    for path in [*(ROOT / "panoptic_deeplab").rglob("*.py"), *scripts]:
        if any(folder in path.parents for folder in folders):
            continue
        if any(module.startswith("panoptic_deeplab.export") for module in _modules_at_top(path)):
            entered.add(str(path.relative_to(ROOT)))
    assert not entered


def _modules_at_top(path: Path) -> list[str]:
    """Return the modules that a file imports as it is loaded, outside `if TYPE_CHECKING`."""
    statements = ast.parse(path.read_text()).body
    return [node.module or "" for node in statements if isinstance(node, ast.ImportFrom)] + [
        alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names
    ]


def _declared(texts: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in texts}


def _imported_packages(path: Path) -> set[str]:
    """Return the top-level names of what a file imports, wherever in the file."""
    packages = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            packages.add(node.module.partition(".")[0])
    return packages


def test_opencv_is_headless_and_free_of_the_webp_hole():
    for python in ("3.10", "3.11", "3.12"):
        pins = _pins(python)
        assert tuple(map(int, pins["opencv-python-headless"].split("."))) >= (4, 8, 1, 78)


def test_the_version_is_told_once():
    assert PROJECT["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", panoptic_deeplab.__version__)


def test_the_package_is_typed_and_licensed():
    assert (ROOT / "panoptic_deeplab" / "py.typed").is_file()
    license_text = (ROOT / "LICENSE").read_text()
    assert license_text.lstrip().startswith("Apache License")
    assert "END OF TERMS AND CONDITIONS" in license_text
    assert PROJECT["license"] == "Apache-2.0"


def test_every_room_is_a_package():
    """A folder without __init__.py would be missing from what pip installs."""
    folders = {path.parent for path in (ROOT / "panoptic_deeplab").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


@pytest.fixture
def setup_environment(monkeypatch):
    """The script behind `make setup`, as a module."""
    spec = util.spec_from_file_location("setup_environment", ROOT / "tools/setup_environment.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("version", ["3.9.18", "3.13.0"])
def test_another_python_is_refused_in_one_line(setup_environment, monkeypatch, version):
    monkeypatch.setattr(setup_environment.platform, "python_version", lambda: version)
    with pytest.raises(setup_environment.SetupError) as error:
        setup_environment.check_machine()
    assert f"is Python {version}, but 3.10, 3.11 or 3.12 is needed" in str(error.value)
    assert "make setup PYTHON=python3.1" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(sys.platform != "linux", reason="speaks of Linux")
def test_linux_on_arm_is_refused_in_one_line(setup_environment, monkeypatch):
    monkeypatch.setattr(setup_environment.platform, "machine", lambda: "aarch64")
    with pytest.raises(setup_environment.SetupError, match="no wheel for Linux on aarch64"):
        setup_environment.check_machine()


def test_a_missing_venv_module_is_told_in_one_line(setup_environment, monkeypatch, tmp_path):
    """A Python that behaves as Debian's does without python3-venv."""
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho 'ensurepip is not available'\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(setup_environment.sys, "executable", str(python))
    with pytest.raises(setup_environment.SetupError, match="sudo apt install python3-venv"):
        setup_environment.create_venv()


def test_an_unfinished_environment_is_built_anew(setup_environment, monkeypatch, tmp_path):
    """The note is what counts: without it, or with another lock, nothing is taken as done."""
    built = []
    monkeypatch.setattr(setup_environment, "VENV", tmp_path)
    monkeypatch.setattr(setup_environment, "NOTE", tmp_path / "built-from.json")
    monkeypatch.setattr(setup_environment, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(setup_environment, "build", lambda device: built.append(device))
    command = tmp_path / "bin" / "panoptic-deeplab"

    def install_package() -> None:
        built.append("package")
        command.parent.mkdir(exist_ok=True)
        command.touch()

    monkeypatch.setattr(setup_environment, "install_package", install_package)
    monkeypatch.setattr(setup_environment, "verify", lambda device: None)

    setup_environment.update(None, this_python=False)
    assert built == ["cpu", "package"]
    setup_environment.update(None, this_python=False)
    assert built == ["cpu", "package"]  # up to date
    command.unlink()
    setup_environment.update(None, this_python=False)
    assert built == ["cpu", "package", "package"]
    built.pop()

    (tmp_path / "built-from.json").write_text('{"device": "gpu", "ro')  # cut short
    setup_environment.update("gpu", this_python=False)
    assert built[2:] == ["gpu", "package"]
    setup_environment.update(None, this_python=False)
    assert built[4:] == []  # stays a GPU environment without being told again

    monkeypatch.setattr(setup_environment, "digest", lambda *paths: "changed")
    setup_environment.update(None, this_python=False)
    assert built[4:] == ["gpu", "package"]


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="speaks of Linux x86-64"
)
def test_scikit_learns_libgomp_stands_in_for_a_missing_one(
    setup_environment, monkeypatch, tmp_path
):
    """Loaded by its path, the copy is found by the plain name that Paddle's libraries ask for."""
    site_packages = tmp_path / "lib" / "python3.11" / "site-packages"
    site_packages.mkdir(parents=True)
    installed = Path(util.find_spec("sklearn").origin).parents[1]
    (site_packages / "scikit_learn.libs").symlink_to(installed / "scikit_learn.libs")

    def no_library(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(setup_environment, "VENV", tmp_path)
    monkeypatch.setattr(setup_environment.ctypes, "CDLL", no_library)
    setup_environment.provide_openmp()
    code = (site_packages / "bundled_openmp.pth").read_text() + (
        "import os; ctypes.CDLL('libgomp.so.1', os.RTLD_NOLOAD | os.RTLD_NOW).GOMP_parallel\n"
        "print([l.split()[-1] for l in open('/proc/self/maps') if 'libgomp' in l][0])"
    )
    code = f"import sys; sys.prefix = {str(tmp_path)!r}\n" + code
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True
    )
    assert result.stdout.strip() == str(tmp_path / "lib" / "libgomp.so.1"), result.stderr


def test_make_without_python_says_so():
    result = subprocess.run(
        ["make", "--no-print-directory", "setup", "PYTHON=/no/such/python3"],
        cwd=ROOT,
        env=os.environ | {"MAKEFLAGS": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "/no/such/python3 was not found: install Python 3.10, 3.11 or 3.12" in result.stderr


def test_make_alone_lists_the_targets():
    result = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        env=os.environ | {"MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    targets = [line.split()[1] for line in result.stdout.splitlines()]
    assert targets == ["help", "setup", "demo", "demo-train", "compare", "test", "lint", "clean"]
