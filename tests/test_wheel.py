"""A wheel, installed where there is no clone: from labels to predictions of an exported file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
SOURCES = ("panoptic_deeplab", "configs", "pyproject.toml", "setup.py", "LICENSE")
WIDTH, HEIGHT = 128, 64
TINY_CONFIG = """
batch_size: 2
iters: 3
train_dataset: {type: CocoPanoptic, dataset_root: data/own, mode: train, transforms: [
  {type: RandomPaddingCrop, crop_size: [128, 64]}, {type: RandomHorizontalFlip}]}
val_dataset: {type: CocoPanoptic, dataset_root: data/own, mode: val}
targets: {type: CenterOffsetTargets, sigma: 3, small_instance_area: 100}
model: {type: PanopticDeepLabLite, channels: [4, 4, 4, 4, 4], blocks: [0, 0, 1, 1],
  semantic_channels: [4, 4, 4, 4], instance_channels: [4, 4, 4]}
criterion: {type: PanopticDeepLabLoss, stride: 2}
optimizer: {type: Adam}
lr_scheduler: {type: PolynomialDecay, learning_rate: 1e-3, power: 0.9, end_lr: 0.0}
postprocessor: {type: CenterGrouping, min_stuff_area: 16}
"""

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the project is built from, without what earlier builds may have left."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build an sdist or a wheel without the network."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the unpacked sdist as an installer without wheels does."""
    folder = tmp_path_factory.mktemp("dist")
    with tarfile.open(build("sdist", sources, folder)) as sdist:
        sdist.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return build("wheel", unpacked, folder)


def test_the_wheel_holds_the_whole_package_and_the_configurations(
    wheel: Path, sources: Path
) -> None:
    package = {
        path.relative_to(sources).as_posix()
        for path in (sources / "panoptic_deeplab").rglob("*")
        if path.is_file()
    }
    configs = {
        f"panoptic_deeplab/{path.relative_to(sources).as_posix()}"
        for path in (sources / "configs").rglob("*.yml")
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert "panoptic_deeplab/configs/own_data.yml" in configs
    assert held == package | configs


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the locked packages, from which no clone can be seen.

    The locked packages' folder is put on the path as it is: the `.pth` files in it, one of which
    leads to this clone, are not read.
    """
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    (site_packages,) = environment.glob("lib/python3*/site-packages")
    locked = Path(np.__file__).parents[1]
    (site_packages / "locked.pth").write_text(f"{locked}\n")
    bundled = Path(sys.prefix) / "lib" / "libgomp.so.1"
    if bundled.exists():  # `make setup` put it there for a machine that has none
        line = f"import ctypes; ctypes.CDLL({str(bundled)!r})\n"
        (site_packages / "bundled_openmp.pth").write_text(line)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    return environment


@pytest.fixture(scope="module")
def workplace(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labeled images and a configuration for them, far from the clone."""
    folder = tmp_path_factory.mktemp("workplace")
    for index in range(6):
        write_labeled_image(folder, "val" if index % 3 == 0 else "train", index)
    (folder / "tiny.yml").write_text(TINY_CONFIG)
    return folder


def write_labeled_image(folder: Path, split: str, index: int) -> None:
    """A gray road under a blue sky with two red carts, and what labelme says of it."""
    images, labels = folder / "data" / "own" / "images" / split, folder / "labels" / split
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    name, left = f"{split}_{index}", 5 + 10 * index
    boxes = [
        ("sky", 0, 0, WIDTH, HEIGHT // 2),
        ("road", 0, HEIGHT // 2, WIDTH, HEIGHT),
        ("cart", left, 24, left + 20, 44),
        ("cart", left + 40, 30, left + 60, 55),
    ]
    colors = {"sky": (120, 160, 230), "road": (90, 90, 90), "cart": (200, 40, 40)}
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for label, x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = colors[label]
    Image.fromarray(image).save(images / f"{name}.png")
    shapes = [
        {"label": label, "shape_type": "rectangle", "points": [[x0, y0], [x1, y1]]}
        for label, x0, y0, x1, y1 in boxes
    ]
    content = {
        "imagePath": f"{name}.png",
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        "shapes": shapes,
    }
    (labels / f"{name}.json").write_text(json.dumps(content))


def run(installed: Path, workplace: Path, *command: str) -> str:
    """Run a program of the environment in the folder; return what it printed."""
    settings = {"OMP_NUM_THREADS": "1", "PATH": f"{installed}/bin:{os.environ['PATH']}"}
    clean = {key: os.environ[key] for key in os.environ if not key.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=workplace, env=clean | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def trained(installed: Path, workplace: Path) -> Path:
    """The folder of a training on converted labels, by the command alone."""
    for split in ("train", "val"):
        words = f"convert from-labelme --folder labels/{split} --images data/own/images/{split} "
        words += "--things cart --stuff road,sky --save_dir data/own/annotations"
        words += f" --name panoptic_{split} --num_workers 1"
        run(installed, workplace, "panoptic-deeplab", *words.split())
    # The launcher takes the command as it takes a script; here it starts one process.
    words = "python -m paddle.distributed.launch --log_dir logs panoptic-deeplab train "
    words += "--config tiny.yml --device cpu --do_eval --save_interval 2 --save_dir output"
    run(installed, workplace, *words.split())
    return workplace / "output"


def test_the_clone_cannot_be_seen(installed: Path, workplace: Path) -> None:
    code = "import panoptic_deeplab; print(panoptic_deeplab.__file__)"
    assert run(installed, workplace, "python", "-c", code).startswith(str(installed))


def test_the_data_set_is_checked_with_a_shipped_configuration(
    installed: Path, workplace: Path, trained: Path
) -> None:
    told = run(installed, workplace, "panoptic-deeplab", "check", "--config", "own_data")
    assert "cart" in told


@pytest.fixture(scope="module")
def exported(installed: Path, workplace: Path, trained: Path) -> Path:
    """The folder of an export of the trained model."""
    words = "export --model_path output/best_model --device cpu --format onnx "
    words += "--with_postprocess --save_dir output/onnx"
    run(installed, workplace, "panoptic-deeplab", *words.split())
    return workplace / "output" / "onnx"


def test_from_training_to_an_exported_file_by_the_command(
    installed: Path, workplace: Path, exported: Path
) -> None:
    steps = [
        "val --model_path output/best_model --device cpu --json scores.json",
        "predict --model_path output/best_model --device cpu --image_path data/own/images/val "
        "--save_dir output/trained",
        "predict --model_path output/onnx --image_path data/own/images/val "
        "--save_dir output/exported",
        "val --model_path output/onnx --config tiny.yml --json exported.json",
    ]
    for words in steps:
        run(installed, workplace, "panoptic-deeplab", *words.split())
    scores, exported_scores = (
        json.loads((workplace / name).read_text()) for name in ("scores.json", "exported.json")
    )
    assert scores["All"] == exported_scores["All"]
    assert 0 <= scores["All"]["pq"] <= 1
    for name in ("val_0", "val_3"):
        ids = [
            np.asarray(Image.open(workplace / "output" / way / "panoptic" / f"{name}.png"))
            for way in ("trained", "exported")
        ]
        assert ids[0].shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_array_equal(*ids)


def test_the_whole_way_by_python(installed: Path, workplace: Path) -> None:
    run(installed, workplace, "python", str(ROOT / "tests" / "programs" / "whole_way.py"))


def test_an_exported_file_needs_no_paddle(installed: Path, workplace: Path, exported: Path) -> None:
    code = (
        "import sys, panoptic_deeplab as pdl; result = pdl.load_model('output/onnx')"
        "('data/own/images/val/val_0.png'); print(result.ids.shape, 'paddle' in sys.modules)"
    )
    assert run(installed, workplace, "python", "-c", code) == f"({HEIGHT}, {WIDTH}) False\n"
