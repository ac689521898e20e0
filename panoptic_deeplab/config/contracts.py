"""Check that the parts of a configuration belong to one method: each gets what it needs.

The classes declare it. A model has its `output_names` and, where training has others, its
`training_output_names`; targets have the `target_names` that they add; criterion, postprocessor and
model have their `needed_outputs` and `needed_targets`. A class without these is not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from panoptic_deeplab.errors import UsageError

Part = Callable[..., Any]


class _Contract(NamedTuple):
    """Two sections of a configuration, and the attributes of their parts that have to agree."""

    giver: str
    given: str
    taker: str
    needed: str


_CONTRACTS = (
    _Contract("model", "output_names", "postprocessor", "needed_outputs"),
    _Contract("model", "training_output_names", "criterion", "needed_outputs"),
    _Contract("targets", "target_names", "model", "needed_targets"),
    _Contract("targets", "target_names", "criterion", "needed_targets"),
)

_FALLBACKS = {"training_output_names": "output_names"}
"""Attribute -> attribute that is read where a class lacks it."""


def check_contracts(parts: Mapping[str, Part], source_of: Callable[[str, str], str]) -> None:
    """Refuse parts of different methods.

    Args:
        parts: section -> class, for the sections that the configuration has.
        source_of: two sections -> the file that brought them together.

    Raises:
        UsageError: a part needs what another does not provide; the message names both.
    """
    for contract in _CONTRACTS:
        giver, taker = parts.get(contract.giver), parts.get(contract.taker)
        given, needed = _names(giver, contract.given), _names(taker, contract.needed)
        if given is None or needed is None:
            continue
        lacking = [name for name in needed if name not in given]
        if lacking:
            source = source_of(contract.giver, contract.taker)
            raise UsageError(
                f"{source}: {contract.giver} {giver.__name__} gives "
                f"{', '.join(given)}, but {contract.taker} {taker.__name__} needs "
                f"{', '.join(lacking)}; take both from one method"
            )


def _names(part: Part | None, attribute: str) -> tuple[str, ...] | None:
    """Return what a class declares under an attribute, None where it declares nothing."""
    own = getattr(part, attribute, None)
    return own or getattr(part, _FALLBACKS.get(attribute, attribute), None)
