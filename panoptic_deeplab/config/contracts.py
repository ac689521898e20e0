"""Whether the parts of a configuration are of one method: each gets what it needs from the others.

The classes say it themselves. A model tells its `output_names` and, where training has others,
its `training_output_names`; targets tell the `target_names` that they add; criterion,
postprocessor and model tell their `needed_outputs` and `needed_targets`. A class that says nothing
is not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from panoptic_deeplab.errors import UsageError

Part = Callable[..., Any]


class _Contract(NamedTuple):
    """Sections of a configuration, and the attributes of their parts that have to agree."""

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

_STANDS_FOR = {"training_output_names": "output_names"}
"""What counts where a class does not have an attribute of its own."""


def check_contracts(parts: Mapping[str, Part], source_of: Callable[[str, str], str]) -> None:
    """Refuses parts of different methods.

    Args:
        parts: section -> class, of those that the configuration has.
        source_of: two sections -> the file that brought them together.

    Raises:
        UsageError: a part needs what another does not give; the message names both.
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
    """What a class says under an attribute, None where it says nothing."""
    own = getattr(part, attribute, None)
    return own or getattr(part, _STANDS_FOR.get(attribute, attribute), None)
