"""Check the keys and values of a configuration against the signatures of its parts."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from panoptic_deeplab.config.files import KeyPath, Layer, Tree, dotted, origin
from panoptic_deeplab.errors import UsageError, nearest

Part = Callable[..., Any]


class Checker:
    """Refuse unknown keys and values of a wrong type, naming key, file and nearest known key.

    Args:
        layers: the files and overrides of the configuration.
        kinds: key under which a part may stand -> type name -> class or function.
        filled: arguments that are filled in where the configuration does not give them.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        kinds: Mapping[str, Mapping[str, Part]],
        filled: Collection[str] = (),
    ) -> None:
        self.layers = layers
        self.kinds = kinds
        self.filled = filled

    def check_sections(self, tree: Tree, sections: Mapping[str, Any]) -> None:
        """Check the top level: `sections` maps each known key to its type."""
        for key in tree:
            if key not in sections:
                raise self._unknown_key((key,), sections)
        self.check_types(tree, sections)

    def check_types(self, tree: Tree, sections: Mapping[str, Any]) -> None:
        """Check the types of the known sections."""
        for key, value in tree.items():
            self._check_type(value, sections.get(key, Any), (key,))

    def check_part(self, node: Any, kind: str, path: KeyPath) -> None:
        """Check a dictionary with a `type` and the arguments of that type."""
        part = self.part_class(node, kind, path)
        self.check_arguments({k: v for k, v in node.items() if k != "type"}, part, path)

    def check_parts(self, nodes: Sequence[Any], kind: str, path: KeyPath) -> None:
        """Check a list of such dictionaries."""
        for i, node in enumerate(nodes):
            self.check_part(node, kind, (*path, i))

    def part_class(self, node: Any, kind: str, path: KeyPath) -> Part:
        """Return the class or function that the `type` of `node` names."""
        if not is_part(node):
            raise UsageError(
                f"{origin(self.layers, path)}: '{dotted(path)}' must be a dictionary with a "
                f"'type', got {node!r:.100}"
            )
        known = self.kinds[kind]
        if node["type"] not in known:
            hint = nearest(node["type"], known) or f"; known: {', '.join(sorted(known)):.500}"
            raise UsageError(
                f"{origin(self.layers, path)}: unknown type {node['type']!r:.100} under "
                f"'{dotted(path)}'{hint}"
            )
        return known[node["type"]]

    def check_arguments(self, node: Tree, part: Part, path: KeyPath) -> None:
        """Check the keys of `node` against the signature of `part`."""
        arguments = takes(part)
        known = {*arguments, *(["pretrained"] if path[0] == "model" else [])}
        for name, argument in arguments.items():
            if argument.default is argument.empty and name not in {*node, *self.filled}:
                raise UsageError(
                    f"{origin(self.layers, path)}: '{dotted(path)}' lacks the key '{name}', which "
                    f"{part.__name__} needs"
                )
        hints = {"pretrained": str | None} | _type_hints(part)
        for key, value in node.items():
            here = (*path, key)
            if key not in known:
                raise self._unknown_key(here, known)
            if key in self.kinds:
                self._check_nested(value, key, here, hints.get(key, Any))
            else:
                self._check_type(value, hints.get(key, Any), here)

    def _check_nested(self, value: Any, kind: str, path: KeyPath, expected: Any) -> None:
        """Check a part, or a list of parts where the argument takes a sequence."""
        if typing.get_origin(expected) is not Sequence:
            return self.check_part(value, kind, path)
        self._check_type(value, list, path)
        self.check_parts(value, kind, path)

    def _check_type(self, value: Any, expected: Any, path: KeyPath) -> None:
        if not _fits(value, expected):
            raise UsageError(
                f"{origin(self.layers, path)}: '{dotted(path)}' must be {_type_name(expected)}, "
                f"got {value!r:.100}"
            )

    def _unknown_key(self, path: KeyPath, known: Iterable[str]) -> UsageError:
        known = sorted(known)
        hint = nearest(str(path[-1]), known) or f"; known here: {', '.join(known)}"
        return UsageError(f"{origin(self.layers, path)}: unknown key '{dotted(path)}'{hint}")


def takes(part: Part) -> dict[str, inspect.Parameter]:
    """Return the arguments that a part takes by name.

    PaddleSeg's backbones are functions of **kwargs that pass them on to a class; they take that
    class's arguments.
    """
    parameters = dict(inspect.signature(part).parameters)
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        module = sys.modules[part.__module__]
        if part.__module__ in _CLASSES:
            parameters |= _passed_on(getattr(module, _CLASSES[part.__module__]))
    return {name: p for name, p in parameters.items() if p.kind in _NAMED and name != "self"}


_PADDLESEG = "paddleseg.models.backbones"
_CLASSES = {
    f"{_PADDLESEG}.cae": "CAE",
    f"{_PADDLESEG}.ghostnet": "GhostNet",
    f"{_PADDLESEG}.hrformer": "HighResolutionTransformer",
    f"{_PADDLESEG}.hrnet": "HRNet",
    f"{_PADDLESEG}.lite_hrnet": "LiteHRNet",
    f"{_PADDLESEG}.mix_transformer": "MixVisionTransformer",
    f"{_PADDLESEG}.mobilenetv2": "MobileNetV2",
    f"{_PADDLESEG}.mobilenetv3": "MobileNetV3",
    f"{_PADDLESEG}.mscan": "MSCAN",
    f"{_PADDLESEG}.resnet_vd": "ResNet_vd",
    f"{_PADDLESEG}.shufflenetv2": "ShuffleNet",
    f"{_PADDLESEG}.stdcnet": "STDCNet",
    f"{_PADDLESEG}.strideformer": "StrideFormer",
    f"{_PADDLESEG}.swin_transformer": "SwinTransformer",
    f"{_PADDLESEG}.top_transformer": "TopTransformer",
    f"{_PADDLESEG}.uhrnet": "UHRNet",
    f"{_PADDLESEG}.vision_transformer": "VisionTransformer",
    f"{_PADDLESEG}.vit_adapter": "ViTAdapter",
    f"{_PADDLESEG}.xception_deeplab": "XceptionDeeplab",
}
"""Module of PaddleSeg -> class that its backbones, functions of **kwargs, instantiate."""

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _passed_on(target: Part) -> dict[str, inspect.Parameter]:
    """Return a class's arguments, none of them required: the function may set them."""
    return {
        name: p.replace(default=None) if p.default is p.empty else p
        for name, p in inspect.signature(target).parameters.items()
        if p.kind in _NAMED
    }


def is_part(node: Any) -> bool:
    """Return whether a value describes an object: a dictionary with a type."""
    return isinstance(node, dict) and isinstance(node.get("type"), str)


def _type_hints(part: Part) -> dict[str, Any]:
    """Return argument -> type: the annotation, else the type of the default."""
    try:
        hints = typing.get_type_hints(part.__init__ if inspect.isclass(part) else part)
    except (NameError, TypeError):
        hints = {}
    by_default = {
        name: type(p.default)
        for name, p in takes(part).items()
        if type(p.default) in (bool, int, float, str)
    }
    return by_default | hints


def _fits(value: Any, expected: Any) -> bool:
    """Return whether a YAML value is of an annotated type."""
    kind, arguments = typing.get_origin(expected), typing.get_args(expected)
    if kind in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in arguments)
    if kind is typing.Literal:
        return value in arguments
    if kind in (Sequence, list, tuple):
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    if expected is float:  # False for NaN, too
        return type(value) in (int, float) and abs(value) <= _LARGEST_FLOAT32
    if expected is int:
        return type(value) is int and abs(value) <= _LARGEST_INT64
    if expected in (bool, str, list, dict, types.NoneType):
        return isinstance(value, expected)
    return True


_LARGEST_FLOAT32, _LARGEST_INT64 = 3.4e38, (1 << 63) - 1
"""Paddle computes with these types."""

_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a string",
    list: "a list",
    dict: "a dictionary",
    types.NoneType: "null",
}


def _type_name(expected: Any) -> str:
    kind, arguments = typing.get_origin(expected), typing.get_args(expected)
    if kind in (typing.Union, types.UnionType):
        return " or ".join(map(_type_name, arguments))
    if kind is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if kind in (Sequence, list, tuple):
        return f"a list, each item {_type_name(arguments[0])}"
    return _TYPE_NAMES.get(expected, str(expected))
