"""PaddleSeg comes without scikit-learn, and has it when it is used."""

from __future__ import annotations

import subprocess
import sys

from panoptic_deeplab.late_imports import import_metrics_late

PROGRAM = """
import sys
import numpy as np
from panoptic_deeplab.config import Config
from paddleseg.utils import metrics

assert "paddleseg.utils.metrics" in sys.modules
for name in ("sklearn", "pandas", "scipy.stats"):
    assert name not in sys.modules, name

# The pixels 0 and 2 are of class 0, the pixel 1 is of class 1, and so they are ordered: 0, 1, 2.
ones = np.array([0.1, 0.5, 0.6])
scores = np.stack([1 - ones, ones]).reshape(1, 2, 1, 3)
assert metrics.auc_roc(scores, np.array([0, 1, 0]).reshape(1, 1, 1, 3), num_classes=2) == 0.5

import sklearn.metrics
from sklearn.linear_model import LinearRegression

assert metrics.skmetrics is sklearn.metrics
assert LinearRegression.__module__.startswith("sklearn.")
"""


def test_scikit_learn_is_imported_when_a_metric_of_paddleseg_is_used() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], check=True)


def test_asking_again_changes_nothing() -> None:
    before = list(sys.meta_path)
    import_metrics_late()
    assert sys.meta_path == before
