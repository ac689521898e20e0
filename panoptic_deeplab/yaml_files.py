"""Reading YAML: plain data alone, of bounded size, without running code."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from panoptic_deeplab.errors import DataError, reason_of
from panoptic_deeplab.files import open_file

MAX_BYTES = 1 << 20
MAX_ENTRIES = 100_000
MAX_LEVELS = 50
_MAX_DIGITS = 100


class InvalidYamlError(ValueError):
    """A text is not YAML, or not what a configuration or description would hold."""


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file.

    Raises:
        DataError: it is missing, unreadable, too large, or not YAML that `parse_yaml` takes.
    """
    with open_file(path) as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise DataError(f"{path}: expected a YAML file of at most {MAX_BYTES >> 20} MB")
    try:
        return parse_yaml(text.decode("utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path}: not valid YAML ({reason_of(error, 300)})") from error


def parse_yaml(text: str) -> Any:
    """Parse a YAML text.

    Unlike in YAML 1.1, 1e-4 is a number, and a key must not be given twice.

    Raises:
        InvalidYamlError: it is invalid, contains itself, is nested too deeply, or stands for more
            than 100,000 entries; aliases of aliases let a few lines stand for any number.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError) as error:
        raise InvalidYamlError(reason_of(error, 300)) from error


class _Extent(NamedTuple):
    """Number of entries and levels that a node stands for, with all aliases written out."""

    entries: int
    levels: int


class _Loader(yaml.SafeLoader):
    """Measures each node before anything is made of it.

    A node is complete, and measured, before an alias can name it; one that is not contains itself.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.level = 0
        self.extents: dict[int, _Extent] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        is_alias = self.check_event(yaml.AliasEvent)
        self.level += 1
        if self.level > MAX_LEVELS:
            raise yaml.MarkedYAMLError(problem=f"it is nested more than {MAX_LEVELS} levels deep")
        node = super().compose_node(parent, index)
        self.level -= 1
        if is_alias and id(node) not in self.extents:
            raise yaml.MarkedYAMLError(problem="it contains itself")
        if not is_alias:
            self.extents[id(node)] = self._extent(node)
        return node

    def _extent(self, node: yaml.Node) -> _Extent:
        below = [self.extents[id(part)] for part in _parts(node)]
        extent = _Extent(
            1 + sum(part.entries for part in below), 1 + max((p.levels for p in below), default=0)
        )
        if extent.entries > MAX_ENTRIES:
            raise yaml.MarkedYAMLError(problem=f"it contains more than {MAX_ENTRIES} entries")
        if extent.levels > MAX_LEVELS:
            raise yaml.MarkedYAMLError(problem=f"it is nested more than {MAX_LEVELS} levels deep")
        return extent

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        is_number = node.tag in _NUMBERS
        if is_number and len(node.value) > _MAX_DIGITS:
            raise yaml.MarkedYAMLError(problem=f"a number has more than {_MAX_DIGITS} digits")
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = next((key for key, count in keys.items() if count > 1 and key != "<<"), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"the key '{twice:.100}' is given twice")
        return super().construct_mapping(node, deep)


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
