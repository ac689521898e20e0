"""What addresses keep secret is shown nowhere."""

from __future__ import annotations

import base64

import pytest

from panoptic_deeplab.addresses import hide_secrets, is_address, split_login, without_secrets

SHOWN = {
    "rtsp://me:word@host:554/live": "rtsp://***@host:554/live",
    "https://host/a.jpg?X-Signature=abc&b=c": "https://host/a.jpg?***",
    "https://host/a.jpg#sha256=0123": "https://host/a.jpg#sha256=0123",
    "https://me:p@ss@host/a.jpg?t=1#x": "https://***@host/a.jpg?***#x",
    "rtsp://[::1]:554/live": "rtsp://[::1]:554/live",
    "rtsp://me:word@[bad/live": "rtsp://***@[bad/live",
    "street.jpg": "street.jpg",
}


@pytest.mark.parametrize("address", SHOWN)
def test_an_address_is_shown_without_its_secrets(address: str) -> None:
    assert without_secrets(address) == SHOWN[address]
    assert is_address(address) == ("://" in address)


def test_secrets_are_hidden_in_other_texts() -> None:
    address = "rtsp://me:pa%24s@host/live?key=abc"
    text = f"cannot open '{address}': login me:pa%24s or me:pa$s refused for key=abc"
    hidden = hide_secrets(text, address)
    assert hidden.startswith("cannot open 'rtsp://***@host/live?***': login ")
    assert not any(secret in hidden for secret in ("pa%24s", "pa$s", "abc"))


def test_a_login_becomes_a_header() -> None:
    address, header = split_login("https://me:pa%24s@host:8443/a.jpg?x=1")
    assert address == "https://host:8443/a.jpg?x=1"
    assert base64.b64decode(header.removeprefix("Basic ")) == b"me:pa$s"
    assert split_login("https://host/a.jpg") == ("https://host/a.jpg", "")
