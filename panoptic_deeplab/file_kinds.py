"""What a file is in truth that should be an image, annotations or weights."""

from __future__ import annotations

HEAD_BYTES = 512
"""Bytes of a file's beginning that tell what it is."""

_STARTS = (
    (
        b"version https://git-lfs",
        "it is a pointer of git-lfs; fetch its content with: git lfs pull",
    ),
    (b"/annex/objects/", "it is a pointer of git-annex; fetch its content with: git annex get"),
    (b"<!doctype html", "it is an HTML page, such as a server's error; download the file again"),
    (b"<html", "it is an HTML page, such as a server's error; download the file again"),
    (b"<?xml", "it is XML, such as a server's error; download the file again"),
    (b"pk\x03\x04", "it is a ZIP archive; unpack it"),
    (b"\x1f\x8b", "it is compressed by gzip; unpack it"),
)


def mistaken_for(head: bytes) -> str:
    """Tell what a file is by its first HEAD_BYTES, and how to get what was meant.

    Returns:
        A clause such as "it is an HTML page; ...", or '' if the file may be what it should be.
    """
    if not head:
        return "it is empty; fetch or write it again"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((meaning for prefix, meaning in _STARTS if start.startswith(prefix)), "")
