"""What an export may be asked for, and what it may replace: its own files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.export.plan import EXPORT_FILES, ExportPlan, check_target


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """The folder of an earlier export."""
    folder = tmp_path / "export"
    folder.mkdir()
    for name in EXPORT_FILES:
        (folder / name).write_text("")
    return folder


def test_an_earlier_export_an_empty_folder_and_none_may_be_replaced(export: Path) -> None:
    check_target(export)
    check_target(export.parent / "none")
    (export.parent / "empty").mkdir()
    check_target(export.parent / "empty")


@pytest.mark.parametrize("name", ["notes.txt", "model.pdparams", ".hidden", "street.png"])
def test_what_lies_beside_an_export_keeps_its_folder(export: Path, name: str) -> None:
    (export / name).write_text("keep me")
    with pytest.raises(UsageError, match=rf"holds {name}, which is no file of an export"):
        check_target(export)


def test_a_folder_under_the_name_of_a_file_is_not_ours(export: Path) -> None:
    (export / "model.onnx").unlink()
    (export / "model.onnx").mkdir()
    with pytest.raises(UsageError, match=r"holds model\.onnx"):
        check_target(export)


def test_the_current_folder_is_not_replaced(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(export)
    for folder in (Path("."), export):
        with pytest.raises(UsageError, match="is the current folder"):
            check_target(folder)


def test_links_and_files_are_refused(export: Path) -> None:
    link, file = export.parent / "link", export.parent / "file"
    link.symlink_to(export)
    file.write_text("")
    with pytest.raises(UsageError, match="is a link"):
        check_target(link)
    with pytest.raises(DataError, match="a file stands there"):
        check_target(file)
    (export / "model.onnx").unlink()
    (export / "model.onnx").symlink_to(file)
    with pytest.raises(UsageError, match=r"holds model\.onnx"):
        check_target(export)


REFUSED = {
    "opset below": ({"opset": 10}, "--opset must be in 11..21, got 10"),
    "opset above": ({"opset": 22}, "--opset must be in 11..21, got 22"),
    "grouping": (
        {"opset": 15, "with_postprocess": True},
        "--with_postprocess needs --opset 16 or later, got 15; leave out --with_postprocess",
    ),
    "int8": (
        {"opset": 12, "int8": True, "calibration": "images"},
        "--int8 needs --opset 13 or later, got 12",
    ),
    "channels": (
        {"input_shape": (1, 512, 1024, 3)},
        "--input_shape: expected N 3 HEIGHT WIDTH .* as 1 3 512 1024, got 1 512 1024 3",
    ),
    "web of a fixed shape": (
        {"format": "web", "with_postprocess": True, "input_shape": (1, 3, 64, 64)},
        "--format web takes images of any size; leave out --input_shape",
    ),
    "web without ids": ({"format": "web"}, "--format web needs --with_postprocess"),
    "triton of a fixed shape": (
        {"format": "triton", "with_postprocess": True, "input_shape": (1, 3, 64, 64)},
        "--format triton takes images of any size; leave out --input_shape",
    ),
    "triton without ids": ({"format": "triton"}, "--format triton needs --with_postprocess"),
    "bucket": ({"buckets": ((128, 64),)}, "--bucket does nothing without --format triton"),
    "batch": ({"max_batch_size": 8}, "--max_batch_size does nothing without --format triton"),
    "runtime": ({"ort_web": Path("x.tgz")}, "--ort_web does nothing without --format web"),
    "small": ({"input_shape": (1, 3, 16, 64)}, "sides of at least 32"),
    "int8 of a fixed shape": (
        {"input_shape": (1, 3, 64, 64), "int8": True, "calibration": "images"},
        "--int8 calibrates with images of any size; leave out --input_shape",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_plans_that_contradict_themselves(name: str) -> None:
    for package in ("onnx", "onnxruntime", "paddle2onnx"):
        pytest.importorskip(package)
    settings, message = REFUSED[name]
    with pytest.raises(UsageError, match=message):
        ExportPlan(**{"format": "onnx"} | settings)


def test_a_fixed_shape_is_what_images_are_padded_to() -> None:
    plan = ExportPlan(input_shape=(1, 3, 512, 1024))
    assert plan.overrides == ["val_dataset.transforms=[{type: Padding, target_size: [1024, 512]}]"]
