"""The truth in place of some of a network's outputs, to see where the errors come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import paddle

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.structures import Sample

Outputs = Mapping[str, paddle.Tensor]


class Oracle:
    """Replaces outputs by the truth before the grouping, as bowenc0221/panoptic-deeplab tests.

    The truth is what the network is trained on; how it is written as an output is the
    postprocessor's to say: it has `oracle_names`, and `oracle(outputs, targets, names)` returns
    the outputs with those replaced.

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
        """A transformed sample with its targets."""
        return self.targets(sample)

    def correct(self, outputs: Outputs, sample: Sample) -> Outputs:
        """The outputs of one image with the truth of its sample, as `add_truth` returned it."""
        targets = {
            name: paddle.to_tensor(value[None])
            for name, value in sample.items()
            if isinstance(value, np.ndarray)
        }
        return self.postprocessor.oracle(outputs, targets, self.names)
