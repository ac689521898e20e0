"""What an export may replace: its own files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.export.plan import EXPORT_FILES, check_target


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
