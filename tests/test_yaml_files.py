"""YAML: plain data of bounded size; a bomb of a few lines is refused before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab import yaml_files
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.yaml_files import InvalidYamlError, parse_yaml, read_yaml


def test_what_configurations_and_descriptions_hold() -> None:
    text = "rate: 1e-4\nsize: &s [512, 256]\nother: *s\nbase: &b {a: 1}\nmore: {<<: *b, c: null}\n"
    assert parse_yaml(text) == {
        "rate": 1e-4,
        "size": [512, 256],
        "other": [512, 256],
        "base": {"a": 1},
        "more": {"a": 1, "c": None},
    }


def test_many_names_of_one_small_list_are_fine() -> None:
    text = "a: &a [1, 2]\n" + "".join(f"b{i}: *a\n" for i in range(100))
    assert parse_yaml(text)["b99"] == [1, 2]


def levels(first: str, next_level: str, count: int) -> str:
    """Lines m0, m1, ..., each made of the one before."""
    lines = [f"m0: &m0 {first}"]
    lines += [f"m{i + 1}: &m{i + 1} {next_level.replace('@', f'm{i}')}" for i in range(count)]
    return "\n".join(lines)


BOMBS = {
    "lists of lists": (levels("[x]", "[" + ",".join(["*@"] * 10) + "]", 9), "100000 entries"),
    "pairs of pairs": (levels("[x]", "[*@, *@]", 30), "100000 entries"),
    "dictionaries of dictionaries": (levels("{a: 1}", "{a: *@, b: *@}", 30), "100000 entries"),
    "merged dictionaries": (levels("{a: 1, b: 2}", "{<<: [*@, *@]}", 30), "100000 entries"),
    "a chain of names": (levels("[x]", "[*@]", 1000), "50 levels"),
    "nested lists": ("a: " + "[" * 5000 + "]" * 5000, "50 levels"),
    "nested dictionaries": ("{a: " * 5000 + "1" + "}" * 5000, "50 levels"),
    "nested blocks": ("- " * 5000 + "1", "50 levels"),
    "a list in itself": ("&a [*a]", "contains itself"),
    "a dictionary in itself": ("a: &a {b: *a}", "contains itself"),
    "a dictionary merged into itself": ("&a {<<: *a}", "contains itself"),
    "a number in base 60": ("a: 1" + ":01" * 1000, "a number has more than 100 digits"),
    "a long number": ("a: 1" + "0" * 5000, "a number has more than 100 digits"),
    "a long number in base 2": ("a: 0b1" + "0" * 5000, "a number has more than 100 digits"),
    "code": ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    "a key twice": ("a: 1\na: 2", "the key 'a' is given twice"),
    "a list for a key": ("? [1]\n: 2", "unhashable key"),
    "an unknown name": ("a: *b", "undefined alias"),
    "a date that is none": ("a: 2024-13-45", "month must be in"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_early(kind: str) -> None:
    text, message = BOMBS[kind]
    with pytest.raises(InvalidYamlError, match=message) as failure:
        parse_yaml(text)
    assert str(failure.value).isprintable()


def test_entries_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_files, "MAX_ENTRIES", 1000)
    assert len(parse_yaml("[" + "1," * 999 + "]")) == 999
    with pytest.raises(InvalidYamlError, match="more than 1000 entries"):
        parse_yaml("[" + "1," * 1000 + "]")


BAD_FILES = {
    "not UTF-8": (b"a: \xff", "not valid YAML"),
    "a zero byte": (b"a: \0", "not valid YAML"),
    "two megabytes": (b"# " + b"x" * (2 << 20), "expected a YAML file of at most 1 MB"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_are_one_line(tmp_path: Path, kind: str) -> None:
    content, message = BAD_FILES[kind]
    (tmp_path / "a.yml").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.yml: {message}") as failure:
        read_yaml(tmp_path / "a.yml")
    assert "\n" not in str(failure.value)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(tmp_path / "a.yml") == {"a": 1}


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_yaml(tmp_path / "a.yml")
    with pytest.raises(DataError, match="expected a file, got a folder"):
        read_yaml(tmp_path)
