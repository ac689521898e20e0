"""What is set before the process computes, and what the user sets is kept."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys

import pytest

from panoptic_deeplab import process

CPUS = {
    "AMD": ("vendor_id : AuthenticAMD\nflags : fpu fma avx avx2 sse4a\n", "5"),
    "Intel": ("vendor_id : GenuineIntel\nflags : fpu fma avx avx2\n", None),
    "old": ("vendor_id : AuthenticAMD\nflags : fpu sse2\n", None),
}


@pytest.mark.parametrize("maker", CPUS)
def test_mkl_is_told_of_avx2_only_where_it_would_not_look(
    maker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, expected = CPUS[maker]
    monkeypatch.delenv("MKL_DEBUG_CPU_TYPE", raising=False)
    monkeypatch.setattr("builtins.open", lambda *_, **__: io.StringIO(text))
    process.prefer_fast_blas()
    assert os.environ.get("MKL_DEBUG_CPU_TYPE") == expected
    monkeypatch.delenv("MKL_DEBUG_CPU_TYPE", raising=False)


def test_a_choice_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "0")
    process.prefer_fast_blas()
    assert os.environ["MKL_DEBUG_CPU_TYPE"] == "0"


def test_a_process_without_standard_streams_can_tell_nothing_but_works() -> None:
    """A file must not become the standard error either: its number would be 2."""
    program = (
        "import os, sys; from panoptic_deeplab.process import open_closed_streams;"
        "assert sys.stderr is None; open_closed_streams();"
        "print('lost', file=sys.stderr); print('lost'); sys.stdin.read();"
        "sys.exit(40 + (os.open('/dev/zero', os.O_RDONLY) > 2))"
    )
    shell = f'exec {sys.executable} -c "{program}" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", shell], check=False).returncode == 41


def test_open_streams_stay(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdin, sys.stdout, sys.stderr
    process.open_closed_streams()
    assert (sys.stdin, sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("is_enabled", [True, False])
def test_garbage_is_looked_for_again_after_imports_if_it_was_before(is_enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        with process.making_many_objects():
            assert not gc.isenabled()
            imported = [[]]
        assert gc.isenabled() == is_enabled
        assert gc.get_freeze_count() == 0
        young = [*gc.get_objects(generation=0), *gc.get_objects(generation=1)]
        assert any(thing is imported for thing in young) != is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_what_somebody_has_frozen_stays_frozen() -> None:
    try:
        gc.freeze()
        frozen = gc.get_freeze_count()
        with process.making_many_objects():
            pass
        assert gc.get_freeze_count() == frozen > 0
    finally:
        gc.unfreeze()
