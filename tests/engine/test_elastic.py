"""Nodes of a training are lost and come back: Paddle's launcher restarts it, and it resumes.

Each node is a launcher on this machine with one process, which gloo connects.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import util
from pathlib import Path

import pytest
import stress_resume

if util.find_spec("etcd3") is None:
    pytest.skip("needs the extra [elastic]", allow_module_level=True)

ROOT = Path(__file__).parents[2]
ITERS = 30
STATE_FILES = ["model.pdparams", "model.pdopt"]


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[str]:
    """The address of etcd, where the nodes meet; without it the test is skipped, but in CI."""
    if shutil.which("etcd") is None:
        missing = "needs etcd: sudo apt install etcd-server"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    words = ["etcd", "--data-dir", str(tmp_path / "etcd"), "--listen-peer-urls", peers]
    words += ["--listen-client-urls", clients, "--advertise-client-urls", clients]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: answers(clients))
        yield clients.replace("http", "etcd")
        process.kill()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(address: str) -> bool:
    host, port = address.removeprefix("http://").split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


def start_node(name: str, run: Path, config: Path, *flags: str) -> subprocess.Popen:
    """One of two nodes that train together into the folder `run`.

    A launcher that gives up is started again, as the guide says.
    """
    words = ["bash", "-c", 'for i in 1 2 3; do "$@" && exit; done; exit 1', "node"]
    words += [sys.executable, "-m", "paddle.distributed.launch", *flags]
    words += ["--nproc_per_node", "1", "--log_dir", str(run.parent / f"{run.name}_{name}")]
    words += ["train.py", "--config", str(config), "--device", "cpu", "--batch_size", "1"]
    words += ["--iters", str(ITERS), "--save_interval", "1", "--keep_checkpoint_max", "2"]
    return subprocess.Popen(
        [*words, "--save_dir", str(run), "--resume_model", "auto"],
        cwd=ROOT,
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",  # etcd3 is older than protobuf 4
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def process_of_rank(rank: int, run: Path) -> int:
    """The id of the training process of a rank."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, variables = ((process / n).read_bytes() for n in ("cmdline", "environ"))
        except OSError:
            continue
        is_training = b"\0train.py\0" in command and b"paddle.distributed.launch" not in command
        is_of_rank = f"PADDLE_TRAINER_ID={rank}".encode() in variables.split(b"\0")
        if is_training and is_of_rank and str(run).encode() in command:
            return int(process.name)
    raise AssertionError(f"no process of rank {rank}")


@contextmanager
def two_nodes(run: Path, config: Path, *flags: str) -> Iterator[None]:
    """Two nodes, which end without error after the block."""
    nodes = [start_node(name, run, config, *flags) for name in "ab"]
    try:
        yield
        assert [node.wait() for node in nodes] == [0, 0]
    finally:
        for node in nodes:
            with suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGTERM)
            node.wait()


@pytest.mark.timeout(300)
def test_a_lost_process_restarts_the_training_of_both_nodes_which_ends_as_if_nothing_had_happened(
    etcd: str, tiny_config: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fixed = ["--master", f"127.0.0.1:{free_port()}", "--nnodes", "2"]
    with two_nodes(whole, tiny_config, *fixed):
        pass
    elastic = ["--master", etcd, "--job_id", "test", "--elastic_level", "1", "--nnodes", "2:2"]
    with two_nodes(killed, tiny_config, *elastic):
        wait_until(lambda: any(killed.glob("iter_*")))
        os.kill(process_of_rank(1, killed), signal.SIGKILL)
    told = "".join(log.read_text() for log in tmp_path.glob("killed_*/workerlog.0"))
    assert f"Resumed from {killed / 'iter_'}" in told
    stress_resume.compare(*(run / f"iter_{ITERS}" for run in (whole, killed)), STATE_FILES)
