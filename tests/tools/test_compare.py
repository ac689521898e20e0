"""The comparison of methods: mistakes by kind, equal training, the pages, and one small run."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import compare
import numpy as np
import paddle
import pytest
from comparing import training
from comparing.errors import KINDS, ErrorCounts, find_mistakes
from comparing.images import arrange, choose_images
from comparing.methods import Method, refuse_other_data, unique_name
from comparing.pages import render
from comparing.report import tables
from comparing.training import Recipe, schedule_overrides, train_for, training_cost

from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.evaluation import PanopticQuality
from panoptic_deeplab.structures import Category, DatasetInfo, PanopticMap, Prediction, Segment

ROAD, SKY, PERSON, CAR = range(4)
INFO = DatasetInfo(
    "street",
    tuple(
        Category(name, index >= PERSON, (60 * index, 0, 0), index)
        for index, name in enumerate(["road", "sky", "person", "car"])
    ),
)
CLASS_OF = {1: ROAD, 2: SKY, 3: PERSON, 4: PERSON, 5: CAR, 6: CAR, 7: CAR}

# --- mistakes by kind: 8 x 8 maps, 0 void, 1 road, 2 sky, 3 and 4 persons, 5 to 7 cars ---


def segment_map(text: str, crowd: tuple[int, ...] = ()) -> PanopticMap:
    """The map whose rows are the words of a text."""
    ids = np.array([list(row) for row in text.split()], np.int32)
    numbers, areas = np.unique(ids[ids > 0], return_counts=True)
    segments = [
        Segment(n, CLASS_OF[n], iscrowd=n in crowd, area=area)
        for n, area in zip(numbers.tolist(), areas.tolist(), strict=True)
    ]
    return PanopticMap(ids, segments)


def mistakes_of(truth: PanopticMap, predicted: str) -> tuple[dict[int, list[str]], list[int]]:
    """Class -> kinds of its annotated segments that are not found; classes of the false ones."""
    result = segment_map(predicted)
    found = find_mistakes(Prediction(result.ids, result.segments), truth, INFO)
    kinds: dict[int, list[str]] = {}
    for category, kind in found.of_truth:
        if kind:
            kinds.setdefault(category, []).append(kind)
    return kinds, found.false


ROADS = "11111111 " * 4
CASES = {
    "nothing wrong": (ROADS + "55551111 " * 4, ROADS + "55551111 " * 4, {}, []),
    "the car is road": (ROADS + "55551111 " * 4, "11111111 " * 8, {CAR: ["missed"]}, []),
    "two cars are one": (
        ROADS + "55551111 55551111 66661111 66661111",
        ROADS + "55551111 " * 4,
        {CAR: ["merged", "merged"]},
        [],
    ),
    "the small car is part of the large one, which is found": (
        ROADS + "55555561 " * 4,
        ROADS + "55555551 " * 4,
        {CAR: ["merged"]},
        [],
    ),
    "a car in two halves": (
        ROADS + "55555555 " * 4,
        ROADS + "55556666 " * 4,
        {CAR: ["split"]},
        [],
    ),
    "a piece cut off a car that is found": (
        ROADS + "55555555 " * 4,
        ROADS + "55555566 " * 4,
        {},
        [CAR],
    ),
    "a car called person": (
        ROADS + "55551111 " * 4,
        ROADS + "33331111 " * 4,
        {CAR: ["wrong class"]},
        [],
    ),
    "a quarter of the car": (
        ROADS + "55551111 " * 4,
        ROADS + "51111111 " * 4,
        {CAR: ["bad mask"]},
        [],
    ),
    "a sixteenth of the car": (
        ROADS + "55551111 " * 4,
        "11111111 " * 7 + "51111111",
        {CAR: ["missed"]},
        [CAR],
    ),
    "a person where there is road": (ROADS * 2, ROADS + "33111111 " * 4, {}, [PERSON]),
    "a person on void": ("11111100 " * 8, "11111133 " * 8, {}, []),
    "sky that is road": ("22222222 " * 2 + "11111111 " * 6, ROADS * 2, {SKY: ["missed"]}, []),
    "sky where there is road": (ROADS * 2, "22222222 " * 2 + "11111111 " * 6, {}, [SKY]),
    "half of the sky": (
        "22222222 " * 4 + ROADS,
        "22222222 22222222 " + "00000000 " * 2 + ROADS,
        {SKY: ["bad mask"]},
        [],
    ),
    "sky and road exchanged": (
        "22222222 " * 4 + ROADS,
        ROADS + "22222222 " * 4,
        {ROAD: ["wrong class"], SKY: ["wrong class"]},
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_kinds_of_mistakes(case: str) -> None:
    truth, predicted, kinds, false = CASES[case]
    assert mistakes_of(segment_map(truth), predicted) == (kinds, false)


def test_a_crowd_is_not_to_be_found_and_excuses_what_lies_on_it() -> None:
    truth = segment_map(ROADS + "55555555 " * 4, crowd=(5,))
    assert mistakes_of(truth, ROADS + "66775511 " * 4) == ({}, [])


def random_map(seed: int) -> PanopticMap:
    """Rectangles of all segments on void, later ones in front."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((16, 16), np.int32)
    for number in rng.permutation(list(CLASS_OF)):
        top, left = rng.integers(0, 12, 2)
        ids[top : top + rng.integers(2, 14), left : left + rng.integers(2, 14)] = number
    return segment_map("\n".join("".join(map(str, row)) for row in ids), crowd=(7,) * (seed % 2))


def test_the_kinds_add_up_to_the_false_negatives_of_panoptic_quality() -> None:
    scores, counts = PanopticQuality(INFO), ErrorCounts(INFO)
    for seed in range(200):
        truth, result = random_map(seed), random_map(1000 + 2 * seed)
        prediction = Prediction(result.ids, result.segments)
        scores.update(prediction, truth)
        counts.add(find_mistakes(prediction, truth, INFO))
    state, told = scores.state(), counts.compute()
    for index, category in enumerate(INFO.categories):
        kinds = dict(told["per_class"][category.name])
        annotated, false = kinds.pop("annotated"), kinds.pop("false")
        assert sum(kinds.values()) == state["fn"][index] > 0
        assert annotated == state["fn"][index] + state["tp"][index]
        assert 0 < false <= state["fp"][index]
    seen = {k for name in ("person", "car") for k, n in told["per_class"][name].items() if n}
    assert seen == {"annotated", *KINDS}
    assert set(told["Stuff"]) == {"annotated", "missed", "wrong class", "bad mask", "false"}


def test_the_quality_of_an_image_is_panoptic_quality_with_all_classes_pooled() -> None:
    """Road found with IoU 32 / 48, one car missed: (2 / 3) / (1 + 1 / 2)."""
    truth, result = segment_map(ROADS + "55550000 " * 4), segment_map(ROADS + "11110000 " * 4)
    found = find_mistakes(Prediction(result.ids, result.segments), truth, INFO)
    assert found.quality == pytest.approx(32 / 48 / 1.5)
    assert found.by_kind() == {"missed": 1}


# --- equal training ---


def metrics(costs: dict[int, float]) -> str:
    rows = ({"kind": "train", "iter": step, "batch_cost": cost} for step, cost in costs.items())
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def test_time_and_images_of_a_training_are_read_from_its_run(tmp_path: Path) -> None:
    """10 steps of 2 s, 10 of 1 s, 10 of 0.5 s."""
    (tmp_path / "metrics.jsonl").write_text(metrics({10: 2.0, 20: 1.0, 30: 0.5}))
    (tmp_path / "iter_30").mkdir()
    assert training_cost(tmp_path / "iter_30") == training.Training(35.0, 30, None, None)
    (tmp_path / "run.json").write_text('{"processes": 2, "effective_batch_size": 4}')
    assert training_cost(tmp_path / "iter_30") == training.Training(35.0, 30, 120, 2)
    weights = tmp_path / "iter_20" / "model.pdparams"
    assert training_cost(weights) == training.Training(30.0, 20, 80, 2)
    assert training_cost(tmp_path) is None


def test_the_schedule_keeps_its_shape(tiny_config: Path) -> None:
    """A quarter of the steps, twice the samples of the recipe."""
    opts = [
        "lr_scheduler={type: MultiStepDecay, learning_rate: 0.1, milestones: [800, 1200]}",
        "lr_scheduler.warmup_iters=100",
        "iters=1600",
        "recipe_batch_size=2",
    ]
    recipe = Recipe(Config(tiny_config, opts), opts, "cpu", processes=2)
    assert schedule_overrides(recipe, 400) == [
        "lr_scheduler.warmup_iters=25",
        "lr_scheduler.milestones=[200, 300]",
        "lr_scheduler.learning_rate=0.2",
    ]


class Trainings:
    """Stands for `train.py`: a step takes half a second."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fails = False

    def __call__(self, *command: object) -> None:
        words = list(map(str, command))
        self.calls.append(words)
        folder = Path(words[words.index("--save_dir") + 1])
        iters = int(words[words.index("--iters") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        costs = dict.fromkeys(range(8, iters + 1, 8), 0.5)
        (folder / "metrics.jsonl").write_text(metrics(costs))
        if self.fails and "--resume_model" in words:
            raise KeyboardInterrupt
        (folder / f"iter_{iters}").mkdir(exist_ok=True)


def test_an_interrupted_training_goes_on_as_it_was_planned(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Trainings()
    monkeypatch.setattr(training, "call", calls)
    recipe = Recipe(Config(tiny_config), [], "cpu", processes=1)
    folder = tmp_path / "run"
    calls.fails = True
    with pytest.raises(KeyboardInterrupt):
        train_for(30, recipe, folder)
    calls.fails = False
    assert train_for(30, recipe, folder) == folder / "iter_60"  # 30 s of half a second each
    trial, first, second = calls.calls
    assert "auto" not in trial
    assert first == second
    assert second[second.index("--resume_model") + 1] == "auto"
    train_for(30, recipe, folder)
    assert len(calls.calls) == 3, "what is done is not done again"
    assert train_for(10, recipe, folder) == folder / "iter_20"
    assert not (folder / "iter_60").exists(), "another plan starts anew"


# --- what is shown ---


def method(name: str, pq: float, qualities: list[float]) -> dict[str, Any]:
    """As `comparing.measure` writes it, read back."""
    score = {"pq": pq, "sq": 0.5, "rq": None}
    counts = {"annotated": 4, "missed": 1, "wrong class": 0, "bad mask": 0, "false": 2}
    things = counts | {"merged": 1, "split": 0}
    kinds = {"Things": things, "Stuff": counts}
    names = {c.name: c.is_thing for c in INFO.categories}
    images = [
        {"image_id": f"image {i} <b>", "quality": quality, "mistakes": {"merged": 2}}
        for i, quality in enumerate(qualities)
    ]
    return {
        "name": name,
        "config": f"{name}.yml",
        "weights": "weights",
        "training": {"seconds": 90.0, "steps": 10, "images": None, "processes": 2},
        "parameters": 1_500_000,
        "multiply_adds": 2e9,
        "input_size": [64, 128],
        "peak_mb": None,
        "seconds": {"network": 0.02, "fusion": 0.001},
        "images": images,
        "errors": kinds
        | {"per_class": {n: things if is_thing else counts for n, is_thing in names.items()}},
        "scores": dict.fromkeys(("All", "Things", "Stuff"), score)
        | {"ap": 0.25, "ap50": 0.5, "miou": 0.75, "per_class": {n: {"pq": pq} for n in names}},
    }


def comparison() -> dict[str, Any]:
    methods = [method("a<script>", 0.5, [0.1, 0.9, 0.5]), method("b|c", 0.25, [0.9, 0.2, 0.5])]
    chosen = choose_images(methods, 1)
    return {
        "made": "2026-01-01",
        "device": "cpu",
        "machine": {"processor": "a processor", "threads": 1},
        "data": {
            "name": "street",
            "folder": "data/streets",
            "images": 3,
            "classes": [{"name": c.name, "is_thing": c.is_thing} for c in INFO.categories],
        },
        "train_seconds": 20,
        "methods": methods,
        "pictures": [
            {"image_id": methods[0]["images"][entry.index]["image_id"], "file": "pictures/01.jpg"}
            | {"why": entry.why, "quality": entry.quality, "mistakes": entry.mistakes}
            for entry in chosen
        ],
    }


def test_the_worst_images_and_the_largest_differences_are_chosen_once() -> None:
    methods = [method("a", 0.5, [0.1, 0.9, 0.5, 0.6]), method("b", 0.25, [0.3, 0.2, 0.5, 0.7])]
    chosen = choose_images(methods, 1)
    assert [(entry.index, entry.why) for entry in chosen] == [
        (0, "worst of a; b farthest ahead of a"),
        (1, "worst of b; a farthest ahead of b"),
    ]
    assert chosen[0].quality == {"a": 0.1, "b": 0.3}
    assert chosen[0].mistakes == {"a": {"merged": 2}, "b": {"merged": 2}}


def test_tables_highlight_better_values_and_only_those() -> None:
    quality, cost, things, _, classes = tables(comparison())
    assert quality.rows[0] == ["PQ", "50.0", "25.0"]
    assert quality.best[0] == [1]
    assert quality.rows[1] == ["SQ", "50.0", "50.0"]
    assert quality.best[1] == []  # equal
    assert quality.rows[2] == ["RQ", "n/a", "n/a"]
    assert ["training (minutes)", "1.5", "1.5"] in cost.rows
    assert ["images seen in training", "n/a", "n/a"] in cost.rows
    assert things.rows[0] == ["found", "2 (50%)", "2 (50%)"]
    assert classes.header[-1] == "difference"
    assert classes.rows[0] == ["road", "stuff", "4", "50.0", "25.0", "+25.0"]
    assert classes.bars == [0.25] * 4


class Page(HTMLParser):
    """What a browser would see."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "01.jpg").write_bytes(b"jpeg")
    return tmp_path


def test_the_page_is_whole_and_needs_nothing_from_outside(folder: Path) -> None:
    text = render("index.html", comparison(), folder)
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert page.sources == ["data:image/jpeg;base64,anBlZw=="] * 2
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert page.tags.count("table") == 5
    for title in ("Quality", "Cost", "PQ by class", "What this shows, and what it does not"):
        assert title in page.texts
    assert "a<script>" in page.texts, "names are text, whatever is in them"
    assert "prefers-color-scheme:dark" in text


def test_markdown_has_the_same_tables_and_escapes_names(folder: Path) -> None:
    text = render("comparison.md", comparison(), folder)
    assert "| PQ | **50.0** | 25.0 |" in text
    assert "| b\\|c |" in text
    assert "![image 0 \\<b\\>](pictures/01.jpg)" in text
    for line in (line for line in text.splitlines() if line.startswith("| PQ")):
        assert line.count("|") == 4


def test_images_stand_two_in_a_row_without_their_legends() -> None:
    """60 x 100, two methods enlarged twice, with a legend of 30 below."""
    image = np.zeros((60, 100, 3), np.uint8)
    panel = np.full((150, 200, 3), 200, np.uint8)
    panel[120:] = 7
    sheet = arrange(image, {"ground truth": panel, "a": panel, "b": panel})
    assert sheet.shape[1] >= 2 * 200
    assert 2 * 120 < sheet.shape[0] < 2 * 150
    assert not (sheet == 7).all(axis=2).any()


# --- the command ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --model_paths, one for each configuration, or --train_seconds"),
        (["--model_paths", "x", "--train_seconds", "3"], "give either"),
        (["--model_paths", "x"], "expected weights for each of 2 configurations, got 1"),
    ],
)
def test_contradictions_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = compare.main(["--configs", "a", "b", "--save_dir", str(tmp_path / "out"), *arguments])
    assert code == 2
    assert message in capsys.readouterr().err


def test_methods_on_other_data_are_refused(tiny_config: Path) -> None:
    one = Method("one", Config(tiny_config), (), None)
    training_split = ["val_dataset.mode=train"]
    two = Method("two", Config(tiny_config, training_split), (), None)
    refuse_other_data([one, one])
    with pytest.raises(UsageError, match=r"validates on other images than .*tiny\.yml"):
        refuse_other_data([one, two])


def test_names_are_made_unique() -> None:
    assert unique_name("a", []) == "a"
    assert unique_name("a", ["a", "a-2"]) == "a-3"


def test_help_comes_without_paddle() -> None:
    probe = (
        "import sys, runpy; sys.path.insert(0, 'tools'); sys.argv = ['x', '--help']\n"
        "try: runpy.run_path('tools/compare.py', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'paddle' not in sys.modules and 'numpy' not in sys.modules, 'imported'\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=training.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "python tools/compare.py --configs" in finished.stdout


def test_two_methods_from_weights_to_page(
    tiny_config: Path, tiny_top_down_config: Path, tmp_path: Path
) -> None:
    """Untrained networks on three scenes; each is measured in its own process."""
    configs, weights = [tiny_config, tiny_top_down_config], []
    for config in configs:
        paddle.seed(0)
        weights.append(tmp_path / config.stem / "model.pdparams")
        paddle.save(Config(config).model.state_dict(), str(weights[-1]))
    out = tmp_path / "out"
    options = ["--configs", *map(str, configs), "--model_paths", *map(str, weights)]
    options += ["--opts", "val_dataset.transforms=[]"]
    assert compare.main([*options, "--save_dir", str(out), "--worst", "1"]) == 0

    comparison_json = json.loads((out / "comparison.json").read_text())
    assert [m["name"] for m in comparison_json["methods"]] == ["tiny", "tiny_top_down"]
    for measured, config in zip(comparison_json["methods"], configs, strict=True):
        model = Config(config).model
        trained = sum(p.size for p in model.parameters() if not p.stop_gradient)
        assert measured["parameters"] == trained
        assert measured["multiply_adds"] > 0 < measured["seconds"]["network"]
        assert measured["input_size"] == [64, 128]
        assert measured["training"] is None
        assert len(measured["images"]) == 3
        per_class = measured["scores"]["per_class"]
        kinds = measured["errors"]["per_class"]
        for name, counts in kinds.items():
            not_found = sum(n for k, n in counts.items() if k not in ("annotated", "false"))
            assert not_found == per_class[name]["fn"]
    images = sorted((out / "pictures").iterdir())
    assert len(images) == len(comparison_json["pictures"]) >= 1
    page = Page((out / "index.html").read_text())
    assert page.tags.count("img") == len(images)
    assert "tiny_top_down" in (out / "comparison.md").read_text().replace("\\", "")
