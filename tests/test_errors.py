"""Errors are one printable line; readers raise the first fault or have all of them collected."""

from __future__ import annotations

import pytest

from panoptic_deeplab.errors import (
    DataError,
    collect,
    collecting_errors,
    error_context,
    nearest,
    one_line,
    raise_or_collect,
    reason_of,
)


def test_collecting_ends_with_its_block() -> None:
    with collecting_errors() as errors:
        raise_or_collect(DataError("one"))
        collect(DataError("two"))
    assert [str(error) for error in errors] == ["one", "two"]
    collect(DataError("three"))  # nobody listens
    assert len(errors) == 2
    with pytest.raises(DataError, match="four"):
        raise_or_collect(DataError("four"))


def test_an_inner_collection_keeps_its_faults_to_itself() -> None:
    with collecting_errors() as outer:
        with collecting_errors() as inner:
            collect(DataError("inner"))
        collect(DataError("outer"))
    assert ([str(e) for e in inner], [str(e) for e in outer]) == (["inner"], ["outer"])


def test_context_goes_before_the_message_and_keeps_what_a_check_reports() -> None:
    message = r"^a\.json: image 3: no area$"
    with pytest.raises(DataError, match=message) as caught, error_context("a.json: image 3"):
        raise DataError("no area", kind="malformed entry", segment_id=7)
    assert (caught.value.kind, caught.value.where) == ("malformed entry", {"segment_id": 7})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (" a\n\tb ", "a b"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\udcff.png", "\\udcff.png"),
        ("straße", "straße"),
    ],
)
def test_any_text_becomes_a_line_that_a_terminal_can_show(text: str, line: str) -> None:
    assert one_line(text) == line == str(DataError(text))


def test_of_an_endless_message_beginning_and_end_are_told() -> None:
    text = str(DataError(f"a.json: expected a number, got {'x' * 9999}; write it again"))
    assert text.startswith("a.json: expected a number, got xxx")
    assert text.endswith("xxx; write it again")
    assert " [...] " in text
    assert len(text) < 2000


def test_an_exception_without_a_message_is_told_by_its_type() -> None:
    assert reason_of(ValueError("a\nb")) == "a b"
    assert reason_of(KeyError()) == "KeyError"
    assert reason_of(ValueError("x" * 500), limit=3) == "xxx"


def test_the_nearest_name_is_offered_where_one_is_near() -> None:
    assert nearest("raod", ["sky", "road"]) == ' (did you mean "road"?)'
    assert nearest("zebra", ["sky", "road"]) == ""
