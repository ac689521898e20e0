"""A file that is not what it should be is told by what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.file_kinds import mistaken_for
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.images import read_ids, read_image
from panoptic_deeplab.formats.json_items import iterate_items

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4f2c\nsize 12345\n"
KINDS = {
    b"": "it is empty; fetch or write it again",
    POINTER: "fetch its content with: git lfs pull",
    b"/annex/objects/SHA256E-s12--4f2c.jpg\n": "fetch its content with: git annex get",
    b"<!DOCTYPE html>\n<title>404</title>": "it is an HTML page",
    b"\n  <HTML><body>Sign in": "it is an HTML page",
    b'<?xml version="1.0"?><Error><Code>AccessDenied': "it is XML",
    b"PK\x03\x04\x14": "it is a ZIP archive; unpack it",
    b"\x1f\x8b\x08": "it is compressed by gzip; unpack it",
}


@pytest.mark.parametrize("read", [read_image, read_ids, read_json, iterate_items])
@pytest.mark.parametrize("content", KINDS, ids=range(len(KINDS)))
def test_readers_tell_what_a_file_is(tmp_path: Path, content: bytes, read) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    arguments = (path, "images") if read is iterate_items else (path,)
    with pytest.raises(DataError) as caught:
        list(read(*arguments))
    assert str(path) in str(caught.value)
    assert KINDS[content] in str(caught.value)


@pytest.mark.parametrize("content", [b"{}", b"\x89PNG\r\n\x1a\n", b"\xef\xbb\xbf {}", b"gzip"])
def test_other_content_is_no_mistake(content: bytes) -> None:
    assert mistaken_for(content) == ""
