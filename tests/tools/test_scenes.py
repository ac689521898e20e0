"""Street scenes made by a program: labels, random draws, folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.labels import labels, name2label
from cityscapesscripts.preparation.json2instanceImg import json2instanceImg
from cityscapesscripts.preparation.json2labelImg import json2labelImg
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import make_scenes
from scenes import files
from scenes.order import Footprint, far_to_near
from scenes.painting import Canvas, Face, Item, trace
from scenes.scene import make_scene

TOOLS = Path(make_scenes.__file__).parent
EVALUATED = {label.name for label in labels if not label.ignoreInEval}
THINGS = {label.name for label in labels if label.hasInstances and not label.ignoreInEval}


def make(output: Path, *options: str | int) -> int:
    return make_scenes.main(["--output", str(output), *map(str, options)])


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training and fifty validation scenes."""
    root = tmp_path_factory.mktemp("made") / "scenes"
    size = ("--height", 128, "--width", 256)
    assert make(root, "--train", 2, "--val", 50, *size, "--num_workers", 1) == 0
    return root


@pytest.fixture(scope="module")
def panoptic(made: Path) -> dict:
    return json.loads((made / "gtFine" / "cityscapes_panoptic_val_trainId.json").read_text())


# Labels


def test_cityscapesscripts_reproduces_every_label_file(made: Path, tmp_path: Path) -> None:
    polygons = sorted(made.glob("gtFine/*/*/*_polygons.json"))[::3]
    assert len(polygons) > 10
    target = str(tmp_path / "again.png")
    for path in polygons:
        stem = str(path).removesuffix("_polygons.json")
        for kind, encoding in (("labelIds", "ids"), ("labelTrainIds", "trainIds"), ("color",) * 2):
            json2labelImg(str(path), target, encoding)
            again, ours = Image.open(target), Image.open(f"{stem}_{kind}.png")
            assert again.mode == ours.mode
            np.testing.assert_array_equal(np.asarray(again), np.asarray(ours), err_msg=stem)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            json2instanceImg(str(path), target)
        ours = np.asarray(Image.open(f"{stem}_instanceIds.png"))
        assert ours.dtype == np.uint16
        np.testing.assert_array_equal(np.asarray(Image.open(target)), ours, err_msg=stem)


def test_files_are_named_as_cityscapes_names_them(made: Path) -> None:
    base = "ahornstadt/ahornstadt_000000_000019"
    suffixes = {
        "polygons.json",
        "labelIds.png",
        "labelTrainIds.png",
        "instanceIds.png",
        "color.png",
    }
    written = {path.name for path in (made / "gtFine/train/ahornstadt").iterdir()}
    assert written == {f"ahornstadt_000000_000019_gtFine_{suffix}" for suffix in suffixes}
    assert (made / f"leftImg8bit/train/{base}_leftImg8bit.png").is_file()
    images = sorted(path.name for path in made.glob("leftImg8bit/*/*/*.png"))
    truths = sorted(path.name for path in made.glob("gtFine/*/*/*_instanceIds.png"))
    assert [p.removesuffix("_leftImg8bit.png") for p in images] == [
        t.removesuffix("_gtFine_instanceIds.png") for t in truths
    ]
    assert len(images) == 52


def test_no_town_is_in_two_splits() -> None:
    towns = [town for group in files.CITIES.values() for town in group]
    assert len(set(towns)) == len(towns)
    assert not any("_" in town for town in towns), "it would split the file name"


def test_images_and_labels_have_the_size_asked_for(made: Path) -> None:
    for path in made.glob("*/val/lindenbach/lindenbach_000000_*.png"):
        assert np.asarray(Image.open(path)).shape[:2] == (128, 256), path
    image = next(made.glob("leftImg8bit/val/*/*.png"))
    assert np.asarray(Image.open(image)).shape == (128, 256, 3)


def test_all_classes_occur_and_things_often(panoptic: dict) -> None:
    names = {category["id"]: category["name"] for category in panoptic["categories"]}
    counts = Counter(
        names[segment["category_id"]]
        for annotation in panoptic["annotations"]
        for segment in annotation["segments_info"]
        if not segment["iscrowd"]
    )
    assert set(counts) == EVALUATED
    rare = {name: counts[name] for name in THINGS if counts[name] < 20}
    assert not rare, "fewer than 20 instances in 50 validation scenes"


def test_groups_become_crowds_and_only_they(made: Path, panoptic: dict) -> None:
    groups = Counter()
    for annotation in panoptic["annotations"]:
        city = annotation["image_id"].split("_")[0]
        path = made / f"gtFine/val/{city}/{annotation['image_id']}_gtFine_polygons.json"
        painted = {entry["label"] for entry in json.loads(path.read_text())["objects"]}
        for segment in annotation["segments_info"]:
            if segment["iscrowd"]:
                name = next(label.name for label in labels if label.id == segment["id"])
                assert f"{name}group" in painted
                groups[name] += 1
    assert set(groups) == {"car", "person", "bicycle"}


def test_void_occurs_and_is_small(made: Path) -> None:
    seen, void, pixels = set(), 0, 0
    for path in made.glob("gtFine/val/*/*_polygons.json"):
        seen |= {entry["label"] for entry in json.loads(path.read_text())["objects"]}
        train_ids = np.asarray(Image.open(str(path).replace("polygons.json", "labelTrainIds.png")))
        void, pixels = void + (train_ids == 255).sum(), pixels + train_ids.size
    assert {"ego vehicle", "rectification border", "static", "dynamic", "license plate"} <= seen
    assert seen <= set(name2label) | {"cargroup", "persongroup", "bicyclegroup"}
    assert 0.002 < void / pixels < 0.03


def test_touching_cars_are_told_apart(made: Path) -> None:
    """Somewhere two instances of car lie side by side."""
    car = name2label["car"].id
    touching = 0
    for path in made.glob("gtFine/val/*/*_instanceIds.png"):
        ids = np.asarray(Image.open(path)).astype(int)
        left, right = ids[:, :-1], ids[:, 1:]
        both = (left // 1000 == car) & (right // 1000 == car)
        touching += bool((both & (left != right)).any())
    assert touching >= 10


@pytest.mark.parametrize("size", [(129, 257), (257, 129), (32, 32), (48, 256)])
def test_any_size_is_filled_to_its_border(size: tuple[int, int]) -> None:
    from cityscapesscripts.preparation.json2labelImg import createLabelImage

    for index in range(3):
        scene = make_scene(0, "val", index, *size)
        assert scene.image.shape == (*size, 3)
        annotation = Annotation()
        annotation.fromJsonText(json.dumps(scene.annotation))
        ids = np.asarray(createLabelImage(annotation, "ids"))
        assert ids.shape == size
        assert not (ids == name2label["unlabeled"].id).any()


def test_sizes_are_in_proportion() -> None:
    """The same scene twice as large: each class takes the same fraction."""
    from cityscapesscripts.preparation.json2labelImg import createLabelImage

    shares = []
    for height, width in ((128, 256), (256, 512)):
        annotation = Annotation()
        annotation.fromJsonText(json.dumps(make_scene(0, "val", 3, height, width).annotation))
        ids = np.asarray(createLabelImage(annotation, "ids"))
        shares.append(np.bincount(ids.ravel(), minlength=34) / ids.size)
    np.testing.assert_allclose(*shares, atol=0.015)


# Random draws


def test_seed_and_number_make_the_scene_and_nothing_else(tmp_path: Path) -> None:
    size = ("--height", 48, "--width", 96)
    few, many, other = (tmp_path / name for name in ("few", "many", "other"))
    assert make(few, "--train", 2, "--val", 1, *size, "--num_workers", 1, "--seed", 7) == 0
    assert make(many, "--train", 5, "--val", 2, *size, "--num_workers", 2, "--seed", 7) == 0
    assert make(other, "--train", 2, "--val", 1, *size, "--num_workers", 1, "--seed", 8) == 0
    first, more, changed = contents(few), contents(many), contents(other)
    per_scene = [name for name in first if not name.endswith("trainId.json")]
    assert len(per_scene) == 3 * 7
    assert all(first[name] == more[name] for name in per_scene)
    images = [name for name in per_scene if "leftImg8bit" in name]
    assert not any(first[name] == changed[name] for name in images)
    assert len({first[name] for name in images}) == 3, "all scenes differ"


# Who stands before whom


@pytest.mark.parametrize(
    ("why", "behind", "before"),
    [
        ("the same lane, farther", Footprint(-1, 1, 20, 24), Footprint(-1, 1, 10, 14)),
        ("parked beside a bus", Footprint(4, 6, 18, 22), Footprint(1, 3.5, 15, 27)),
        ("a tram that begins nearer", Footprint(3, 5.6, 10, 40), Footprint(0.5, 2.3, 20, 24)),
        ("the same to the left", Footprint(-5.6, -3, 10, 40), Footprint(-2.3, -0.5, 20, 24)),
    ],
)
def test_the_nearer_along_a_ray_is_painted_later(
    why: str, behind: Footprint, before: Footprint
) -> None:
    assert far_to_near([behind, before]) == [0, 1], why
    assert far_to_near([before, behind]) == [1, 0], why


def test_circular_standing_still_gives_every_actor_a_place() -> None:
    same = [Footprint(-1, 1, 5, 6)] * 3
    assert sorted(far_to_near(same)) == [0, 1, 2]


# Painting


def test_paint_stays_within_the_polygon_of_the_annotation() -> None:
    """A white 4 x 3 block on black; its polygon's pixels, and no others, turn white."""
    block = ((2.2, 1.2), (5.8, 1.2), (5.8, 3.8), (2.2, 3.8))
    item = Item("car", [Face(block, (255.0, 255.0, 255.0))])
    polygons = trace(item, (6, 8))
    canvas = Canvas((6, 8))
    canvas.paint(item, polygons)
    fine = np.asarray(canvas._image)[..., 0].reshape(6, 2, 8, 2)
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:6] = True
    np.testing.assert_array_equal((fine > 0).any(axis=(1, 3)), expected)


def test_trace_keeps_the_largest_piece_of_an_instance() -> None:
    small, large = ((0, 0), (3, 0), (3, 3), (0, 3)), ((10, 0), (20, 0), (20, 9), (10, 9))
    faces = [Face(small, None), Face(large, None)]
    assert len(trace(Item("car", faces), (12, 24))) == 2
    (polygon,) = trace(Item("car", faces, single=True), (12, 24))
    assert min(x for x, _ in polygon) == 10


def test_what_lies_outside_the_image_has_no_polygon() -> None:
    outside = Face(((-9, -9), (-2, -9), (-2, -2), (-9, -2)), None)
    detail = Face(((1, 1), (5, 1), (5, 5), (1, 5)), None, in_outline=False)
    assert trace(Item("car", [outside, detail]), (12, 24)) == []


# Command line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--train", -1), "--train: expected 0..999999, got -1"),
        (("--val", -5), "--val: expected 0..999999, got -5"),
        (("--train", 0, "--val", 0), "expected at least one scene"),
        (("--height", 31), "--height: expected 32..8192, got 31"),
        (("--width", 0), "--width: expected 32..8192, got 0"),
        (("--width", 100_000), "--width: expected 32..8192, got 100000"),
        (("--num_workers", 0), "--num_workers: expected 1..256, got 0"),
    ],
)
def test_bad_numbers_are_told_in_one_line(
    options: tuple, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert make(tmp_path / "scenes", *options) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", [[], ["--output"], ["--output", "x", "--train", "many"]])
def test_what_argparse_refuses(argv: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        make_scenes.main(argv)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


TINY = ("--train", 1, "--val", 0, "--height", 32, "--width", 48, "--num_workers", 1)


@pytest.mark.parametrize(
    ("held", "options", "message"),
    [
        ({"gtFine/a.txt": ""}, (), "add --overwrite"),
        ({"letter.txt": "dear"}, (), "choose another"),
        ({"letter.txt": "dear", "gtFine/a": ""}, ("--overwrite",), "also holds letter.txt"),
    ],
)
def test_nobody_loses_files(
    held: dict, options: tuple, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "scenes"
    for name, text in held.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(text)
    before = contents(output)
    assert make(output, *TINY, *options) == 2
    assert message in capsys.readouterr().err
    assert contents(output) == before


def test_a_file_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "scenes").write_text("")
    assert make(tmp_path / "scenes", *TINY) == 2
    assert "a file stands there" in capsys.readouterr().err


def test_overwrite_and_empty_folders(tmp_path: Path) -> None:
    output = tmp_path / "scenes"
    output.mkdir()
    assert make(output, *TINY) == 0
    first = contents(output)
    assert make(output, *TINY, "--overwrite", "--seed", 3) == 0
    assert contents(output).keys() == first.keys()
    assert contents(output) != first
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_a_stopped_run_leaves_nothing(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write = files.write_scene

    def stop_at_second(job: files.Job, root: Path) -> None:
        write(job, root)
        if job.index == 1:
            if how == "ctrl-c":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(files, "write_scene", stop_at_second)
    number = signal.SIGINT if how == "ctrl-c" else signal.SIGTERM
    assert make(tmp_path / "scenes", "--train", 3, *TINY[2:]) == 128 + number
    assert "error: interrupted" in capsys.readouterr().err.splitlines()
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_heavy_import() -> None:
    code = (
        "import sys, make_scenes\n"
        "try: make_scenes.main(['--help'])\n"
        "except SystemExit: print([m for m in ('paddle', 'cv2', 'numpy') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TOOLS), str(TOOLS.parent)])}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "--overwrite" in result.stdout
    assert result.stdout.endswith("[]\n")
