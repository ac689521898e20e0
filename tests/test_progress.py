"""Bars: one that appears when the work turns out to be slow."""

from __future__ import annotations

import sys
import time

import pytest

from panoptic_deeplab.progress import patient_bar, progress_bar


def shown(capsys: pytest.CaptureFixture[str], seconds: float) -> str:
    with patient_bar(title="searching", unit="files") as bar:
        bar.update()
        time.sleep(seconds)
        bar.mininterval = 0
        bar.update()
    return capsys.readouterr().err


def test_quick_work_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, 0) == ""


def test_after_a_second_there_is_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert "searching: 2 files" in shown(capsys, 1.05)


def test_one_of_several_processes_shows_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    assert shown(capsys, 1.05) == ""


class Closed:
    """A stream whose other end is gone."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return False

    def write(self, text: str = "") -> None:
        raise BrokenPipeError

    flush = write


def test_a_bar_that_nobody_sees_ends_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Closed())
    with progress_bar(title="reading", total=2, unit="files") as bar:
        bar.update()
        bar.refresh()
