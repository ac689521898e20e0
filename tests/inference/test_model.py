"""load_model and what it returns: one face for checkpoints and exports, images of any kind."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from conftest import TINY_CONFIG, TINY_TOP_DOWN_CONFIG
from PIL import Image

import panoptic_deeplab as pdl
from panoptic_deeplab.cli import export as export_tool
from panoptic_deeplab.cli import predict as predict_tool
from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import DataError, UsageError, UserError
from panoptic_deeplab.files import write_json
from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.inference.loading import load_predictor
from panoptic_deeplab.inference.location import locate_model
from panoptic_deeplab.inference.options import LoadOptions
from panoptic_deeplab.inference.sources import images as sources
from panoptic_deeplab.result import Result

ROOT = Path(__file__).parents[2]


def blocks(height: int, width: int, seed: int = 0) -> np.ndarray:
    """[H, W, 3] uint8: squares of 8 pixels in drawn colors."""
    coarse = np.random.default_rng(seed).integers(
        0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8
    )
    return coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


IMAGES = [blocks(64, 128), blocks(64, 128, 1), blocks(49, 33, 2), blocks(90, 150, 3)]
BATCHES = {"bottom_up": [3, 1], "top_down": [2, 1, 1]}
"""Of `IMAGES` that are of equal size after the transforms: bottom-up pads the first three alike."""


def save_checkpoint(folder: Path, config_text: str) -> Path:
    """A checkpoint folder with drawn weights; its data set is nowhere."""
    folder.mkdir()
    (folder / "config.yml").write_text(config_text)
    paddle.seed(4)
    config = Config(folder / "config.yml")
    if hasattr(config.model, "center_head"):  # centers need values above the threshold
        weight = config.model.center_head.predict.weight
        weight.set_value(weight * 30.0)
    paddle.save(config.model.state_dict(), str(folder / "model.pdparams"))
    write_json(folder / "dataset_info.json", config.info.to_dict())
    return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoint folders of both methods; their weights make things and stuff."""
    root = tmp_path_factory.mktemp("models")
    base = ROOT / "configs" / "efficientps" / "efficientps_b0_scenes.yml"
    top_down = TINY_TOP_DOWN_CONFIG.format(root=root / "nowhere", base=base)
    every_proposal = top_down.replace("train_proposals", "score_threshold: 0.0, train_proposals")
    return {
        "bottom_up": save_checkpoint(root / "bottom_up", TINY_CONFIG.format(root=root / "nowhere")),
        "top_down": save_checkpoint(root / "top_down", every_proposal),
    }


@pytest.fixture(scope="session")
def exports(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `whole` and `network`: the bottom-up model as ONNX with its grouping and without."""
    pytest.importorskip("paddle2onnx")
    root = tmp_path_factory.mktemp("exports")
    words = ["--model_path", str(checkpoints["bottom_up"]), "--device", "cpu", "--repeats", "1"]
    words += ["--config", str(checkpoints["bottom_up"] / "config.yml"), "--format", "onnx"]
    for name, more in (("whole", ["--with_postprocess"]), ("network", [])):
        assert export_tool.main([*words, "--save_dir", str(root / name), *more]) == 0
    return root


@pytest.fixture(scope="session")
def model(checkpoints: dict[str, Path]) -> pdl.Model:
    return pdl.load_model(checkpoints["bottom_up"], device="cpu")


def assert_same(found: Result, expected: Result, tolerance: float = 0.0) -> None:
    assert (found.ids != expected.ids).mean() <= tolerance
    assert (found.semantic != expected.semantic).mean() <= tolerance
    assert [(s.id, s.label) for s in found] == [(s.id, s.label) for s in expected]
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.score == pytest.approx(theirs.score, abs=5e-3 if tolerance else 1e-5)


# --- what is loaded ---


@pytest.mark.parametrize("method", BATCHES)
def test_a_checkpoint_folder_and_its_weights_are_one_model(
    method: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    folder = checkpoints[method]
    bare = tmp_path / "bare.pdparams"
    bare.write_bytes((folder / "model.pdparams").read_bytes())
    whole, beside, given = (
        pdl.load_model(folder, "cpu"),
        pdl.load_model(folder / "model.pdparams", "cpu"),
        pdl.load_model(bare, "cpu", config=folder / "config.yml"),
    )
    assert repr(whole) == "Model(Cityscapes, 19 classes)"
    expected = whole(IMAGES[0])
    assert any(segment.is_thing for segment in expected)
    assert whole.info.num_classes == 19
    assert_same(beside(IMAGES[0]), expected)
    assert_same(given(IMAGES[0]), expected)


@pytest.mark.parametrize("name", ["whole", "network"])
def test_an_export_is_the_same_model(name: str, exports: Path, model: pdl.Model) -> None:
    exported = pdl.load_model(exports / name, "cpu")
    assert exported.info == model.info
    for found, expected in zip(exported(IMAGES), model(IMAGES), strict=True):
        assert_same(found, expected, tolerance=1e-3)
    assert sum(exported.predictor.watch.seconds.values()) > 0


def test_an_export_with_its_grouping_runs_where_paddle_is_not_installed(
    exports: Path, tmp_path: Path
) -> None:
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    program = f"""
import sys
from panoptic_deeplab import environment
environment.PADDLE = ()  # as if none of its distributions were installed
import panoptic_deeplab
assert not {{"paddle", "cv2", "numpy"}} & sys.modules.keys(), "imported too early"
model = panoptic_deeplab.load_model({str(exports / "whole" / "model.onnx")!r})
result = model({str(tmp_path / "a.png")!r})
print(len(result), len(model([result.image, result.image])))
result.plot(), result.to_coco(), result.save_to_json({str(tmp_path)!r})
from panoptic_deeplab.cli import predict
words = ["--model_path", {str(exports / "whole")!r}, "--image_path", {str(tmp_path / "a.png")!r}]
assert predict.main([*words, "--save_dir", {str(tmp_path / "out")!r}]) == 0
assert "paddle" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 0
    assert (tmp_path / "out" / "panoptic" / "a.png").exists()


def test_loading_and_predicting_are_silent(checkpoints: dict[str, Path]) -> None:
    program = f"""
import numpy, panoptic_deeplab
model = panoptic_deeplab.load_model({str(checkpoints["bottom_up"])!r}, "cpu")
model(numpy.zeros((64, 128, 3), "uint8"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_exported_file_that_came_alone_describes_itself(
    runtime: str, exports: Path, tmp_path: Path, model: pdl.Model
) -> None:
    pytest.importorskip(runtime)
    shutil.copy(exports / "whole" / "model.onnx", tmp_path)
    files = locate_model(tmp_path / "model.onnx")
    exported = pdl.Model(load_predictor(files, LoadOptions(runtime=runtime)))
    assert exported.info == model.info
    assert_same(exported(IMAGES[0]), model(IMAGES[0]), tolerance=1e-3)


def test_the_package_offers_three_names() -> None:
    assert pdl.Model.__module__ == "panoptic_deeplab.inference.model"
    assert pdl.Result is Result
    with pytest.raises(AttributeError, match="has no attribute 'load_modell'"):
        pdl.load_modell  # noqa: B018


# --- batches ---


@pytest.mark.parametrize("method", BATCHES)
def test_a_batch_equals_its_images_one_by_one(
    method: str, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = pdl.load_model(checkpoints[method], "cpu")
    alone = [model(image) for image in IMAGES]
    sizes: list[int] = []
    run = model.predictor.predict_batch
    monkeypatch.setattr(
        model.predictor,
        "predict_batch",
        lambda images, frames: sizes.append(len(images)) or run(images, frames),
    )
    for together, expected in zip(model(IMAGES), alone, strict=True):
        assert_same(together, expected)
    assert sizes == BATCHES[method], "images of equal input size go through the network together"
    sizes.clear()
    for together, expected in zip(model.predict(IMAGES, batch_size=2), alone, strict=True):
        assert_same(together, expected)
    assert sizes == [2, 1, 1]


def test_a_batch_of_an_export_equals_its_images_one_by_one(exports: Path) -> None:
    model = pdl.load_model(exports / "whole")
    for together, image in zip(model(IMAGES), IMAGES, strict=True):
        assert_same(together, model(image))


def test_the_command_writes_the_same_in_batches(
    checkpoints: dict[str, Path], tmp_path: Path, model: pdl.Model
) -> None:
    for i, image in enumerate(IMAGES):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "in" / f"{i}.png")
    (tmp_path / "in" / "1b.png").write_text("no image")
    words = ["--model_path", str(checkpoints["bottom_up"]), "--image_path", str(tmp_path / "in")]
    words += ["--device", "cpu", "--save_dir", str(tmp_path / "out"), "--batch_size", "3"]
    assert predict_tool.main(words) == 1  # one is broken, the others are there
    for i, image in enumerate(IMAGES):
        ids = read_ids(tmp_path / "out" / "panoptic" / f"{i}.png")
        np.testing.assert_array_equal(ids, model(image).ids)


@pytest.mark.parametrize("kind", ["a checkpoint", "an export"])
def test_two_processes_share_the_images(
    kind: str, checkpoints: dict[str, Path], exports: Path, tmp_path: Path
) -> None:
    model_path = checkpoints["bottom_up"] if kind == "a checkpoint" else exports / "whole"
    (tmp_path / "in").mkdir()
    for i in range(5):
        Image.fromarray(blocks(64, 128, i)).save(tmp_path / "in" / f"{i}.png")
    (tmp_path / "list.txt").write_text("in/0.png\nin/3.png\n")
    flags = ["--model_path", model_path, "--save_dir", tmp_path / "out"]
    assert predict_tool.main([*map(str, flags), "--image_path", str(tmp_path / "list.txt")]) == 0
    launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
    words = ["--log_dir", tmp_path / "log", "predict.py", *flags, "--skip_done"]
    words += ["--image_path", tmp_path / "in", "--batch_size", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    logs = [path.read_text() for path in sorted((tmp_path / "log").glob("workerlog.*"))]
    assert "2 of 5 images are done already" in logs[0]
    assert "2 images in" in logs[0]
    assert "images in" not in logs[1]
    annotations = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    assert [annotation["file_name"] for annotation in annotations] == [f"{i}.png" for i in range(5)]


# --- what a model is given ---


def png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


GRAY = IMAGES[0][..., 0]
KINDS: dict[str, tuple[Callable[[Path], Any], str, np.ndarray]] = {
    "a path": (lambda folder: folder / "a.png", "rgb", IMAGES[0]),
    "a path as text": (lambda folder: str(folder / "a.png"), "rgb", IMAGES[0]),
    "a URL": (lambda folder: "https://example.test/a.png", "rgb", IMAGES[0]),
    "bytes": (lambda folder: png(IMAGES[0]), "rgb", IMAGES[0]),
    "a bytearray": (lambda folder: bytearray(png(IMAGES[0])), "rgb", IMAGES[0]),
    "a Pillow image": (lambda folder: Image.fromarray(IMAGES[0]), "rgb", IMAGES[0]),
    "a gray Pillow image": (lambda folder: Image.fromarray(GRAY), "rgb", np.dstack([GRAY] * 3)),
    "an array": (lambda folder: IMAGES[0], "rgb", IMAGES[0]),
    "an array in OpenCV's order": (lambda folder: IMAGES[0][..., ::-1], "bgr", IMAGES[0]),
    "a gray array": (lambda folder: GRAY, "bgr", np.dstack([GRAY] * 3)),
    "a gray array with an axis": (lambda folder: GRAY[..., None], "rgb", np.dstack([GRAY] * 3)),
    "an RGBA array": (lambda folder: np.dstack([IMAGES[0], GRAY]), "rgb", IMAGES[0]),
    "a BGRA array": (lambda folder: np.dstack([IMAGES[0][..., ::-1], GRAY]), "bgr", IMAGES[0]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_any_kind(
    kind: str, model: pdl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(png(IMAGES[0]))
    monkeypatch.setattr(sources, "read_url", lambda url, hint: png(IMAGES[0]))
    make, color, pixels = KINDS[kind]
    result = model(make(tmp_path), color=color)
    np.testing.assert_array_equal(result.image, pixels)
    assert result.image.flags.c_contiguous
    assert result.path == (tmp_path / "a.png" if "path" in kind else None)
    assert result.frame_index is None
    assert_same(result, model(pixels))


def test_a_list_gives_a_list_in_its_order(model: pdl.Model, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(IMAGES[2]))
    results = model([IMAGES[0], tmp_path / "a.png", png(IMAGES[1])])
    assert [result.image.shape for result in results] == [(64, 128, 3), (49, 33, 3), (64, 128, 3)]
    assert [result.path for result in results] == [None, tmp_path / "a.png", None]
    assert [result.frame_index for result in results] == [0, None, 2]
    assert model([]) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, one below a folder, and a file that is none."""
    (tmp_path / "below").mkdir()
    for name, image in zip(("a.png", "b.png", "below/c.png"), IMAGES, strict=False):
        (tmp_path / name).write_bytes(png(image))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


SOURCES: dict[str, tuple[Callable[[Path], Any], list[str | None]]] = {
    "a folder": (lambda folder: folder, ["a.png", "b.png", "c.png"]),
    "a pattern": (lambda folder: f"{folder}/[ab].png", ["a.png", "b.png"]),
    "a file": (lambda folder: str(folder / "b.png"), ["b.png"]),
    "a list": (lambda folder: [folder / "b.png", IMAGES[0]], ["b.png", None]),
    "a generator": (lambda folder: (image for image in IMAGES[:2]), [None, None]),
    "an array of images": (lambda folder: np.stack(IMAGES[:2]), [None, None]),
    "one array": (lambda folder: IMAGES[0], [None]),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_images_of_a_source(kind: str, batch_size: int, model: pdl.Model, folder: Path) -> None:
    make, names = SOURCES[kind]
    results = list(model.predict(make(folder), batch_size=batch_size))
    assert [result.path and result.path.name for result in results] == names


def test_nothing_is_read_before_it_is_needed(model: pdl.Model) -> None:
    read: list[int] = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            read.append(len(read))
            yield IMAGES[0]

    results = model.predict(endless())
    assert read == []
    assert [next(results).frame_index for _ in range(3)] == [0, 1, 2]
    assert len(read) == 3


def test_a_broken_image_comes_after_those_before_it(model: pdl.Model, folder: Path) -> None:
    (folder / "b.png").write_text("no image")
    results = model.predict(folder, batch_size=3)
    assert next(results).path == folder / "a.png"
    with pytest.raises(DataError, match=r"b\.png: not a readable"):
        next(results)


# --- what is refused ---

REFUSED: dict[str, tuple[Callable[[pdl.Model, Path], Any], type[UserError], str]] = {
    "an empty path": (
        lambda m, f: m(""),
        UsageError,
        "an image, a folder of images, a pattern or a video",
    ),
    "no file": (lambda m, f: m(f / "none.png"), DataError, "none.png: no such file"),
    "a folder for an image": (lambda m, f: m(f), DataError, "expected a file, got a folder"),
    "no image": (lambda m, f: m(f / "notes.txt"), DataError, "notes.txt: not a readable"),
    "bytes of something else": (lambda m, f: m(b"abc"), DataError, "image of 3 bytes: not a read"),
    "a number": (lambda m, f: m(7), DataError, "expected an image as a path, an https URL, bytes"),
    "fractions": (
        lambda m, f: m(np.zeros((4, 5, 3))),
        DataError,
        "expected an image [H, W, 3], [H, W, 4] or [H, W] of uint8, got float64 [4, 5, 3]",
    ),
    "two channels": (lambda m, f: m(np.zeros((4, 5, 2), np.uint8)), DataError, "uint8 [4, 5, 2]"),
    "no pixel": (lambda m, f: m(np.zeros((0, 5, 3), np.uint8)), DataError, "uint8 [0, 5, 3]"),
    "an order of colors": (lambda m, f: m(IMAGES[0], color="hsv"), UsageError, "rgb or bgr"),
    "an unsafe URL": (
        lambda m, f: m("http://example.test/a.png"),
        DataError,
        "only https is fetched, not http",
    ),
    "floating-point values": (
        lambda m, f: m(Image.new("F", (4, 4))),
        DataError,
        "image of mode F: cannot be used (floating-point values",
    ),
    "a batch of none": (
        lambda m, f: list(m.predict(f, batch_size=0)),
        UsageError,
        "batch_size must be at least 1, got 0",
    ),
    "an empty folder": (
        lambda m, f: list(m.predict(f / "below" / "empty")),
        DataError,
        "empty: holds no image; expected an image, a folder of images, a pattern",
    ),
    "nothing there": (lambda m, f: list(m.predict(f / "*.jpg")), DataError, "there is nothing"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_input_is_told_in_one_line(kind: str, model: pdl.Model, folder: Path) -> None:
    (folder / "below" / "empty").mkdir()
    call, error, message = REFUSED[kind]
    with pytest.raises(error) as caught:
        call(model, folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def spoil_weights(folder: Path) -> None:
    (folder / "model.pdparams").write_text("no weights")


def spoil_config(folder: Path) -> None:
    (folder / "config.yml").write_text("modell: {}")


MODELS: dict[str, tuple[Callable[[Path], Any], str, type[UserError], str]] = {
    "damaged weights": (spoil_weights, "cpu", DataError, "model.pdparams"),
    "a wrong configuration": (
        spoil_config,
        "cpu",
        UsageError,
        "unknown key 'modell' (did you mean",
    ),
    "no configuration": (
        lambda folder: (folder / "config.yml").unlink(),
        "cpu",
        UsageError,
        "no config.yml lies beside these weights; give the configuration",
    ),
    "a GPU that is not there": (lambda folder: None, "gpu", UsageError, "sees no GPU"),
    "no device": (lambda folder: None, "tpu", UsageError, "expected auto, cpu, gpu, got 'tpu'"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_that_cannot_be_used_is_told_in_one_line(
    kind: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    spoil, device, error, message = MODELS[kind]
    folder = tmp_path / "model"
    folder.mkdir()
    for path in checkpoints["bottom_up"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    spoil(folder)
    with pytest.raises(error) as caught:
        pdl.load_model(folder, device)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# --- the command beside Python ---


def run_predict(model_path: Path, folder: Path, *more: str) -> int:
    words = ["--model_path", str(model_path), "--image_path", str(folder / "a.png")]
    return predict_tool.main([*words, "--save_dir", str(folder / "out"), *more])


SAME_WORDS = {
    "no image": ("", "none.png"),
    "an empty path": ("", ""),
    "something else than an image": ("", "notes.txt"),
    "no model": ("nowhere", "a.png"),
    "a folder without a model": ("below", "a.png"),
}


@pytest.mark.parametrize("kind", SAME_WORDS)
def test_python_raises_what_the_command_says(
    kind: str, checkpoints: dict[str, Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_name, image_name = SAME_WORDS[kind]
    model_path = folder / model_name if model_name else checkpoints["bottom_up"]
    image_path = str(folder / image_name) if image_name else ""
    words = ["--model_path", str(model_path), "--image_path", image_path, "--device", "cpu"]
    assert predict_tool.main([*words, "--save_dir", str(folder / "out")]) != 0
    with pytest.raises(UserError) as caught:
        list(pdl.load_model(model_path, "cpu").predict(image_path))
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert str(caught.value) in said


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--threshold", "0.2"], "holds its post-processing, which --threshold cannot change"),
        (["--top_k", "3"], "which --top_k cannot change"),
        (["--opts", "postprocessor.top_k=3"], "which --opts cannot change"),
        (["--aug_eval"], "which --aug_eval cannot change"),
    ],
)
def test_an_export_with_its_grouping_takes_no_other(
    more: list[str],
    message: str,
    exports: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_predict(exports / "whole", folder, *more) == 2
    assert message in capsys.readouterr().err


def test_an_exported_network_takes_another_grouping(
    exports: Path, folder: Path, model: pdl.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_predict(exports / "network", folder, "--device", "cpu", "--threshold", "1") == 0
    ids = read_ids(folder / "out" / "panoptic" / "a.png")
    assert len(np.unique(ids)) < len(np.unique(model(folder / "a.png").ids)), "no center is left"
    capsys.readouterr()
    assert run_predict(exports / "network", folder, "--opts", "postprocessor.top_k=3") == 2
    assert "--opts change a configuration; give it by --config" in capsys.readouterr().err
