"""A warning on one topic is given once."""

from __future__ import annotations

import logging

import pytest

from panoptic_deeplab import notices
from panoptic_deeplab.notices import warn_once


def test_the_first_of_a_topic_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_given", set())
    log, told = logging.Logger("alone"), []
    log.addHandler(logging.Handler())
    monkeypatch.setattr(log.handlers[0], "emit", lambda record: told.append(record.getMessage()))
    for topic, name in (("depth", "a"), ("depth", "b"), (("depth", 12), "c")):
        warn_once(log, topic, "%s is dark", name)
    assert told == ["a is dark", "c is dark"]
