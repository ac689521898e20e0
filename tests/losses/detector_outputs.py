"""What a two-stage detector gives to its losses, so small that they can be computed by hand."""

from __future__ import annotations

import numpy as np
import paddle


def train_outputs(**changes: object) -> dict[str, paddle.Tensor]:
    """Two anchors, three regions and one mask, all undecided and without weight."""
    plain = {
        "rpn_logits": [0.0, 0.0],
        "rpn_labels": [0.0, 0.0],
        "rpn_weights": [0.0, 0.0],
        "rpn_offsets": [[0.0] * 4] * 2,
        "rpn_offset_targets": [[0.0] * 4] * 2,
        "class_logits": [[0.0, 0.0]] * 3,
        "region_weights": [0.0] * 3,
        "box_offsets": [[0.0] * 4] * 3,
        "box_offset_targets": [[0.0] * 4] * 3,
        "mask_logits": np.zeros((1, 28, 28)),
        "mask_targets": np.zeros((1, 28, 28)),
        "mask_weights": [0.0],
    }
    labels = {"class_labels": changes.pop("class_labels", [0, 0, 0])}
    tensors = {n: paddle.to_tensor(np.array(v, np.float32)) for n, v in (plain | changes).items()}
    return tensors | {n: paddle.to_tensor(np.array(v, np.int64)) for n, v in labels.items()}
