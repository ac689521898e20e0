"""Ground truth in place of some of a network's outputs, to see where the errors come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import paddle

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.structures import Sample

Outputs = Mapping[str, paddle.Tensor]


class Oracle:
    """Replaces outputs by ground truth before the grouping, as bowenc0221/panoptic-deeplab does.

    Ground truth means the training targets. The postprocessor knows how to write them as outputs:
    `oracle_names` lists what can be replaced, and `oracle(outputs, targets, names)` returns the
    outputs with the named ones replaced.

    Args:
        names: what to replace.
        targets: sample -> sample with training targets.
        postprocessor: of the method.

    Raises:
        UsageError: the method offers no oracle, or none of such a name.
    """

    def __init__(
        self, names: Sequence[str], targets: Callable[[Sample], Sample], postprocessor: Any
    ) -> None:
        method, known = type(postprocessor).__name__, getattr(postprocessor, "oracle_names", ())
        if not known:
            raise UsageError(f"{method} has no oracle; leave out --oracle")
        for name in names:
            if name not in known:
                raise UsageError(f"--oracle {name}: {method} knows {', '.join(known)}")
        self.names = tuple(dict.fromkeys(names))
        self.targets = targets
        self.postprocessor = postprocessor

    def add_truth(self, sample: Sample) -> Sample:
        """Add the targets to a transformed sample."""
        return self.targets(sample)

    def correct(self, outputs: Outputs, sample: Sample) -> Outputs:
        """Replace outputs of one image by the targets of its sample, which `add_truth` returned."""
        targets = {
            name: paddle.to_tensor(value[None])
            for name, value in sample.items()
            if isinstance(value, np.ndarray)
        }
        return self.postprocessor.oracle(outputs, targets, self.names)
