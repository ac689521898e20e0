"""One writer at a time, and a lock that dies with its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.folder_lock import LOCK_FILE, claimed

HOLD = """
import sys, time
from panoptic_deeplab.folder_lock import claimed
with claimed(sys.argv[1], "training"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen:
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_writer_is_told_of_the_first(tmp_path: Path, other: subprocess.Popen) -> None:
    told = rf"another training writes here \(process {other.pid} on .* since .*\); wait"
    with pytest.raises(UsageError, match=told), claimed(tmp_path, "training"):
        pass
    with claimed(tmp_path, "prediction", ".other"):  # another purpose, another file
        pass
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]


def test_the_lock_dies_with_its_owner(tmp_path: Path, other: subprocess.Popen) -> None:
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with claimed(tmp_path, "training"):
        assert (tmp_path / LOCK_FILE).read_text().startswith(f"process {os.getpid()} ")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_locks_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)
    with claimed(tmp_path, "training"):
        assert "cannot be locked" in caplog.text


def test_many_writers_take_turns(tmp_path: Path) -> None:
    """Removing the file of an ended writer never lets two in at once."""
    script = """
import sys, time
from pathlib import Path
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.folder_lock import claimed
folder, turns = Path(sys.argv[1]), 0
until = time.monotonic() + 30
while turns < 50 and time.monotonic() < until:
    try:
        with claimed(folder, "test"):
            with open(folder / "inside", "x"):
                pass
            (folder / "inside").unlink()
            turns += 1
    except UsageError:
        pass
assert turns == 50
"""
    start = time.monotonic()
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    assert time.monotonic() - start < 60
