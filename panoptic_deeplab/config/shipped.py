"""The configurations that travel with the package, found by name."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from panoptic_deeplab.errors import UsageError

_PACKAGE = Path(__file__).parents[1]
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
"""In an installed package, and beside the package in a clone."""

_BASES = "_base_"
_MAX_SUGGESTIONS = 3


def find_config(name_or_path: str | Path) -> Path:
    """Return the file of a path or of the name of a shipped configuration.

    Raises:
        UsageError: there is neither; the message lists the nearest names.

    >>> find_config("panoptic_deeplab_lite_scenes").name
    'panoptic_deeplab_lite_scenes.yml'
    """
    path = Path(name_or_path)
    if os.path.exists(path) and not os.path.isdir(path):  # False for a name that no file can have
        return path
    shipped = shipped_configs()
    name = path.name.removesuffix(".yml")
    if len(path.parts) == 1 and name in shipped:
        return shipped[name]
    near = difflib.get_close_matches(name, shipped, n=_MAX_SUGGESTIONS, cutoff=0.6)
    hint = ""
    if near:
        hint = f"; did you mean the shipped {' or '.join(near)}?"
    elif len(path.parts) == 1:
        hint = f"; shipped are {', '.join(shipped)}"
    raise UsageError(f"{name_or_path}: no such configuration file{hint}")


def shipped_configs() -> dict[str, Path]:
    """Return name -> file of the configurations that travel with the package, by name."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    files = [] if folder is None else folder.rglob("*.yml")
    return {file.stem: file for file in sorted(files, key=lambda f: f.stem) if _is_whole(file)}


def _is_whole(file: Path) -> bool:
    return _BASES not in file.parts
