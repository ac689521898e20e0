"""The zoo: models by name, those of the package and published ones, which are fetched once."""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from panoptic_deeplab.errors import DataError, UsageError, nearest
from panoptic_deeplab.weights.download import (
    CACHE_VARIABLE,
    cache_folder,
    cached_path,
    local_weights,
    unpacked,
)

ZOO_FILE = Path(__file__).with_name("zoo.yml")
SHIPPED = Path(__file__).with_name("shipped")
"""Folder of the weights that travel with the package."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ZooModel:
    """A published model.

    Attributes:
        name: in the zoo.
        config: name of the shipped configuration that describes its network.
        file: name of its weights in `SHIPPED`; '' for those that lie elsewhere.
        url: where these lie, with `#sha256=` and their checksum if the authors tell it.
        license: permitted use of the weights.
        score: as published.
        by: who published weights and score.
        by_hand: name under which the file is to be put into the cache, where only a person can
            fetch it; '' otherwise.
    """

    name: str
    config: str
    file: str = ""
    url: str = ""
    license: str
    score: str
    by: str
    by_hand: str = ""

    @property
    def path(self) -> Path:
        """Where the file is, or is kept once it is fetched."""
        if self.file:
            return SHIPPED / self.file
        return cache_folder() / self.by_hand if self.by_hand else cached_path(self.url)

    def fetch(self) -> Path:
        """Return the file of weights, from the package, the cache or else from the web.

        Raises:
            DataError: it cannot be fetched, or only by hand.
        """
        if self.file:
            return self.path
        is_new = not self.path.exists()
        if is_new and self.by_hand:
            raise DataError(
                f"{self.name}: only a browser can fetch {self.url}; put the file under {self.path}"
            )
        weights = unpacked(self.path) if self.by_hand else local_weights(self.url, self._hint)
        if is_new:
            _log.warning("%s, by %s; license: %s", self.name, self.by, self.license)
        return weights

    @property
    def _hint(self) -> str:
        return (
            f"try again, or fetch it elsewhere and put it under {self.path} ({CACHE_VARIABLE} "
            "moves that folder)"
        )


@functools.cache
def zoo() -> dict[str, ZooModel]:
    """Return all published models by name."""
    described = yaml.safe_load(ZOO_FILE.read_text("utf-8"))
    return {name: ZooModel(name=name, **facts) for name, facts in described.items()}


def zoo_model(name: str) -> ZooModel:
    """Return a published model.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in zoo():
        raise UsageError(
            f"{name}: no model of the zoo{nearest(name, zoo())}; `weights list` tells all"
        )
    return zoo()[name]


def published_model(source: str | Path) -> ZooModel | None:
    """Return the model of the zoo that a text names, None if a file or folder is called so."""
    return None if os.path.lexists(source) else zoo().get(str(source))


def local_or_published(source: str, hint: str) -> Path:
    """Return the weights behind a path, an https URL or a name of the zoo, fetched once.

    Args:
        source: the path of a file or of a checkpoint's folder, the URL, or the name.
        hint: what the user can do if that fails, for the message.

    Raises:
        DataError: there is nothing of that name, or it cannot be fetched.
    """
    if (published := published_model(source)) is not None:
        return published.fetch()
    if Path(source).is_dir():
        return Path(source)
    if "://" not in source and not Path(source).exists():
        hint = f"nor a name of the zoo{nearest(source, zoo())}; {hint}"
        raise DataError(f"{source}: no such weights file, {hint}")
    return local_weights(source, hint)
