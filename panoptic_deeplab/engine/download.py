"""Files from the web: https only, of bounded size, kept in a cache."""

from __future__ import annotations

import os
import shutil
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import replacing
from panoptic_deeplab.progress import progress_bar

TIMEOUT_SECONDS = 30
MAX_BYTES = 2 << 30
_BLOCK = 1 << 20


def local_weights(source: str, way_out: str) -> Path:
    """The weights file behind a path or a URL, fetched once.

    Args:
        source: a file, or an https URL of a `.pdparams` file or of a tar archive with one in it.
        way_out: what the user can do where it cannot be had, for the message.

    Raises:
        DataError: there is no such file, the URL cannot be reached, or the archive holds none.
    """
    if "://" not in source:
        if not Path(source).is_file():
            raise DataError(f"{source}: no such weights file; {way_out}")
        return Path(source)
    try:
        archive = _fetch(source)
    except (OSError, urllib.error.URLError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"{source}: cannot be downloaded ({reason}); {way_out}") from error
    return _only_weights_of(archive) if tarfile.is_tarfile(archive) else archive


def cache_folder() -> Path:
    """Where downloads are kept: $PANOPTIC_DEEPLAB_CACHE or ~/.cache/panoptic_deeplab."""
    chosen = os.environ.get("PANOPTIC_DEEPLAB_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "panoptic_deeplab"


def _fetch(url: str) -> Path:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https":
        raise ValueError(f"only https is fetched, not {parts.scheme}")
    path = cache_folder() / parts.netloc / Path(parts.path).name
    if path.exists():
        return path
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer, replacing(path) as part:
        size = int(answer.headers.get("Content-Length") or 0)
        with (
            open(part, "wb") as file,
            progress_bar(title=path.name, total=size // _BLOCK, unit="MB") as bar,
        ):
            while block := answer.read(_BLOCK):
                file.write(block)
                bar.update()
                if file.tell() > MAX_BYTES:
                    raise ValueError(f"larger than {MAX_BYTES >> 30} GB")
        if size and part.stat().st_size != size:
            raise ValueError(f"{part.stat().st_size} of {size} bytes came")
    return path


def _only_weights_of(archive: Path) -> Path:
    """The one `.pdparams` file of a tar archive; its path in there is not trusted."""
    target = archive.with_suffix(archive.suffix + ".pdparams")
    if target.exists():
        return target
    try:
        with tarfile.open(archive) as tar:
            members = [m for m in tar if m.isfile() and m.name.endswith(".pdparams")]
            if len(members) != 1 or members[0].size > MAX_BYTES:
                raise DataError(f"{archive}: expected one .pdparams file in it, got {len(members)}")
            with replacing(target) as part, open(part, "wb") as file:
                shutil.copyfileobj(tar.extractfile(members[0]), file)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"{archive}: a damaged archive ({error}); delete it and try again"
        ) from error
    return target
