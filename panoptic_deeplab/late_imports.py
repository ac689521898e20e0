"""Modules of other packages that wait until somebody uses them, so that commands start quickly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

METRICS = "paddleseg.utils.metrics"


def import_metrics_late() -> None:
    """Let `import paddleseg` put off its metrics until one of them is used.

    They import scikit-learn, and with it pandas and scipy.stats, for one function, which takes as
    long as importing Paddle; nothing here uses any of them. PaddleSeg's module stands in its place
    from the start and is executed when an attribute of it is read, by the standard library's
    `LazyLoader`. Scikit-learn itself is left alone, whoever imports it. Nothing happens where
    PaddleSeg has been imported already.
    """
    if not any(isinstance(finder, _MetricsFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _MetricsFinder())


class _MetricsFinder:
    """Finds that module alone, where it lies, with a loader that waits.

    It stays: to take it out would disturb other threads that go through the finders.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == METRICS else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec
