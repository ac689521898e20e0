"""Attributes of one type and range, whose setters refuse others; a type in OpenDR's words."""

from __future__ import annotations

from typing import Any


class Checked:
    """An attribute that takes values of exactly one type.

    Args:
        kind: the type; no subclass of it, so that True is no number.
        min_value: of a number.
    """

    def __init__(self, kind: type, min_value: int | None = None) -> None:
        self.kind = kind
        self.min_value = min_value

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else vars(instance)[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        if type(value) is not self.kind:
            article = "an" if self.kind is int else "a"
            raise TypeError(f"{self.name} should be {article} {self.kind.__name__}")
        if self.min_value is not None and value < self.min_value:
            raise ValueError(f"{self.name} should be at least {self.min_value}, got {value}")
        vars(instance)[self.name] = value
