"""Exported files agree with the model they were made of, and say what they cannot do."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from drawn_checkpoint import SAMPLE, drawn_image, write_checkpoint
from PIL import Image
from same_predictions import assert_equal

from panoptic_deeplab.config import Config
from panoptic_deeplab.deployment import PANOPTIC_OUTPUTS, Deployment, read_deployment
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.export import exporting
from panoptic_deeplab.export.plan import ExportPlan
from panoptic_deeplab.formats.images import read_ids, write_image
from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.inference.model import load_model
from panoptic_deeplab.normalization import Normalization
from panoptic_deeplab.runtimes.sessions import usable_threads
from panoptic_deeplab.tiles import Tiling
from panoptic_deeplab.transforms import Padding

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("paddle2onnx")

from panoptic_deeplab.cli import export as export_tool  # noqa: E402
from panoptic_deeplab.cli import predict as predict_tool  # noqa: E402
from panoptic_deeplab.export.onnx_grouping import grouping, preparation  # noqa: E402
from panoptic_deeplab.export.quantization import quantized  # noqa: E402
from panoptic_deeplab.inference.exported import (  # noqa: E402
    ExportedModel,
    ExportedPredictor,
    prediction_of,
)

RUNNER = Path(__file__).parents[2] / "tools" / "deploy" / "run_onnx.py"
SIZES = [(64, 128), (80, 150), (49, 33)]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A configuration, and the folder with the weights."""
    folder = tmp_path_factory.mktemp("export") / "checkpoint"
    folder.mkdir()
    return write_checkpoint(folder), folder


def run_export(checkpoint: tuple[Path, Path], target: Path, *more: str) -> int:
    words = ["--model_path", str(checkpoint[1]), "--device", "cpu"]
    words += ["--save_dir", str(target), "--repeats", "1", "--image", str(checkpoint[1] / SAMPLE)]
    return export_tool.main([*words, *more])


@pytest.fixture(scope="session")
def whole(checkpoint: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file with the grouping."""
    folder = tmp_path_factory.mktemp("export") / "whole"
    assert run_export(checkpoint, folder, "--format", "onnx", "--with_postprocess") == 0
    return folder


@pytest.fixture(scope="session")
def plain(
    checkpoint: tuple[Path, Path], whole: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An ONNX file of the network alone, made of the program that `whole` was made of."""
    folder = tmp_path_factory.mktemp("export") / "plain"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "write_program", lambda target, *_: copy_program(whole, target))
        assert run_export(checkpoint, folder, "--format", "onnx") == 0
    return folder


def copy_program(source: Path, target: Path) -> None:
    for path in source.glob("inference.*"):
        shutil.copy(path, target)


@pytest.fixture(scope="session")
def predictor(checkpoint: tuple[Path, Path]) -> Predictor:
    config = Config(checkpoint[0])
    config.model.set_state_dict(paddle.load(str(checkpoint[1] / "model.pdparams")))
    parts = (config.preprocess, config.val_transforms, config.postprocessor, config.info)
    return Predictor(config.model, *parts)


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_the_file_agrees_with_prediction_at_any_size_and_batch(
    size: tuple[int, int], whole: Path, predictor: Predictor
) -> None:
    exported = ExportedModel(whole / "model.onnx", "onnxruntime")
    images = [drawn_image(size, seed) for seed in range(3)]
    for batch in (images[:1], images):
        outputs = exported.run(np.stack(batch))
        for i, image in enumerate(batch):
            (expected,) = predictor.predict([image])
            assert any(segment.is_thing for segment in expected.segments)
            assert_equal(prediction_of(outputs, i, exported.deployment, "file"), expected)


def test_openvino_runs_the_file(whole: Path, predictor: Predictor) -> None:
    pytest.importorskip("openvino")
    exported = ExportedModel(whole / "model.onnx", "openvino")
    for batch, size in ((1, SIZES[0]), (3, SIZES[1])):
        images = [drawn_image(size, seed) for seed in range(batch)]
        outputs = exported.run(np.stack(images))
        for i, image in enumerate(images):
            found = prediction_of(outputs, i, exported.deployment, "file")
            assert_equal(found, predictor.predict([image])[0], tolerance=1e-3)


def test_an_image_larger_than_a_tile_is_joined_from_tiles(whole: Path) -> None:
    """Each pixel that one tile alone sees has the class that the file gives it in that tile."""
    exported = ExportedModel(whole / "model.onnx", "onnxruntime")
    image = drawn_image((75, 200))
    tiling = Tiling((64, 128), 32)
    (found,) = ExportedPredictor(exported, tiling).predict([image])
    assert found.ids.shape == (75, 200)
    assert sum(segment.area for segment in found.segments) == (found.ids > 0).sum()
    for tile in tiling.tiles(image.shape[:2]):
        (alone,) = ExportedPredictor(exported).predict([image[tile.window]])
        top, left, bottom, right = tile.own
        own = alone.labels[top - tile.box[0] : bottom - tile.box[0],
                           left - tile.box[1] : right - tile.box[1]]  # fmt: skip
        np.testing.assert_array_equal(found.labels[top:bottom, left:right], own)


@pytest.mark.parametrize("form", ["whole", "plain"])
def test_predict_writes_the_same_with_the_file(
    form: str, checkpoint: tuple[Path, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source = tmp_path / "scene.png"
    write_image(source, drawn_image((60, 100)))
    words = ["--config", str(checkpoint[0]), "--device", "cpu", "--image_path", str(source)]
    for name, model in (("a", checkpoint[1]), ("b", request.getfixturevalue(form))):
        target = ["--model_path", str(model), "--save_dir", str(tmp_path / name)]
        assert predict_tool.main([*words, *target]) == 0
    first, second = (tmp_path / name for name in "ab")
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    assert files == sorted(path.relative_to(second) for path in second.rglob("*.*"))
    ids = [read_ids(folder / "panoptic" / "scene.png") for folder in (first, second)]
    assert ids[0].max() > 0
    assert (ids[0] == ids[1]).mean() > 0.9999


def test_what_is_written(whole: Path, plain: Path) -> None:
    names = ["deploy.yaml", "inference.json", "inference.pdiparams", "model.onnx"]
    assert sorted(path.name for path in whole.iterdir()) == names
    deployment = read_deployment(whole)
    assert deployment.with_postprocess
    assert not read_deployment(plain).with_postprocess
    assert deployment.min_size == (80, 144)  # the configuration's padding
    assert Deployment.from_dict(deployment.to_dict(), "again") == deployment


def test_a_paddle_program_with_the_grouping(
    checkpoint: tuple[Path, Path], tmp_path: Path, predictor: Predictor
) -> None:
    assert run_export(checkpoint, tmp_path / "program", "--with_postprocess") == 0
    program = paddle.jit.load(str(tmp_path / "program" / "inference"))
    values = [value.numpy() for value in program(paddle.to_tensor(drawn_image(SIZES[1])[None]))]
    outputs = dict(zip(PANOPTIC_OUTPUTS, values, strict=True))
    deployment = read_deployment(tmp_path / "program")
    found = prediction_of(outputs, 0, deployment, "program")
    assert_equal(found, predictor.predict([drawn_image(SIZES[1])])[0])


def test_eight_bits(plain: Path) -> None:
    inputs = (np.random.default_rng(i).random((1, 3, 80, 144), np.float32) for i in range(2))
    network = onnx.load(str(plain / "model.onnx"))
    small = quantized(network, inputs, 1)
    assert any(node.op_type == "QuantizeLinear" for node in small.graph.node)
    session = onnxruntime.InferenceSession(small.SerializeToString())
    image = np.random.default_rng(0).random((2, 3, 64, 96), np.float32)
    expected = ExportedModel(plain / "model.onnx").run(image)["semantic"]
    found = session.run(["semantic"], {"image": image})[0]
    assert 0 < abs(found - expected).mean() < 0.2 * expected.std()


def test_the_runner_needs_neither_paddle_nor_the_package(whole: Path, tmp_path: Path) -> None:
    source = tmp_path / "scene.png"
    write_image(source, drawn_image((60, 100)))
    blocked = "import sys; sys.modules.update({'paddle': None, 'panoptic_deeplab': None}); "
    words = ["--model", str(whole / "model.onnx"), "--image", str(source)]
    code = (
        f"{blocked}import runpy; sys.argv = {['run_onnx.py', *words, '--save_dir', 'out']!r}; "
        f"runpy.run_path({str(RUNNER)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    segments = json.loads((tmp_path / "out" / "scene.json").read_text())["segments_info"]
    ids = read_ids(tmp_path / "out" / "scene_ids.png")
    areas = np.bincount(ids.ravel(), minlength=len(segments) + 1)
    assert [segment["area"] for segment in segments] == areas[1:].tolist()
    assert len(RUNNER.read_text().splitlines()) <= 150


def stored_images(folder: Path) -> None:
    """Images of all kinds, in a subfolder too, with equal stems, and what is none."""
    drawn = Image.fromarray(drawn_image((60, 100)))
    gray = np.asarray(drawn.convert("L"))
    turned = Image.Exif()
    turned[0x0112] = 6
    (folder / "more" / "\u8857").mkdir(parents=True)
    drawn.save(folder / "a.jpg", exif=turned)
    drawn.save(folder / "a.PNG", exif=turned)
    drawn.save(folder / "a_png.bmp")
    drawn.save(folder / "more" / "a.webp")
    drawn.save(folder / "more" / "\u8857" / "a.b.tif", exif=turned)
    drawn.convert("CMYK").save(folder / "cmyk.jpg")
    drawn.quantize(16).save(folder / "palette.png")
    drawn.convert("LA").save(folder / "gray_alpha.png")
    drawn.convert("1").save(folder / "bits.png")
    Image.fromarray(gray.astype(np.uint16) * 257).save(folder / "gray16.png")
    Image.fromarray(gray.astype(np.uint16) << 4).save(folder / "gray12.tif")
    Image.fromarray(gray.astype(np.int32) << 16).save(folder / "gray24.tif")
    write_image(folder / "colors12.png", drawn_image((60, 100)).astype(np.uint16) << 4)
    (folder / "broken.png").write_bytes((folder / "a.PNG").read_bytes()[:-200])
    Image.fromarray(gray.astype(np.float32)).save(folder / "float.tif")
    (folder / "notes.txt").write_text("no image")


def test_the_runner_gives_the_ids_of_predict(whole: Path, tmp_path: Path) -> None:
    stored_images(tmp_path / "in")
    model, out = str(whole / "model.onnx"), tmp_path / "in" / "out"
    words = ["--model", model, "--image", str(tmp_path / "in"), "--save_dir", str(out)]
    for _ in range(2):  # the second time without the results of the first
        done = subprocess.run(
            [sys.executable, str(RUNNER), *words], capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    *skipped, last = done.stderr.splitlines()
    assert sorted(line.split(":")[1].rsplit("/")[-1] for line in skipped) == [
        "broken.png",
        "float.tif",
    ]
    assert last == "error: 2 of 15 images failed"
    names = ["a_jpg", "a_PNG", "a_png", "more/a", "more/\u8857/a.b", "colors12", "gray24"]
    names += ["cmyk", "palette", "gray_alpha", "bits", "gray16", "gray12"]
    written = {path.relative_to(out).as_posix() for path in out.rglob("*_ids.png")}
    assert written == {f"{name}_ids.png" for name in names}
    out = out.rename(tmp_path / "out")
    words = ["--model_path", model, "--image_path", str(tmp_path / "in"), "--device", "cpu"]
    assert predict_tool.main([*words, "--save_dir", str(out), "--format", "coco"]) == 1
    for name in names:
        expected = read_ids(out / "coco" / "panoptic" / f"{name}.png")
        np.testing.assert_array_equal(read_ids(out / f"{name}_ids.png"), expected, name)
        assert expected.any()


def dark(normalization: Normalization, *rest: Any) -> Any:
    first, *others = normalization.mean
    return preparation(Normalization((first - 0.4, *others), normalization.std), *rest)


def cold(settings: GroupingSettings, opset: int) -> Any:
    return grouping(dataclasses.replace(settings, min_stuff_area=1 << 30), opset)


@pytest.mark.parametrize(
    ("step", "wrong", "message"),
    [("preparation", dark, "semantic differs by"), ("grouping", cold, "its grouping gives")],
)
def test_a_file_that_does_not_agree_is_not_written(
    step: str,
    wrong: Callable[..., Any],
    message: str,
    checkpoint: tuple[Path, Path],
    plain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """The network is taken from another export, which saves the time of the converter."""
    monkeypatch.setattr(exporting, "write_program", lambda *_: None)
    monkeypatch.setattr(f"panoptic_deeplab.export.onnx_file.{step}", wrong)
    monkeypatch.setattr(
        "panoptic_deeplab.runtimes.conversion.convert_program",
        lambda *_: onnx.load(str(plain / "model.onnx")),
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deploy.yaml").write_text("of an earlier export")
    words = ["--format", "onnx", "--with_postprocess"]
    assert run_export(checkpoint, tmp_path / "out", *words) != 0
    error = capsys.readouterr().err
    assert "not written, as it would not agree" in error
    assert message in error
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["deploy.yaml"]


# --- what goes wrong -------------------------------------------------------------------------


BAD_EXPORTS = {
    "unknown transform": (
        ["--opts", "val_dataset.transforms=[{type: Resize}]"],
        "Resize in val_dataset.transforms cannot be exported",
    ),
    "opset": (["--format", "onnx", "--opset", "10"], "--opset must be in 11..21"),
    "int8 without images": (["--format", "onnx", "--int8"], "--int8 needs"),
    "images without int8": (["--calibration", "x"], "does nothing without --int8"),
}


@pytest.mark.parametrize("name", BAD_EXPORTS)
def test_a_wrong_export_leaves_one_line_and_no_file(
    name: str, checkpoint: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    more, message = BAD_EXPORTS[name]
    assert run_export(checkpoint, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_export_is_not_exported(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["--model_path", str(whole), "--save_dir", str(tmp_path / "out")]
    assert export_tool.main(words) == 2
    assert "model.onnx: is exported already; give the checkpoint" in capsys.readouterr().err


def test_a_postprocessor_without_a_form_in_an_export_is_named(
    checkpoint: tuple[Path, Path], tmp_path: Path
) -> None:
    config = Config(checkpoint[0])
    parts = config.model, config.preprocess, config.val_transforms, object(), config.info
    with pytest.raises(UsageError, match="object cannot be exported; CenterGrouping can"):
        exporting.export_model(Predictor(*parts), tmp_path / "out", ExportPlan())
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_not_replaced(
    checkpoint: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert run_export(checkpoint, tmp_path) == 2
    assert "which is no file of an export" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").exists()


def other_model(path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[N] x) => (float[N] y) {y = Relu(x)}'
    onnx.save(onnx.parser.parse_model(text), str(path))


def without_description(folder: Path) -> None:
    model = onnx.load(str(folder / "model.onnx"))
    del model.metadata_props[:]
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "deploy.yaml").unlink()


def with_damaged_copy(folder: Path) -> None:
    model = onnx.load(str(folder / "model.onnx"))
    model.metadata_props[0].value = model.metadata_props[0].value[:-9]
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "deploy.yaml").unlink()


def replace_text(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


BAD_FILES = {
    "corrupt": (lambda f: (f / "model.onnx").write_bytes(b"\x08\x08garbage"), "cannot load it"),
    "empty": (lambda f: (f / "model.onnx").write_bytes(b""), "model.onnx"),
    "of another kind": (lambda f: other_model(f / "model.onnx"), "expected the outputs panoptic"),
    "no description": (without_description, "is missing"),
    "a damaged description inside": (with_damaged_copy, "its description is damaged"),
    "no YAML": (lambda f: (f / "deploy.yaml").write_text("a: [b"), "not valid YAML"),
    "YAML of a million entries": (
        lambda f: (f / "deploy.yaml").write_text(
            "a0: &a0 [1]\n"
            + "".join(f"a{i + 1}: &a{i + 1} [{f'*a{i},' * 10}]\n" for i in range(6))
            + "format: *a6\n"
        ),
        "more than 100000 entries",
    ),
    "other YAML": (lambda f: (f / "deploy.yaml").write_text("Deploy: 1"), "expected the descript"),
    "an even window": (
        lambda f: replace_text(f / "deploy.yaml", "nms_kernel: 7", "nms_kernel: 4"),
        "nms_kernel must be odd",
    ),
    "no mapping": (lambda f: (f / "deploy.yaml").write_text("- 1"), "expected the descript"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_wrong_file_is_one_line(name: str, whole: Path, tmp_path: Path) -> None:
    spoil, message = BAD_FILES[name]
    folder = shutil.copytree(whole, tmp_path / "copy")
    spoil(folder)
    with pytest.raises(DataError) as caught:
        ExportedModel(folder / "model.onnx", "onnxruntime")
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_missing_runtime_says_what_to_install(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install onnxruntime"):
        ExportedModel(whole / "model.onnx")


@pytest.mark.parametrize(
    ("given", "threads"), [("3", 3), ("5,2", 5), ("", None), ("0", None), ("many", None)]
)
def test_the_runtimes_use_as_many_threads_as_paddle(
    given: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a number in OMP_NUM_THREADS, one for each core."""
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    assert usable_threads() == (threads or 4)


@pytest.mark.parametrize("flag", [["--threshold", "0.2"], ["--aug_eval"]])
def test_a_file_with_the_grouping_refuses_another(
    flag: list[str],
    whole: Path,
    checkpoint: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    write_image(tmp_path / "scene.png", drawn_image((60, 100)))
    words = ["--config", str(checkpoint[0]), "--device", "cpu", "--model_path", str(whole)]
    words += ["--image_path", str(tmp_path / "scene.png"), "--save_dir", str(tmp_path / "out")]
    assert predict_tool.main([*words, *flag]) == 2
    assert f"which {flag[0]} cannot change" in capsys.readouterr().err


# --- older runtimes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opset", "flags"),
    [*((n, []) for n in range(11, 17)), (16, ["--with_postprocess"]), (13, ["--int8"])],
)
def test_every_opset_that_is_promised(
    opset: int,
    flags: list[str],
    checkpoint: tuple[Path, Path],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The export itself compares the file, in ONNX Runtime, with the model."""
    monkeypatch.setattr(exporting, "write_program", lambda target, *_: copy_program(whole, target))
    words = ["--format", "onnx", "--opset", str(opset), *flags]
    words += ["--calibration", str(checkpoint[1])] if "--int8" in flags else []
    assert run_export(checkpoint, tmp_path / "export", *words) == 0
    model = onnx.load(str(tmp_path / "export" / "model.onnx"))
    assert [entry.version for entry in model.opset_import if not entry.domain] == [opset]


FIXED = ["--input_shape", "2", "3", "75", "130"]


@pytest.mark.parametrize("flags", [[], ["--with_postprocess"]], ids=["network", "whole"])
def test_an_onnx_file_of_a_fixed_shape(
    flags: list[str], checkpoint: tuple[Path, Path], predictor: Predictor, tmp_path: Path
) -> None:
    """Two images of 130 x 75 at a time; padding to 144 x 80 is left out, so that both are equal."""
    target = tmp_path / "fixed"
    assert run_export(checkpoint, target, "--format", "onnx", *FIXED, *flags) == 0
    model = onnx.load(str(target / "model.onnx"))
    (image,) = model.graph.input
    shape = [dimension.dim_value for dimension in image.type.tensor_type.shape.dim]
    assert shape == ([2, 75, 130, 3] if flags else [2, 3, 75, 130])
    assert read_deployment(target).input_shape == (2, 3, 75, 130)
    padding = Padding([130, 75])
    parts = predictor.preprocess, [padding], predictor.postprocessor, predictor.info
    images = [drawn_image((75, 130), seed) for seed in range(3)]
    expected = Predictor(predictor.model, *parts).predict(images)
    loaded = load_model(target)
    for found, one in zip(loaded(images), expected, strict=True):
        assert_equal(found.prediction, one)
    large = drawn_image((100, 200))
    with pytest.raises(
        UsageError, match=r"takes images of 130 x 75 pixels alone, got one of 200 x"
    ):
        loaded(large)
    tiled = load_model(target, tile=(75, 130), tile_overlap=32)(large)
    assert tiled.ids.shape == (100, 200)


def test_a_paddle_program_of_a_fixed_shape(
    checkpoint: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    target = tmp_path / "fixed"
    assert run_export(checkpoint, target, *FIXED, "--with_postprocess") == 0
    program = paddle.jit.load(str(target / "inference"))
    images = np.stack([drawn_image((75, 130), seed) for seed in range(2)])
    assert program(paddle.to_tensor(images))[0].shape == [2, 75, 130]
    other = ["--input_shape", "1", "3", "64", "64"]
    assert run_export(checkpoint, tmp_path / "other", *other) == 2
    assert "is 130 x 75 pixels; --input_shape needs a sample of 64 x 64" in capsys.readouterr().err
