"""A training one can rely on: kills, signals, full disks, several processes, bad losses."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import paddle
import pytest
import stress_resume

from panoptic_deeplab.cli import train, val
from panoptic_deeplab.engine import checkpoint, distributed
from panoptic_deeplab.engine.averaging import WeightAverage
from panoptic_deeplab.engine.interruption import Interruption
from panoptic_deeplab.weights import read_weights

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "programs" / "two_ranks.py"
CPU = ["--device", "cpu"]


def run_train(config: Path, save_dir: Path, *more: str) -> int:
    return train.main(["--config", str(config), *CPU, "--save_dir", str(save_dir), *more])


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def launch(folder: Path, *command: object) -> subprocess.CompletedProcess:
    """Two processes, as `python -m paddle.distributed.launch` starts them."""
    launcher = [
        "-m",
        "paddle.distributed.launch",
        "--nproc_per_node",
        "2",
        "--log_dir",
        folder / "l",
    ]
    words = [sys.executable, *launcher, *command]
    return subprocess.run(
        list(map(str, words)),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def wait_for_two_steps(process: subprocess.Popen, run: Path) -> None:
    """Return once the log of a training names its second step."""
    log = run / "train.log"
    while not (log.exists() and "iter=2/" in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)


# --- kills and resuming ---


@pytest.mark.timeout(300)
def test_three_kills_change_nothing(tiny_config: Path, scenes: Path) -> None:
    arguments = ["--kills", "3", "--iters", "12", "--config", str(tiny_config)]
    assert stress_resume.main([*arguments, "--dataset_root", str(scenes)]) == 0


@pytest.mark.parametrize("flags", [[], ["--use_ema", "--accumulate_steps", "2"]])
def test_resuming_is_exact_with_any_number_of_workers(
    tiny_config: Path, tmp_path: Path, flags: list[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    long = ["--iters", "4", "--save_interval", "2", *flags]
    assert run_train(tiny_config, whole, *long) == 0
    resumed = ["--resume_model", str(whole / "iter_2"), "--num_workers", "2"]
    assert run_train(tiny_config, parts, *long, *resumed) == 0
    for name in ["model.pdparams", *(["model_ema.pdparams"] if flags else [])]:
        first, second = (read_weights(run / "iter_4" / name) for run in (whole, parts))
        for key, value in first.items():
            np.testing.assert_array_equal(value, second[key], err_msg=f"{name}: {key}")


def test_auto_takes_the_newest_and_starts_afresh_without_one(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    auto = ["--resume_model", "auto", "--save_interval", "1"]
    assert run_train(tiny_config, run, "--iters", "1", *auto) == 0
    assert "Resumed" not in capsys.readouterr().out
    assert run_train(tiny_config, run, "--iters", "2", *auto) == 0
    assert f"Resumed from {run / 'iter_1'} at iteration 1" in capsys.readouterr().out


def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(
    tiny_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    assert run_train(tiny_config, run, "--iters", "1") == 0

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(run / "model.pdopt"))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.pickle, "dump", full)
        assert run_train(tiny_config, run, "--iters", "2", "--resume_model", "auto") == 1
    assert "no space left; free some" in capsys.readouterr().err
    assert [path.name for path in run.iterdir() if path.is_dir()] == ["iter_1"]
    assert run_train(tiny_config, run, "--iters", "2", "--resume_model", "auto") == 0


def test_a_checkpoint_with_the_former_name_of_its_batch_size_resumes(
    tiny_config: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert run_train(tiny_config, run, "--iters", "1") == 0
    path = run / "iter_1" / "model.pdopt"
    content = pickle.loads(path.read_bytes())
    position = content["position"]
    position["samples_a_step"] = position.pop("effective_batch_size")
    path.write_bytes(pickle.dumps(content))
    assert run_train(tiny_config, run, "--iters", "2", "--resume_model", "auto") == 0


def test_leftovers_of_a_kill_are_removed_and_never_resumed_from(
    tiny_config: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / ".part.iter_7.abcd_123").mkdir(parents=True)
    (run / ".mine").mkdir()
    assert checkpoint.latest(run) is None
    assert run_train(tiny_config, run, "--iters", "1") == 0
    assert not (run / ".part.iter_7.abcd_123").exists()
    assert (run / ".mine").exists()


def test_a_checkpoint_of_another_optimizer_is_refused(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert run_train(tiny_config, run, "--iters", "1") == 0
    path = run / "iter_1" / "model.pdopt"
    path.write_bytes(pickle.dumps({"optimizer": {"nobody|_moment1_0": np.ones(1)}}))
    assert run_train(tiny_config, run, "--iters", "2", "--resume_model", "auto") == 1
    assert "not the state of this configuration's training" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(
    tiny_config: Path, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "train.py", "--config", tiny_config, *CPU, "--save_dir", run]
    command += ["--iters", "100000", "--log_iters", "1"]
    with subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_two_steps(process, run)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    (folder,) = run.glob("iter_*")
    assert f"go on with --resume_model {folder}" in error
    assert read_weights(folder)


def processes_of(run: Path) -> list[Path]:
    """The processes whose command line names a run, as folders of /proc."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(run).encode() in (process / "cmdline").read_bytes():
                found.append(process)
    return found


def all_end(run: Path) -> bool:
    """Whether the processes of a run are gone within seconds."""
    until = time.monotonic() + 20
    while processes_of(run):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_a_killed_training_leaves_no_process_and_no_shared_memory(
    tiny_config: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "train.py", "--config", tiny_config, *CPU, "--save_dir", run]
    command += ["--iters", "100000", "--log_iters", "1", "--num_workers", "2"]
    with subprocess.Popen(
        list(map(str, command)), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL
    ) as process:
        wait_for_two_steps(process, run)
        family = processes_of(run)
        assert len(family) == 3
        process.kill()
    assert all_end(run)
    held = [path.name.split("_")[1] for path in Path("/dev/shm").glob("paddle_*")]
    assert not {*held} & {path.name for path in family}


def test_a_killed_reader_ends_the_training_in_one_line(tiny_config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "train.py", "--config", tiny_config, *CPU, "--save_dir", run]
    command += ["--iters", "100000", "--log_iters", "1", "--num_workers", "2"]
    with subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_two_steps(process, run)
        reader = next(p for p in processes_of(run) if p.name != str(process.pid))
        os.kill(int(reader.name), signal.SIGKILL)
        _, error = process.communicate(timeout=30)  # the other reader, too
    assert process.returncode == 1
    assert "error: a process that reads samples was killed by 'Killed', often for want" in error
    assert all_end(run)
    assert not list(Path("/dev/shm").glob(f"paddle_{reader.name}_*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_saves_as_well(
    tiny_config: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The launcher repeats the signal, and Ctrl-C reaches the processes that read samples too."""
    run, logs = tmp_path / "run", tmp_path / "logs"
    command = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
    command += ["--log_dir", logs, "train.py", "--config", tiny_config, *CPU, "--save_dir", run]
    command += ["--iters", "100000", "--log_iters", "1", "--num_workers", "1", "--batch_size", "1"]
    with subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        wait_for_two_steps(process, run)
        send = os.killpg if number == signal.SIGINT else os.kill
        send(process.pid, number)
        process.wait(timeout=60)
    (folder,) = run.glob("iter_*")
    assert all_end(run)
    told = "".join(path.read_text(errors="replace") for path in logs.glob("workerlog.*"))
    assert f"go on with --resume_model {folder}" in told
    assert read_weights(folder)


def test_a_signal_much_later_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interruption, "GRACE_SECONDS", 0.0)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.signal == signal.SIGTERM
        time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_the_end_of_the_launcher_asks_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    with Interruption() as interruption:
        monkeypatch.setattr(distributed, "_LAUNCHER", os.getppid())
        assert not interruption.is_asked()
        monkeypatch.setattr(distributed, "_LAUNCHER", os.getpid())
        assert interruption.is_asked()
        assert interruption.agreed() == signal.SIGTERM


# --- losses that are not finite ---


def test_a_bad_loss_stops_the_run_and_names_term_and_images(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    rate = ["--learning_rate", "1e30", "--log_iters", "3", "--save_interval", "1"]
    assert run_train(tiny_config, run, "--iters", "9", *rate, "--keep_checkpoint_max", "0") == 1
    error = capsys.readouterr().err
    assert "became infinite or NaN; nothing was saved since. Images since the last check:" in error
    for folder in run.glob("iter_*"):
        assert all(np.isfinite(value).all() for value in read_weights(folder).values())


def test_a_bad_loss_stops_the_run_at_the_next_log_line(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    rate = ["--learning_rate", "1e30", "--log_iters", "3", "--save_interval", "100"]
    assert run_train(tiny_config, run, "--iters", "9", *rate) == 1
    assert "error: iteration 3: " in capsys.readouterr().err
    assert not list(run.glob("iter_*"))


# --- precision and averages ---


def test_half_precision(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(tiny_config, tmp_path, "--precision", "fp16") == 2
    assert "--precision fp16 needs a GPU; on a CPU use --precision bf16" in capsys.readouterr().err
    for level in ("O1", "O2"):
        flags = ["--precision", "bf16", "--amp_level", level, "--iters", "1"]
        assert run_train(tiny_config, tmp_path / level, *flags) == 0
        assert "Paddle has no bf16 kernels for this CPU" in capsys.readouterr().out


def test_a_weight_average_follows_by_hand() -> None:
    layer = paddle.nn.Linear(1, 1, bias_attr=False)
    layer.weight.set_value(paddle.to_tensor([[1.0]]))
    optimizer = paddle.optimizer.SGD(parameters=layer.parameters())
    average = WeightAverage(layer, optimizer, decay=0.5)
    layer.weight.set_value(paddle.to_tensor([[2.0]]))
    average.update()  # after one step the decay is (1 + 1) / (10 + 1)
    expected = 2 / 11 * 1 + 9 / 11 * 2
    assert average.values["weight"].item() == pytest.approx(expected)
    with average.applied():
        assert layer.weight.item() == pytest.approx(expected)
    assert layer.weight.item() == 2


def test_the_recipe_is_told_and_scaled(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_config.write_text("recipe_batch_size: 8\n" + tiny_config.read_text())
    assert run_train(tiny_config, tmp_path / "a", "--iters", "1") == 0
    output = capsys.readouterr().out
    assert "The recipe is for an effective batch size of 8, this run has 2: learning rate" in output
    assert "0.00025 and 4 iterations would go with it (--scale_lr takes them)" in output
    assert run_train(tiny_config, tmp_path / "b", "--iters", "1", "--scale_lr") == 0
    output = capsys.readouterr().out
    assert "Scaled to an effective batch size of 2: learning rate 0.00025 and 4 iter" in output
    assert "iter=4/4" in output


def test_a_run_folder_says_how_it_was_made(tiny_config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_train(tiny_config, run, "--iters", "1") == 0
    assert {"config.yml", "run.json", "train.log"} <= {path.name for path in run.iterdir()}
    described = json.loads((run / "run.json").read_text())
    of_machine = {"command", "started", "processes", "environment"}
    of_training = {"effective_batch_size", "iters", "train_seconds", "step_seconds"}
    assert of_machine | of_training == set(described)
    assert "[TRAIN] epoch=1, iter=1/1" in (run / "train.log").read_text()


# --- several processes ---


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["plain", "no_instance"])
def test_two_ranks_with_half_the_batch_are_one_with_all_of_it(tmp_path: Path, kind: str) -> None:
    one, two = tmp_path / "one" / "r.npz", tmp_path / "two" / "r.npz"
    for path in (one, two):
        path.parent.mkdir()
    alone = [sys.executable, PROGRAM, one, "4", kind]
    subprocess.run(list(map(str, alone)), cwd=ROOT, env=environment(), check=True, timeout=100)
    finished = launch(tmp_path, PROGRAM, two, "2", kind)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    first, second = np.load(one), np.load(two)
    assert first["losses"].shape == (4, 3)
    np.testing.assert_allclose(first["losses"], second["losses"], rtol=1e-5)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.timeout(300)
def test_a_failing_rank_ends_all_with_its_error(tmp_path: Path) -> None:
    finished = launch(tmp_path, PROGRAM, tmp_path / "r.npz", "2", "broken")
    assert finished.returncode != 0
    logs = "".join(path.read_text() for path in (tmp_path / "l").glob("workerlog.*"))
    assert "not a readable image" in logs + finished.stdout + finished.stderr


@pytest.mark.timeout(300)
def test_evaluation_counts_each_image_once(tiny_config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_train(tiny_config, run, "--iters", "1") == 0
    flags = ["--config", str(tiny_config), *CPU, "--model_path", str(run / "iter_1"), "--json"]
    assert val.main([*flags, str(tmp_path / "one.json")]) == 0
    finished = launch(tmp_path, "val.py", *flags, tmp_path / "two.json")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    first, second = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("one", "two"))
    assert first == second


def test_without_visualdl_it_trains_and_says_so_once(
    tiny_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "visualdl", None)
    assert run_train(tiny_config, tmp_path, "--iters", "2", "--use_vdl", "--do_eval") == 0
    assert capsys.readouterr().out.count("No VisualDL record is written") == 1
