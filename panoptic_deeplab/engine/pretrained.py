"""Weights that a training starts from."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from paddle import nn

from panoptic_deeplab.engine.download import local_weights
from panoptic_deeplab.engine.weights import load_weights

_log = logging.getLogger(__name__)


def load_pretrained(model: nn.Layer, sources: Mapping[str, str], *, partial: bool = False) -> None:
    """Loads each part's weights; what a file holds beyond them (a classifier) is left out.

    Args:
        model: the network.
        sources: attribute of the model ('' for the whole) -> file or https URL.
        partial: load what fits and log what does not, as fine-tuning to other classes needs.

    Raises:
        DataError: a file is missing, cannot be fetched, or is of another network.
    """
    for name, source in sources.items():
        key = ".".join(filter(None, ("model", name, "pretrained")))
        path = local_weights(source, f"or train without it: --opts {key}=null")
        part = getattr(model, name) if name else model
        report = load_weights(
            part,
            path,
            partial=partial,
            extra_allowed=bool(name),
            way_out="" if partial else "to load what fits: --allow_partial",
        )
        _log.info("Loaded %s from %s: %s", key, source, report)
