"""Find what is wrong with a data set before training on it, and count what is in it.

    from panoptic_deeplab.check import check_dataset
    from panoptic_deeplab.config import Config

    report = check_dataset(Config("own_data.yml"), num_workers=4)
    print(report.to_text())

findings (kinds of faults) <- images (one image) <- splits (a data set, train beside val)
statistics (counts) -> tables (text), chart and samples (images) -> report
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from panoptic_deeplab.check.report import Report
    from panoptic_deeplab.config import Config

SPLITS = ("train", "val")


def check_dataset(config: Config, splits: Sequence[str] = SPLITS, num_workers: int = 1) -> Report:
    """Read the splits of a configuration as a training would, alone and beside each other.

    Args:
        config: names the data sets. Where its training split cannot be opened, its classes become
            those of the validation split.
        splits: train, val or both, in this order; those that the configuration lacks are left out.
        num_workers: threads that read.

    Returns:
        What is wrong, and what is in the splits that could be opened.

    Raises:
        UsageError: the configuration has none of the splits.
    """
    from panoptic_deeplab.check.report import Report  # here, so that --help does without Paddle
    from panoptic_deeplab.check.splits import check_splits

    return Report(*check_splits(config, splits, num_workers))
