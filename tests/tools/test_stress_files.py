"""The campaign of damaged files, in short: whole ones are read, damaged ones read or refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import stress_files
from stressing.damage import damaged
from stressing.files import FileKind, file_kinds

from panoptic_deeplab.errors import DataError


def test_each_reader_takes_a_whole_file(tmp_path: Path) -> None:
    for name, kind in file_kinds().items():
        left = list(kind.readers)
        for number, content in enumerate(kind.whole):
            path = tmp_path / f"{name} {number}" / kind.name
            path.parent.mkdir()
            path.write_bytes(content)
            outcomes = [stress_files.outcome_of(path, FileKind("", (), (r,))) for r in kind.readers]
            pairs = zip(kind.readers, outcomes, strict=True)
            taken = [reader for reader, outcome in pairs if outcome.what == stress_files.READ]
            assert taken, f"{name} {number}: {outcomes}"
            left = [reader for reader in left if reader not in taken]
        assert not left, f"{name}: nothing is read by {left}"


def test_damage_is_the_same_for_one_seed_and_mostly_damage() -> None:
    content = file_kinds()["panoptic JSON"].whole[0]
    first, again, other = (
        [damaged(content, [b"x"], random.Random(f"{seed} {i}")) for i in range(50)]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert sum(one != content for one in first) > 40


@pytest.mark.timeout(300)
def test_damaged_files_are_read_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert stress_files.main(["--files", "65", "--seed", "1", "--num_workers", "1"]) == 0
    *_, total = capsys.readouterr().out.splitlines()
    name, read, refused = total.split()
    assert name == "all"
    assert int(read) + int(refused) == 65


def raise_error(error: BaseException) -> None:
    raise error


FAULTS = {
    "out of memory": MemoryError(),
    "KeyError": KeyError("a"),
    "unclear": DataError("not a readable image (MemoryError)"),
    "refused": DataError("expected an image"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_faults_are_told_apart(tmp_path: Path, what: str) -> None:
    def reader(path: Path) -> None:
        raise_error(FAULTS[what])

    kind = FileKind("a", (), (lambda path: None, reader))
    expected = stress_files.READ if what == stress_files.REFUSED else what
    assert stress_files.outcome_of(tmp_path / "a", kind).what == expected
