"""Actors that die cost no image and make none twice; what Ray cannot do is refused."""

from __future__ import annotations

import os
import pickle
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from drawn_checkpoint import drawn_image, write_checkpoint
from stress_ray import check
from stressing.actors import actors, cluster

from panoptic_deeplab import load_model
from panoptic_deeplab.cli.main import main
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.inference.options import LoadOptions
from panoptic_deeplab.inference.sources import find_images, open_source
from panoptic_deeplab.many_machines.rows import prediction_of
from panoptic_deeplab.many_machines.worker import Worker

IMAGES = 24

# Ray warns of several of its own settings when it copies them all.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in two folders, all different."""
    folder = tmp_path_factory.mktemp("images")
    for i in range(IMAGES):
        write_image(folder / str(i % 2) / f"{i}.png", drawn_image((64, 96), i))
    return folder


@pytest.fixture(scope="module")
def expected(model: Path, images: Path) -> Mapping[str, np.ndarray]:
    """The ids of each image, predicted in this process."""
    found = load_model(model, "cpu")
    return {image.name: found(image.path).ids for image in find_images(images)}


@pytest.fixture(scope="module")
def two_cores() -> Iterator[None]:
    with cluster(num_cpus=2):
        yield


def predict(model: Path, source: object, save_dir: Path, *flags: str) -> int:
    words = ["predict", "--model_path", str(model), "--image_path", str(source), "--device", "cpu"]
    return main([*words, "--save_dir", str(save_dir), "--engine", "ray", *flags])


def kill_one_at_the_first_result(results: Path, pattern: str, killed: list[int]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and not any(results.glob(pattern)):
        time.sleep(0.01)
    killed.append(min(actors()))
    os.kill(killed[0], signal.SIGKILL)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("form", ["parquet", "coco"])
def test_a_killed_actor_costs_no_image(
    form: str,
    two_cores: None,
    model: Path,
    images: Path,
    expected: Mapping[str, np.ndarray],
    tmp_path: Path,
) -> None:
    pattern = {"parquet": "parquet/*.parquet", "coco": "coco/panoptic/*/*.png"}[form]
    killed: list[int] = []
    killer = Thread(target=kill_one_at_the_first_result, args=(tmp_path, pattern, killed))
    killer.start()
    assert predict(model, images, tmp_path, "--format", form, "--actors", "2") == 0
    killer.join()
    assert killed
    check(tmp_path, form, expected)


@pytest.mark.timeout(240)
def test_a_broken_image_costs_itself_alone_and_is_made_up_for(
    two_cores: None, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    too_long = "l" * 250  # for its overlay's name
    for name in ("bad", "good", too_long):
        write_image(tmp_path / "images" / f"{name}.png", drawn_image((64, 96)))
    bad = tmp_path / "images" / "bad.png"
    content = bad.read_bytes()
    bad.write_bytes(b"no image")
    address = f"file://{tmp_path}/images"
    assert predict(model, address, tmp_path / "results", "--actors", "1") == 1
    said, errors = capsys.readouterr()
    assert re.search(r"1 images in .* reading .* rendering .* network .* writing", said)
    assert re.search(r"network and grouping: busy for \d+% of the time of all actors", said)
    assert "2 of 3 images failed" in errors
    assert f"{too_long}: its results cannot be written" in errors
    assert listed(tmp_path / "results") == ["good"]
    bad.write_bytes(content)
    assert predict(model, address, tmp_path / "results", "--actors", "1", "--skip_done") == 1
    assert "1 of 3 images are done already" in capsys.readouterr().out
    assert listed(tmp_path / "results") == ["bad", "good"]


def listed(folder: Path) -> list[str]:
    return [image["id"] for image in read_json(folder / "panoptic.json")["images"]]


def test_a_model_that_cannot_be_loaded_is_told_in_one_line(
    two_cores: None, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tmp_path / "nothing", images, tmp_path / "results") == 1
    assert "no such file or folder" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--engine", "ray", "--track"], "--track is not with --engine ray"),
        (["--engine", "ray", "--profile"], "--profile is not with --engine ray"),
        (["--engine", "ray", "--format", "parquet", "csv"], "--format parquet goes alone"),
        (["--format", "parquet"], "--format parquet goes alone, and with --engine ray"),
        (["--actors", "2"], "--actors is of --engine ray"),
    ],
)
def test_what_does_not_go_together_is_refused(
    flags: list[str],
    words: str,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save = ["--save_dir", str(tmp_path / "results")]
    assert main(["predict", "--model_path", "m", "--image_path", str(images), *save, *flags]) == 2
    assert words in capsys.readouterr().err


def test_ray_that_is_missing_is_told_in_one_line(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delitem(sys.modules, "panoptic_deeplab.many_machines.engine", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert predict(tmp_path, images, tmp_path / "results") == 2
    assert "pip install 'panoptic-deeplab[ray]'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def worker(model: Path) -> Worker:
    return Worker(model, options=LoadOptions("cpu"), batch_size=2)


@pytest.mark.parametrize("column", ["path", "bytes", "image"])
def test_a_worker_takes_paths_bytes_and_arrays(
    column: str, worker: Worker, images: Path, expected: Mapping[str, np.ndarray]
) -> None:
    files = find_images(images)[:3]
    columns = {
        "path": [str(file.path) for file in files],
        "bytes": [file.path.read_bytes() for file in files],
        "image": [file.read() for file in files],
    }
    rows = worker({"name": [file.name for file in files], column: columns[column]}).to_pylist()
    assert [row["name"] for row in rows] == [file.name for file in files]
    for row in rows:
        assert row["failure"] is None
        assert np.array_equal(prediction_of(row).ids, expected[row["name"]])


def test_a_worker_keeps_the_row_of_a_broken_image(worker: Worker) -> None:
    (row,) = worker({"path": ["a.png"], "bytes": [b"no image"]}).to_pylist()
    assert row["name"] == row["path"] == "a.png"
    assert row["ids"] is None
    assert "not a readable image" in row["failure"]


def test_a_worker_says_which_columns_it_takes(worker: Worker) -> None:
    with pytest.raises(DataError, match="a column bytes, image, path; got x"):
        worker({"x": [1]})


def test_images_of_a_store_are_found_as_those_of_a_folder(images: Path) -> None:
    (images / ".hidden.png").touch()
    found = open_source(f"file://{images}")
    assert found.names == sorted(image.name for image in find_images(images))
    by_name = {image.name: image for image in find_images(images)}
    for image in pickle.loads(pickle.dumps(found.images)):  # as they go to an actor
        assert image.version == by_name[image.name].version
        assert np.array_equal(image.read(), by_name[image.name].read())


def test_an_image_of_a_store_may_have_any_name(tmp_path: Path) -> None:
    write_image(tmp_path / "a b#c?d%41.png", drawn_image((8, 8)))
    (image,) = open_source(f"file://{tmp_path}").images
    assert image.read().shape == (8, 8, 3)
    assert str(image) == f"file://{tmp_path}/a b#c?d%41.png"
    (tmp_path / "a b#c?d%41.png").unlink()
    with pytest.raises(DataError, match=r"a b#c\?d%41.png: cannot be read"):
        image.read()


@pytest.mark.parametrize("path", ["/nowhere/at/all", "/proc/self/fdinfo"])
def test_a_store_without_images_is_told(path: str) -> None:
    with pytest.raises(DataError, match="holds no image"):
        open_source(f"file://{path}")
