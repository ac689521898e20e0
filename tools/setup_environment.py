"""Build `.venv` from `requirements.lock`; called by `make setup`, needs Python only.

A note inside `.venv`, written last, says what it was built from. As long as it is true nothing
happens; without a note (killed, failed) the environment is built anew. Written so that an old
Python still reads it far enough to be told that it is too old.
"""

import argparse
import contextlib
import ctypes
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

SUPPORTED = ("3.10", "3.11", "3.12")
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NOTE = VENV / "built-from.json"
LOG = VENV / "setup.log"
LOCK = ROOT / "requirements.lock"
COMMAND = "panoptic-deeplab"
GPU_WHEEL = "paddlepaddle-gpu==3.3.1 -i https://www.paddlepaddle.org.cn/packages/stable/cu126/"


def main() -> int:
    """Bring `.venv` up to date and return the exit status."""
    arguments = parse_arguments()
    try:
        with only_one_at_a_time():
            update(arguments.device, arguments.this_python)
    except SetupError as error:
        print("setup: {}".format(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; the next `make setup` starts anew", file=sys.stderr)
        return 130
    return 0


class SetupError(Exception):
    """Why there is no environment and what to do about it, in one line."""


def parse_arguments() -> argparse.Namespace:
    """Read what the Makefile passes on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--device",
        choices=["cpu", "gpu"],
        help="gpu leaves PaddlePaddle to be installed from its vendor; default: as before, or cpu",
    )
    parser.add_argument(
        "--this-python",
        action="store_true",
        help="rebuild an environment that was made with another Python than this",
    )
    return parser.parse_args()


@contextlib.contextmanager
def only_one_at_a_time():
    """Let `make test` and `make demo`, started together, build one environment one after the other.

    The checkout's own folder is what is locked: no file is left behind. A running pip holds the
    lock too, should this script be killed before it.
    """
    import fcntl

    folder = os.open(str(ROOT), os.O_RDONLY)
    os.set_inheritable(folder, True)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another setup of this folder", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(folder)


def update(device, this_python: bool) -> None:
    """Do what is missing: nothing, the package alone, or all of it."""
    note = read_note()
    device = device or note.get("device", "cpu")
    wanted = {
        "root": str(ROOT),
        "lock": digest(LOCK),
        "device": device,
        "interpreter": os.path.realpath(sys.executable if this_python else str(PYTHON)),
    }
    if any(note.get(key) != value for key, value in wanted.items()):
        check_machine()
        note = dict(wanted, interpreter=os.path.realpath(sys.executable))
        build(device)
    project = digest(ROOT / "pyproject.toml", ROOT / "setup.py")
    if note.get("project") != project or not (VENV / "bin" / COMMAND).exists():
        install_package()
        verify(device)
        note["project"] = project
        write_note(note)


def read_note() -> dict:
    """Say what the present environment was built from; {} if it was never finished."""
    if not os.access(str(PYTHON), os.X_OK):
        return {}
    try:
        return dict(json.loads(NOTE.read_text()))
    except (OSError, ValueError):
        return {}


def write_note(note: dict) -> None:
    """Write the note in one step, so that it is there whole or not at all."""
    draft = NOTE.with_suffix(".tmp")
    draft.write_text(json.dumps(note, indent=1))
    os.replace(str(draft), str(NOTE))


def digest(*paths: Path) -> str:
    """Name the content of files."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def check_machine() -> None:
    """Refuse a Python or a machine for which no PaddlePaddle wheel exists."""
    version = platform.python_version()
    if ".".join(version.split(".")[:2]) not in SUPPORTED:
        found = [name for name in map("python{}".format, reversed(SUPPORTED)) if shutil.which(name)]
        raise SetupError(
            "{} is Python {}, but 3.10, 3.11 or 3.12 is needed: make setup PYTHON={}{}".format(
                sys.executable,
                version,
                found[0] if found else "python3.11",
                "" if found else " (after installing it)",
            )
        )
    if sys.platform != "linux":
        return
    if platform.machine() != "x86_64":
        raise SetupError(
            "PaddlePaddle has no wheel for Linux on {}: it needs x86-64".format(platform.machine())
        )
    try:
        os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):
        raise SetupError("PaddlePaddle has no wheel for a Linux without glibc") from None


def build(device: str) -> None:
    """Make `.venv` and install the lock into it."""
    say("building .venv with Python {} (1 to 3 minutes)".format(platform.python_version()))
    create_venv()
    lock = LOCK
    if device == "gpu":
        lock = VENV / "requirements-gpu.lock"
        lock.write_text(re.sub(r"(?m)^paddlepaddle==.*\n", "", LOCK.read_text()))
    count = sum("==" in line for line in lock.read_text().splitlines())
    pip("installing the locked packages", ["--no-deps", "-r", str(lock)], count)
    if sys.platform == "linux":
        provide_openmp()


def create_venv() -> None:
    """Run `python -m venv`; Debian and Ubuntu ship it apart."""
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode == 0:
        return
    output = result.stdout.decode(errors="replace")
    if "ensurepip" in output or "No module named venv" in output:
        raise SetupError(
            "this Python cannot make environments; install it with: sudo apt install python3-venv"
        )
    raise SetupError("`{}` failed: {}".format(" ".join(command), last_line(output)))


def install_package() -> None:
    """Install this checkout itself, in place, without asking the network for anything."""
    pip("installing panoptic-deeplab", ["--no-deps", "--no-build-isolation", "-e", str(ROOT)])


def provide_openmp() -> None:
    """Where the machine has no libgomp.so.1, let Paddle use the one that scikit-learn brings.

    The bundled copy has another name (libgomp-<hash>.so...). A copy with the plain name,
    loaded as Python starts (by a .pth file), satisfies every library that asks for it later.
    """
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgomp.so.1")
        return
    (site_packages,) = (VENV / "lib").glob("python3.*/site-packages")
    bundled = glob.glob(str(site_packages / "scikit_learn.libs" / "libgomp-*.so*"))
    if not bundled:
        return
    name, plain = os.path.basename(bundled[0]).encode(), b"libgomp.so.1"
    library = Path(bundled[0]).read_bytes().replace(name + b"\0", plain.ljust(len(name) + 1, b"\0"))
    (VENV / "lib" / "libgomp.so.1").write_bytes(library)
    (site_packages / "bundled_openmp.pth").write_text(
        "import ctypes, sys; ctypes.CDLL(sys.prefix + '/lib/libgomp.so.1')\n"
    )
    say("no libgomp on this machine: using the copy that scikit-learn brings")


def verify(device: str) -> None:
    """Import what was installed; say what it is, or what is wrong with it."""
    if device == "gpu" and not has_paddle():
        say("all but PaddlePaddle is installed; its vendor's GPU wheel comes next, for CUDA 12.6:")
        say("  .venv/bin/python -m pip install " + GPU_WHEEL)
        return
    say("checking that everything imports")
    command = [str(PYTHON), "-m", "panoptic_deeplab.environment"]
    if subprocess.run(command, cwd=str(ROOT)).returncode:
        raise SetupError("the environment does not work (see above)")


def has_paddle() -> bool:
    """Say whether some PaddlePaddle can be imported from the environment."""
    return bool(glob.glob(str(VENV / "lib" / "python3.*" / "site-packages" / "paddle")))


def pip(title: str, arguments: list, count: int = 0) -> None:
    """Run `pip install`, its words into the log, a sign of life onto the terminal."""
    environment = dict(
        os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PIP_USER="0"
    )
    command = [str(PYTHON), "-m", "pip", "install", "--progress-bar", "off"] + arguments
    with open(str(LOG), "a", encoding="utf-8") as log, Progress(title, count) as progress:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=str(ROOT),
            close_fds=False,
        )
        errors = []
        offline = False
        for raw in process.stdout:
            line = raw.decode(errors="replace")
            log.write(line)
            progress.read(line)
            offline = offline or "after connection broken by" in line
            if line.startswith("ERROR:"):
                errors.append(line[len("ERROR:") :].strip())
        status = process.wait()
    if status:
        reason = errors[-1] if errors else "no reason given"
        if offline:
            reason += "; the package index cannot be reached (network, PIP_INDEX_URL?)"
        raise SetupError("pip failed: {} (whole story: {})".format(reason, LOG))
    say("done in {:.0f} s".format(time.time() - progress.start))


class Progress:
    """One line that moves on a terminal; a new line now and then elsewhere.

    A thread of its own keeps it alive through long downloads, about which pip says nothing.
    """

    def __init__(self, title: str, count: int) -> None:
        self.title, self.count, self.done, self.current = title, count, 0, ""
        self.start = time.time()
        self.moving = sys.stdout.isatty()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Progress":
        say(self.title)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.thread.join()
        if self.moving:
            print("\r\033[K", end="", flush=True)

    def read(self, line: str) -> None:
        """Take one line of pip's output."""
        words = line.split()
        if line.startswith(("Collecting ", "Processing ", "Ignoring ")):
            self.done += 1
            self.current = os.path.basename(words[1].rstrip(":"))
        elif words[:1] == ["Downloading"] and line.rstrip().endswith("B)"):
            self.current += " " + line[line.rindex("(") :].strip()
        elif line.startswith("Installing collected packages"):
            self.current = "unpacking"

    def _tick(self) -> None:
        while not self.over.wait(1 if self.moving else 15):
            state = "{:4.0f} s".format(time.time() - self.start)
            if self.count:
                state += "  {} of {}  {}".format(
                    min(self.done, self.count), self.count, self.current
                )
            print("\r\033[K" + state if self.moving else state, end="", flush=True)
            if not self.moving:
                print(flush=True)


def say(message: str) -> None:
    """Print one line at once."""
    print("setup: " + message, flush=True)


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


if __name__ == "__main__":
    sys.exit(main())
