"""Configuration files: YAML, their base files, and overrides from the command line."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from paddleseg.cvlibs.config import merge_config_dicts

from panoptic_deeplab.config.shipped import shipped_configs
from panoptic_deeplab.errors import DataError, UsageError, nearest
from panoptic_deeplab.yaml_files import InvalidYamlError, parse_yaml, read_yaml

Tree = dict[str, Any]
KeyPath = tuple[str | int, ...]


class Layer(NamedTuple):
    """One file of a configuration, or the overrides of the command line."""

    source: str
    tree: Tree


Override = tuple[list[str], Any]


def read_layers(path: Path, above: tuple[Path, ...] = ()) -> list[Layer]:
    """Return the file and all it is based on, the one that takes precedence first.

    Args:
        path: the file. What it names under `_base_` is a file beside it, else the name of a shipped
            configuration.
        above: the files based on it, the one that names it last.

    Raises:
        UsageError: a file is missing, is not valid YAML, or is based on itself.
    """
    if path.resolve() in {other.resolve() for other in above}:
        raise UsageError(f"{path}: is based on itself")
    tree = _read_tree(path, above[-1] if above else None)
    bases = tree.pop("_base_", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(
        isinstance(base, str) and base.isprintable() for base in bases
    ):
        raise UsageError(
            f"{path}: _base_ must be a file name or a list of them, got {bases!r:.100}"
        )
    layers = [Layer(str(path), tree)]
    if tree.get("_inherited_", True):
        for base in reversed(bases):
            layers += read_layers(_base_file(base, path), (*above, path))
    return layers


def _base_file(base: str, path: Path) -> Path:
    beside = path.parent / base
    if os.path.isfile(beside):  # False for a name that no file can have
        return beside
    return shipped_configs().get(base.removesuffix(".yml"), beside)


def _read_tree(path: Path, named_by: Path | None) -> Tree:
    try:
        tree = read_yaml(path)
        _refuse_other_keys(tree)
    except DataError as error:
        if error.kind != "missing file":
            raise UsageError(str(error)) from error
        reason = "" if named_by is None else f"; {named_by} names it under _base_"
        raise UsageError(f"{path}: no such configuration file{reason}") from error
    except InvalidYamlError as error:
        raise UsageError(f"{path}: not valid YAML ({error})") from error
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: expected a YAML dictionary of sections such as 'model:'")
    return tree


def merge(layers: Sequence[Layer]) -> Tree:
    """Merge all layers into one tree."""
    tree: Tree = {}
    for layer in reversed(layers):
        try:
            tree = merge_config_dicts(layer.tree, tree)
        except (AttributeError, TypeError) as error:
            raise UsageError(
                f"{layer.source}: has keys below an entry that is not a dictionary in a base "
                "file; give that entry _inherited_: false"
            ) from error
    tree.pop("_inherited_", None)
    return copy.deepcopy(tree)


def parse_override(text: str) -> Override:
    """Return `a.b=value` as (["a", "b"], value), the value parsed as YAML."""
    key, separator, value = text.partition("=")
    keys = key.split(".")
    if not separator or not all(keys):
        raise UsageError(f"--opts takes a.b=value, got {text!r:.200}")
    try:
        content = parse_yaml(value)
        _refuse_other_keys(content)
        return keys, content
    except InvalidYamlError:
        return keys, value


def override_layer(overrides: Sequence[Override]) -> Layer:
    """Return the overrides as a layer, for `origin`."""
    tree: Tree = {}
    for keys, value in overrides:
        node = tree
        for key in keys[:-1]:
            if not isinstance(node.get(key), dict):
                node[key] = {}
            node = node[key]
        node[keys[-1]] = value
    return Layer("--opts", tree)


def origin(layers: Sequence[Layer], path: KeyPath) -> str:
    """Return the file (or --opts) that decides a key; for a key of no layer, the main file."""
    for layer in layers:
        if _has(layer.tree, path):
            return layer.source
    return layers[min(1, len(layers) - 1)].source


def _refuse_other_keys(content: Any) -> None:
    """Refuse dictionary keys that are no strings."""
    entries = [content]
    while entries:
        entry = entries.pop()
        if isinstance(entry, dict):
            for key in entry:
                if not isinstance(key, str):
                    raise InvalidYamlError(f"the key {key!r} is not a string; write it in quotes")
        if isinstance(entry, (dict, list)):
            entries += entry.values() if isinstance(entry, dict) else entry


def apply_override(tree: Tree, override: Override) -> None:
    """Set `a.b=value` in place; only the last key may be new.

    Raises:
        UsageError: there is no such key.
    """
    keys, value = override
    node: Any = tree
    for depth, key in enumerate(keys[:-1]):
        node = _child(node, key, keys[: depth + 1])
    if isinstance(node, list):
        _child(node, keys[-1], keys)
        node[int(keys[-1])] = value
    elif isinstance(node, dict):
        node[keys[-1]] = value
    else:
        raise UsageError(f"--opts {dotted(keys)}: '{dotted(keys[:-1])}' has no keys below it")


def dotted(path: Sequence[str | int]) -> str:
    """Return a key as --opts writes it, line breaks and the like escaped."""
    return repr(".".join(map(str, path)))[1:-1]


def _is_index(key: str | int, items: list[Any]) -> bool:
    return re.fullmatch("[0-9]{1,9}", str(key)) is not None and int(key) < len(items)


def _child(node: Any, key: str, path: Sequence[str]) -> Any:
    if isinstance(node, list) and _is_index(key, node):
        return node[int(key)]
    if isinstance(node, dict) and key in node:
        return node[key]
    known = list(node) if isinstance(node, dict) else []
    raise UsageError(
        f"--opts: there is no '{dotted(path)}' in the configuration{nearest(key, known)}"
    )


def _has(tree: Any, path: KeyPath) -> bool:
    for key in path:
        if isinstance(tree, list) and _is_index(key, tree):
            tree = tree[int(key)]
        elif isinstance(tree, dict) and str(key) in tree:
            tree = tree[str(key)]
        else:
            return False
    return True
