"""Sequences made by a program: what moves, ids that last, Cityscapes' and KITTI-STEP's layout."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import make_scenes
from scenes.camera import CLIP, Camera
from scenes.drive import make_sequence
from scenes.files import step_png
from scenes.scene import Scene, World, make_scene

from panoptic_deeplab.datasets import CityscapesSequences, KittiStep

SIZE = ("--height", 64, "--width", 128)
FRAMES = 10
UNLABELED, ROAD, CAR, CARAVAN = 0, 7, 26, 29


def make(output: Path, *options: str | int) -> int:
    argv = ["--output", output, "--num_workers", 1, *options]
    return make_scenes.main([str(value) for value in argv])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "sequences"
    assert make(root, "--sequences", 2, "--frames", FRAMES, *SIZE) == 0
    return root


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def instances(scene: Scene) -> set[tuple[str, int]]:
    return {(item["label"], item["id"]) for item in scene.annotation["objects"] if "id" in item}


# Single scenes stay what they were before there were sequences.
SCENES = [
    ((0, "val", 3, 64, 128), "9749fb11be3ce31c", [[114.17, 85.07], [85.34, 102.07]]),
    ((7, "train", 5, 48, 96), "ecae004a88f28af6", [[118.03, 97.68], [85.85, 72.62]]),
]


@pytest.mark.parametrize(("arguments", "digest", "brightness"), SCENES)
def test_single_scenes_do_not_change(arguments: tuple, digest: str, brightness: list) -> None:
    scene = make_scene(*arguments)
    text = json.dumps(scene.annotation)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest
    height, width = arguments[3:]
    quarters = scene.image.reshape(2, height // 2, 2, width // 2, 3).mean((1, 3, 4))
    np.testing.assert_allclose(quarters, brightness, atol=0.02)  # processors round differently


def test_a_longer_sequence_begins_the_same() -> None:
    short, long = (list(make_sequence(1, "val", 0, 48, 96, frames)) for frames in (3, 5))
    for one, other in zip(short, long, strict=False):
        np.testing.assert_array_equal(one.image, other.image)
        assert one.annotation == other.annotation
    assert not np.array_equal(short[0].image, short[1].image)


def test_some_leave_and_some_come() -> None:
    left, came = 0, 0
    for index in range(3):
        first, *_, last = make_sequence(0, "val", index, 64, 128, 16)
        left += len(instances(first) - instances(last))
        came += len(instances(last) - instances(first))
        assert len(instances(first) & instances(last)) > 3
    assert left > 3
    assert came > 0


def boxes(ids: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """(top, left, bottom, right) of each instance."""
    found = {}
    for value in np.unique(ids[ids >= 1000]):
        y, x = np.nonzero(ids == value)
        found[int(value)] = (y.min(), x.min(), y.max() + 1, x.max() + 1)
    return found


def meet(one: Iterable[int], other: Iterable[int]) -> bool:
    (top, left, bottom, right), (y0, x0, y1, x1) = one, other
    return top < y1 and y0 < bottom and left < x1 and x0 < right


def test_instances_keep_their_ids(made: Path) -> None:
    """What has an id in two frames after another lies about where it was."""
    pairs = near = 0
    for name in ("lindenbach/lindenbach_000000", "ulmenhof/ulmenhof_000001"):
        labels = [made / f"gtFine/val/{name}_{t:06}_gtFine_instanceIds.png" for t in range(FRAMES)]
        frames = [boxes(read(path)) for path in labels]
        for before, after in pairwise(frames):
            both = before.keys() & after.keys()
            pairs += len(both)
            near += sum(meet(before[value], after[value]) for value in both)
    assert pairs > 100
    assert near > 0.95 * pairs  # narrow ones may move by more than their width


def test_ids_last_and_all_else_is_what_cityscapesscripts_makes(made: Path) -> None:
    stem = made / "gtFine/val/lindenbach/lindenbach_000000_000007_gtFine"
    annotation = Annotation()
    annotation.fromJsonFile(f"{stem}_polygons.json")
    counted = np.asarray(createInstanceImage(annotation, "ids"))
    lasting = read(Path(f"{stem}_instanceIds.png")).astype(int)
    pairs = set(zip(counted.ravel().tolist(), lasting.ravel().tolist(), strict=True))
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
    assert all(one == other if one < 1000 else one // 1000 == other // 1000 for one, other in pairs)
    objects = json.loads(Path(f"{stem}_polygons.json").read_text())["objects"]
    numbers = {26_000 + item["id"] for item in objects if item["label"] == "car"}
    assert set(lasting[lasting // 1000 == CAR]) <= numbers


def test_cityscapes_layout(made: Path) -> None:
    dataset = CityscapesSequences(str(made), "val")
    assert len(dataset) == 2 * FRAMES
    names = [record.sequence for record in dataset.records]
    assert names == ["lindenbach_000000"] * FRAMES + ["ulmenhof_000001"] * FRAMES
    sample = dataset[FRAMES + 1]
    assert sample["image_id"] == "ulmenhof_000001_000001"
    stem = made / "gtFine/val/ulmenhof/ulmenhof_000001_000001_gtFine"
    ids = read(Path(f"{stem}_instanceIds.png"))
    cars = {s.id for s in sample["segments"] if s.category == 13 and not s.iscrowd}
    assert cars == set(ids[ids // 1000 == CAR].tolist())


def test_kitti_step_layout(made: Path) -> None:
    maps = sorted((made / "panoptic_maps").rglob("*.png"))
    images = sorted((made / "images").rglob("*.png"))
    names = [f"val/{sequence:04}/{t:06}.png" for sequence in (0, 1) for t in range(FRAMES)]
    assert [str(path.relative_to(made / "panoptic_maps")) for path in maps] == names
    assert [str(path.relative_to(made / "images")) for path in images] == names
    stem = made / "gtFine/val/ulmenhof/ulmenhof_000001_000004_gtFine"
    expected = step_png(read(Path(f"{stem}_instanceIds.png")))
    assert (made / "panoptic_maps/val/0001/000004.png").read_bytes() == expected
    frame = KittiStep(str(made), "val")[FRAMES + 4]
    cars = {s.track_id for s in frame["segments"] if s.category == 13 and not s.iscrowd}
    ids = read(Path(f"{stem}_instanceIds.png"))
    assert cars == {value % 1000 + 1 for value in ids[ids // 1000 == CAR].tolist()}
    city = made / "leftImg8bit/val/ulmenhof/ulmenhof_000001_000004_leftImg8bit.png"
    np.testing.assert_array_equal(read(made / "images/val/0001/000004.png"), read(city))


def test_kitti_step_coding_by_eye() -> None:
    """Class in R, id in 256 G + B; people and cars alone have ids, from 1; void is 255."""
    ids = np.array([[UNLABELED, ROAD, CAR, 26_000, 26_300, 24_001, 28_000, CARAVAN * 1000]])
    assert np.asarray(Image.open(io.BytesIO(step_png(ids))))[0].tolist() == [
        [255, 0, 0],
        [0, 0, 0],
        [13, 0, 0],  # a group
        [13, 0, 1],
        [13, 1, 45],
        [11, 0, 2],
        [15, 0, 0],
        [255, 0, 0],
    ]


def test_what_lies_behind_the_camera_continues_its_plane() -> None:
    camera = Camera((100, 200), 100.0, (100.0, 50.0), 1.5)
    (x0, y0), (x1, y1) = (camera.project((4.0, 0.0, z)) for z in (20.0, 5.0))
    x, y = camera.moved(0, 10).project((4.0, 0.0, 5.0))  # behind
    assert (x, y) == (100 + 400 / CLIP, 50 + 150 / CLIP)
    assert (x - x0) / (y - y0) == pytest.approx((x1 - x0) / (y1 - y0))
    assert camera.moved(3, 2).project((3.0, 1.5, 6.0)) == (100.0, 50.0)
    assert camera.moved(3, 2).at_start == camera


def test_the_farthest_drive_still_has_a_street() -> None:
    world = World(0, "val", 0, 64, 128, in_motion=True)
    camera = world.camera.moved(0, make_scenes.MAX_FRAMES * 0.9)
    nobody = [[] for _ in world.actors]
    scene = world.render(camera, [camera] * len(nobody), nobody)
    labels = {item["label"] for item in scene.annotation["objects"]}
    assert {"road", "sidewalk", "sky"} <= labels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sequences", 0), "--sequences: expected 1..999999, got 0"),
        (("--sequences", 2, "--frames", 0), "--frames: expected 1..100, got 0"),
        (("--val", 2, "--frames", 101), "--frames: expected 1..100, got 101"),
        (
            ("--sequences", 2, "--train", 1),
            "--sequences 2 is short for --train 0 --val 2; with --t",
        ),
    ],
)
def test_bad_numbers_of_sequences_are_told_in_one_line(
    options: tuple, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert make(tmp_path / "sequences", *options) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


def test_sequences_to_learn_from(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = ("--train", 1, "--val", 0, "--frames", 2, "--height", 32, "--width", 64)
    assert make(tmp_path / "few", *options) == 0
    assert "1 training and 0 validation sequences of 2 frames" in capsys.readouterr().out
    assert len(list((tmp_path / "few/images/train/0000").iterdir())) == 2
    assert make(tmp_path / "few", *options, "--overwrite") == 0
