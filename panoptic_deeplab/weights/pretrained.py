"""Weights that a training starts from."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from paddle import nn

from panoptic_deeplab.weights.download import local_weights
from panoptic_deeplab.weights.loading import load_weights

_log = logging.getLogger(__name__)

_PARTIAL_HINT = "to load what fits and learn the rest anew: --allow_partial"


def load_pretrained(
    model: nn.Layer,
    sources: Mapping[str, str],
    *,
    num_classes: int | None = None,
    partial: bool = False,
) -> None:
    """Loads each part's weights; what a file holds beyond them (a classifier) is left out.

    Args:
        model: the network.
        sources: attribute of the model ('' for the whole) -> file or https URL.
        num_classes: of the data set, to tell where only the number of classes differs.
        partial: load what fits and log what does not, as fine-tuning to other classes needs: a
            head of another shape keeps its fresh weights.

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
            num_classes=num_classes,
            hint="" if partial else _PARTIAL_HINT,
        )
        _log.info("Loaded %s from %s: %s", key, source, report)
        if report.misshapen:
            names = ", ".join(map(str, report.misshapen))
            _log.warning("Replaced, to be learnt anew (file -> here): %s", names)
