"""Addresses of the web and of cameras, without what must stay secret in them."""

from __future__ import annotations

import base64
import re
from urllib.parse import SplitResult, unquote, urlsplit

from panoptic_deeplab.errors import DataError

_HIDDEN = "***"


def is_address(source: object) -> bool:
    """Whether a text or path is an address, such as `https://...` or `rtsp://...`."""
    return "://" in str(source)


def without_secrets(address: str) -> str:
    """Return an address as logs, errors and files may show it.

    Name and password become `***`, and so does all behind `?`, where tokens and signatures stand.

    >>> without_secrets("rtsp://me:word@10.0.0.7:554/live?token=1")
    'rtsp://***@10.0.0.7:554/live?***'
    """
    shown = re.sub(r"^([^:/?#]*://)[^/?#]*@", rf"\1{_HIDDEN}@", address)
    return re.sub(r"\?[^#]*", f"?{_HIDDEN}", shown)


def hide_secrets(text: str, address: str) -> str:
    """Take what `without_secrets` hides of an address out of a text, such as a library's error."""
    parts = _split(address)
    text = text.replace(address, without_secrets(address))
    if parts is None:
        return text
    user, _, password = _login(parts).partition(":")
    secrets = {_login(parts), password, unquote(password), parts.query}
    if password:
        secrets |= {f"{user}:", f"{unquote(user)}:"}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def parts_of(address: str) -> SplitResult:
    """Take an address apart.

    Raises:
        DataError: it is none.
    """
    parts = _split(address)
    if parts is None:
        raise DataError(
            f"{without_secrets(address)}: is no address; an IPv6 address stands in brackets, as in "
            "https://[::1]/"
        )
    return parts


def split_login(address: str) -> tuple[str, str]:
    """Return an https address without name and password, and its `Authorization` header.

    The header is '' where the address has neither.
    """
    parts = _split(address)
    if parts is None or not (login := _login(parts)):
        return address, ""
    host = parts.netloc.rpartition("@")[2]
    encoded = base64.b64encode(unquote(login).encode()).decode()
    return parts._replace(netloc=host).geturl(), f"Basic {encoded}"


def _split(address: str) -> SplitResult | None:
    try:
        return urlsplit(address)
    except ValueError:  # brackets that hold no IPv6 address
        return None


def _login(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[0]
