"""The benchmark: compared results agree, measurements are right, failures are one line.

Nothing here looks at how fast anything is.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import benchmark
import numpy as np
import pytest
from benchmarking import export, exported, predict, throughput
from benchmarking.comparison import Comparison, DisagreementError, Implementation, Result, spread
from benchmarking.inputs import annotated_sample, draw_things, ellipses, network_outputs
from benchmarking.plot import COLORS, draw_plot
from benchmarking.processes import InPlace, Worker
from benchmarking.report import (
    duration,
    format_heading,
    format_machine,
    format_notes,
    format_result,
    memory_in_words,
    three_digits,
    to_json,
)
from benchmarking.train_step import QUICK
from matplotlib.colors import to_rgb
from PIL import Image

from panoptic_deeplab.errors import DataError, UserError

ROOT = Path(__file__).parents[2]
KEYS = {"name", "seconds", "baseline_seconds", "speedup", "peak_mb"}
MACHINE = {
    "processor": "Abacus",
    "cores": 2,
    "threads": 1,
    "memory_gb": 0.1,
    "load": 0.0,
    "python": "3.11.7",
    "gpus": "none",
}


# --- implementations for the tests; they run in processes of their own ---


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark sets the threads of the processes that it starts; other tests keep theirs."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def _log(path, letter):
    with open(path, "a") as file:
        file.write(letter)
    return letter


def logging_call(path, letter):
    return partial(_log, path, letter)


def variable_call(name):
    return partial(os.environ.get, name)


def holding_call(held, used):
    inputs = np.ones(held // 8)
    return lambda: float(np.ones(used // 8).sum() + inputs[0])


def failing_call():
    def run():
        raise DataError("scenes.json: not a scene")

    return run


class StubbornError(Exception):
    """It cannot travel between processes."""

    def __init__(self, a, b):
        super().__init__(a)


def stubborn_call():
    def run():
        raise StubbornError("no", "way")

    return run


def leaving_call():
    return partial(os._exit, 3)


def unprepared_call():
    raise DataError("nothing to prepare")


def comparison(ours, baseline, **more) -> Comparison:
    return Comparison("a name", Implementation(ours), Implementation(baseline), "another", **more)


# --- the framework ---


def test_rounds_alternate_after_a_first_call(tmp_path: Path) -> None:
    path = tmp_path / "log"
    result = comparison(
        partial(logging_call, path, "a"), partial(logging_call, path, "b"), goal=0.0
    ).run(repeats=3)
    assert path.read_text() == "ab" + "ab" * 3
    assert result.repeats == 3
    assert result.speedup == pytest.approx(result.baseline_seconds / result.seconds)
    assert result.reached is True


def test_each_implementation_has_its_own_environment() -> None:
    pair = [
        Implementation(partial(variable_call, "WAY"), {"WAY": value})
        for value in ("ours", "theirs")
    ]
    returned = []
    Comparison("names", *pair, "x", check=lambda *both: returned.extend(both)).run(repeats=1)
    assert returned == ["ours", "theirs"]
    assert "WAY" not in os.environ


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process's peak")
def test_memory_is_what_the_call_needs_beyond_its_inputs() -> None:
    with Worker(partial(holding_call, 80_000_000, 40_000_000), {}) as worker:
        run = worker.measure()
    assert 39 < run.peak_mb < 60


def test_implementations_that_disagree_are_not_timed(tmp_path: Path) -> None:
    def check(ours: str, theirs: str) -> None:
        raise DisagreementError(f"{ours} is not {theirs}")

    path = tmp_path / "log"
    with pytest.raises(DisagreementError, match=r"^a is not b$"):
        comparison(
            partial(logging_call, path, "a"), partial(logging_call, path, "b"), check=check
        ).run(repeats=3)
    assert path.read_text() == "ab"


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (failing_call, DataError, "^scenes.json: not a scene$"),
        (unprepared_call, DataError, "^nothing to prepare$"),
        (stubborn_call, RuntimeError, "^StubbornError: no$"),
        (leaving_call, UserError, "ended with exit code 3 "),
    ],
)
def test_what_fails_in_a_process_is_told_here(call, error, said: str) -> None:
    with pytest.raises(error, match=said), Worker(call, {}) as worker:
        worker.time()
    assert worker._process.exitcode is not None


def test_a_runner_in_place_has_the_same_interface(tmp_path: Path) -> None:
    with InPlace(partial(logging_call, tmp_path / "log", "a"), {}) as runner:
        assert runner.measure().returned == "a"
        assert runner.time() >= 0


def test_spread_is_half_the_distance_of_the_quartiles() -> None:
    """Of 8, 9, 10, 11, 12 the quartiles are 9 and 11."""
    assert spread([12.0, 8.0, 10.0, 11.0, 9.0]) == pytest.approx(0.1)
    assert spread([5.0]) == 0


# --- results ---


def result(**changes) -> Result:
    values = {"name": "grouping", "seconds": 0.25, "baseline_seconds": 2.0}
    return Result(**values | {"baseline_name": "plain", "peak_mb": 40.0} | changes)


@pytest.mark.parametrize(
    ("goals", "reached"),
    [
        ({}, None),
        ({"goal": 8}, True),  # 2 s / .25 s
        ({"goal": 8.1}, False),
        ({"goal": 8, "goal_mb": 40}, True),
        ({"goal": 8, "goal_mb": 39}, False),
        ({"goal_memory": 1.2, "memory_ratio": 1.1}, True),
        ({"goal_memory": 1.2, "memory_ratio": 1.3}, False),
        ({"goal": 8, "goal_memory": 1, "memory_ratio": 0.9}, True),
        ({"goal": 8, "goal_memory": 1, "memory_ratio": 1.1}, False),
        ({"goal_mb": 100, "peak_mb": math.nan}, False),  # nobody knows
    ],
)
def test_goals(goals: dict, reached: bool | None) -> None:
    assert result(**goals).reached is reached


def test_json_has_what_others_read(tmp_path: Path) -> None:
    (entry,) = to_json([("postprocess", result(goal=3))], MACHINE)
    assert entry.keys() >= KEYS
    assert entry["name"] == "postprocess: grouping against plain"
    assert (entry["speedup"], entry["peak_mb"], entry["reached"]) == (8, 40, True)
    assert entry["machine"]["processor"] == "Abacus"


def test_memory_beside_speed_hides_neither() -> None:
    row = result(goal=4, goal_memory=1, memory_ratio=0.5)
    table = format_result(row)
    assert "8x" in table
    assert "0.50 of 1 times the MB" in table


def test_a_table_fits_into_100_columns() -> None:
    rows = [
        result(name="a name " * 9, baseline_name="what is meant " * 9, goal=15),
        result(baseline_seconds=1234.5, goal_mb=100, goal=100),
        result(goal_memory=1.2, memory_ratio=1.034, note="what else is to be known " * 9),
    ]
    lines = [format_heading("targets"), *map(format_result, rows), *format_notes(rows)]
    table = "\n".join(lines)
    assert max(map(len, table.splitlines())) <= 100
    assert "8x" in table
    assert "grouping: what else is to be known" in table
    assert "40 of 100 MB" in table
    assert "1.03 of 1.2 times the MB" in table


@pytest.mark.parametrize(
    ("value", "text"), [(8.0, "8"), (0.8512, "0.85"), (12.04, "12.0"), (1234.5, "1234")]
)
def test_three_digits(value: float, text: str) -> None:
    assert three_digits(value) == text


def test_words() -> None:
    assert [duration(seconds) for seconds in (0.0412, 12.04)] == ["41.2 ms", "12.0 s"]
    assert memory_in_words(result()) == ""
    first, second = format_machine(MACHINE).splitlines()
    assert first == "Abacus, 2 cores, 1 threads, 0.1 GB, load 0.0"
    assert second == "python 3.11.7"


def test_bars_are_as_long_as_ours_is_faster() -> None:
    """8 times in blue, 2 times in red: log 8 is three times log 2."""
    rows = [result(goal=3), result(seconds=1.0, goal=3)]
    image = draw_plot([("postprocess", row) for row in rows], MACHINE)
    assert (image.dtype, image.shape[2]) == (np.uint8, 3)
    lengths = []
    for reached in (True, False):
        color = [round(255 * part) for part in to_rgb(COLORS[reached])]
        columns = np.flatnonzero((image[:-70] == color).all(axis=2).any(axis=0))
        lengths.append(columns.max() - columns.min())
    assert lengths[0] == pytest.approx(3 * lengths[1], abs=6)


# --- inputs ---


@pytest.mark.parametrize("count", [10, 60, 200])
def test_things_cover_a_quarter_and_do_not_overlap(count: int) -> None:
    things = ellipses((256, 512), count, np.random.default_rng(0))
    areas = np.bincount(draw_things(things, (256, 512)).ravel())
    assert len(areas) == count + 1
    assert areas[1:].sum() / areas.sum() == pytest.approx(0.25, abs=0.02)
    assert areas[1:].min() > 0.5 * areas[1:].mean()


def test_inputs_are_equal_in_every_run() -> None:
    first, second = (network_outputs((128, 256), 5) for _ in range(2))
    assert {name: value.shape for name, value in first.items()} == {
        "semantic": (1, 19, 32, 64),
        "center": (1, 1, 32, 64),
        "offset": (1, 2, 32, 64),
    }
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


def test_a_sample_names_all_its_ids() -> None:
    sample = annotated_sample((64, 128), 5)
    assert set(np.unique(sample["panoptic"])) == {segment.id for segment in sample["segments"]}
    assert sum(segment.category >= 11 for segment in sample["segments"]) == 5


def test_things_are_lifted_until_they_win_a_quarter() -> None:
    """At four pixels things lack 1, 2, 3 and 4: beyond 1.75 they win the first."""
    stuff = np.array([[[1.0, 2.0, 3.0, 4.0]]])
    logits = np.concatenate([stuff, np.zeros((2, 1, 4))])
    shift = exported._shift_of_things(logits, (1, 2))
    np.testing.assert_allclose(shift, [0, 1.75, 1.75])
    assert ((logits + shift[:, None, None]).argmax(axis=0) > 0).tolist() == [[True] + 3 * [False]]


def test_predictions_of_the_measured_weights_are_those_of_the_plain_statement(
    tmp_path: Path,
) -> None:
    """All 60 centers and the ids of every pixel; the two share only the network."""
    recipe = exported.for_one_size(QUICK)
    weights = exported.checkpoint(recipe, tmp_path)
    ours = export.prepare_predictor(recipe, weights)()
    plain = export.prepare_dygraph(recipe, weights)()
    export.same_ids(ours, plain)
    assert ours.shape == QUICK.crop
    assert ours.max() >= 55
    with pytest.raises(DisagreementError, match="belong to another segment"):
        export.same_ids(np.where(ours == 1, 0, ours), plain)


# --- the command ---


@pytest.mark.parametrize(
    ("subject", "comparisons"), [("postprocess", 5), ("targets", 2), ("train_step", 5), ("solo", 3)]
)
def test_quick_runs(subject: str, comparisons: int, tmp_path: Path, capfd) -> None:
    """Every comparison's check passes; what is written can be read."""
    files = ["--json", str(tmp_path / "a" / "r.json"), "--plot", str(tmp_path / "r.png")]
    assert benchmark.main([subject, "--quick", *files]) == 0
    entries = json.loads((tmp_path / "a" / "r.json").read_text())
    assert len({entry["name"] for entry in entries}) == comparisons
    for entry in entries:
        assert entry.keys() >= KEYS
        assert entry["name"].startswith(f"{subject}: ")
        assert min(entry["seconds"], entry["baseline_seconds"]) > 0
    with Image.open(tmp_path / "r.png") as image:
        assert image.width == 1280
    assert subject.upper() in capfd.readouterr().out


def test_comparisons_can_be_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    arguments = ["postprocess", "--quick", "--only", "grouping alone", "--json", str(path)]
    assert benchmark.main(arguments) == 0
    (entry,) = json.loads(path.read_text())
    assert entry["name"].startswith("postprocess: grouping alone")


def test_an_exported_file_takes_an_array(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    program = "agraph (float[2] values) => (float[2] twice) { twice = Add(values, values) }"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>{program}')
    onnx.save(model, tmp_path / "model.onnx")
    values = np.float32([1, 2])
    for runtime in exported.installed_runtimes():
        (twice,) = exported.load(runtime, tmp_path / "model.onnx")(values)
        assert twice.tolist() == [2, 4]


def test_an_image_to_its_map_by_runtime(tmp_path: Path, monkeypatch) -> None:
    """The compiled network, Paddle and the plain statement give the same ids."""
    monkeypatch.setenv("PANOPTIC_DEEPLAB_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "r.json"
    arguments = ["predict", "--quick", "--only", "map, onnxruntime", "--json", str(path)]
    assert benchmark.main(arguments) == 0
    entries = json.loads(path.read_text())
    assert [entry["baseline_name"] for entry in entries] == [
        "--runtime paddle",
        "dygraph, plain grouping",
    ]
    assert len(list((tmp_path / "cache" / "compiled").iterdir())) == 1


@pytest.mark.parametrize(
    ("starts_empty", "runs"),
    [
        (True, ["auto, 0 kept", "paddle, 0 kept"] * 2),
        (False, ["onnxruntime, 0 kept"] + ["auto, 1 kept", "paddle, 1 kept"] * 2),
    ],
)
def test_a_command_runs_with_and_without_what_is_kept(
    starts_empty: bool, runs: list[str], tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "val.py").write_text(
        "import os, pathlib, sys\n"
        "assert os.environ['OMP_NUM_THREADS'] == ''\n"
        "cache = pathlib.Path(os.environ['PANOPTIC_DEEPLAB_CACHE'])\n"
        "kept = len(list(cache.glob('*')))\n"
        "with open('runs', 'a') as file: file.write(f'{sys.argv[2]}, {kept} kept\\n')\n"
        "if sys.argv[2] == 'onnxruntime': cache.mkdir(); (cache / 'network').touch()\n"
    )
    monkeypatch.setattr(predict, "ROOT", tmp_path)
    command = predict.Command("val", ["val.py"], tmp_path / "cache", tmp_path / "o", starts_empty)
    result = command.run(2, InPlace)
    assert (tmp_path / "runs").read_text().splitlines() == runs
    assert (result.repeats, result.baseline_name) == (2, "--runtime paddle")


def test_quick_evaluation_agrees_with_the_official_tools(tmp_path: Path) -> None:
    here = os.getcwd()
    assert benchmark.main(["evaluation", "--quick", "--json", str(tmp_path / "r.json")]) == 0
    names = [entry["name"] for entry in json.loads((tmp_path / "r.json").read_text())]
    assert len(names) == 9
    assert os.getcwd() == here


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plot", "here.txt"], "--plot here.txt: expected a name that ends in .png or .jpg"),
        (["--json", "/dev/null/r.json"], "/dev/null: expected a folder to write to"),
    ],
)
def test_what_could_not_be_written_is_told_first(arguments: list[str], said: str, capfd) -> None:
    assert benchmark.main(["postprocess", *arguments]) in (1, 2)
    assert capfd.readouterr().err.startswith(f"error: {said}")


@pytest.mark.parametrize("arguments", [["nothing"], ["targets", "--repeats", "0"], []])
def test_wrong_words_are_refused(arguments: list[str], capfd) -> None:
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(arguments)
    assert stopped.value.code == 2


def test_help_needs_nothing_heavy() -> None:
    block = "import sys; sys.modules.update(dict.fromkeys(['paddle', 'numpy', 'cv2', 'PIL']))"
    folders = f"sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tools')!r}]"
    code = f"{block}; {folders}; import benchmark; benchmark.main(['-h'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for subject in [*benchmark.SUBJECTS, "--json", "--plot"]:
        assert subject in done.stdout


def test_the_times_of_a_prediction_are_read_from_its_last_lines() -> None:
    """Four of eight images are of the first process, which takes 8 s as the others do."""
    said = (
        "3 of 9 images are done already\n[INFO]\t4 images in 8.0 s; for each: reading 0.1 s, "
        "network 1.5 s\n[INFO]\tnetwork and grouping: busy for 75% of the time\n"
    )
    assert throughput.read_times(said, 8) == (1.0, 0.75, "reading 0.1 s, network 1.5 s")
