"""The losses of Panoptic-DeepLab (https://arxiv.org/abs/1911.10194, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.losses.across_ranks import hardest_mean_of, weighted_mean
from panoptic_deeplab.registry import CRITERIA
from panoptic_deeplab.resample import Upsampled, resize_outputs


@CRITERIA.add_component
class PanopticDeepLabLoss:
    """Hard-pixel cross entropy, squared error of the center heatmap, absolute error of the offsets.

    - `semantic_loss`: cross entropy times `semantic_weights`, 0 where ignored, averaged over the
      hardest `top_k_percent_pixels` of all pixels of the batch (DeeperLab's bootstrapping);
    - `center_loss`: sum(w * squared error) / sum(w);
    - `offset_loss`: sum(w * absolute error) / sum(w), w counted for both channels.

    The values equal those of PaddleSeg's contrib/PanopticDeepLab. A batch without anything to
    learn centers or offsets from gives 0 there, with every parameter still in the graph. Over
    several processes all means are those of the whole batch.

    Args:
        ignore_index: label without a loss.
        top_k_percent_pixels: fraction of the pixels kept, 0..1.
        semantic_weight: factor of the semantic loss.
        center_weight: factor of the center loss.
        offset_weight: factor of the offset loss (the paper and the authors' code: 0.01).
        class_weights: factor of each class in the cross entropy, by class index; 0 leaves a class
            out.
        num_classes: of the network, to check `class_weights`.
        stride: compare at every stride-th pixel only; 1 is the paper's.
        align_corners: as the model's.
    """

    needed_outputs = ("semantic", "center", "offset")
    needed_targets = (
        *("semantic", "center", "offset"),
        *("semantic_weights", "center_weights", "offset_weights"),
    )

    def __init__(
        self,
        ignore_index: int = 255,
        top_k_percent_pixels: float = 0.2,
        semantic_weight: float = 1.0,
        center_weight: float = 200.0,
        offset_weight: float = 0.001,
        class_weights: Sequence[float] | None = None,
        num_classes: int | None = None,
        stride: int = 1,
        align_corners: bool = True,
    ) -> None:
        if not 0 < top_k_percent_pixels <= 1:
            raise UsageError(f"top_k_percent_pixels must be in 0..1, got {top_k_percent_pixels}")
        if stride < 1:
            raise UsageError(f"stride must be at least 1, got {stride}")
        self.ignore_index = ignore_index
        self.top_k_percent_pixels = top_k_percent_pixels
        self.semantic_weight = semantic_weight
        self.center_weight = center_weight
        self.offset_weight = offset_weight
        self.class_weights = None
        if class_weights is not None:
            _check_class_weights(class_weights, num_classes or len(class_weights))
            self.class_weights = paddle.to_tensor(class_weights, "float32")
        self.stride = stride
        self.align_corners = align_corners

    def __call__(
        self, outputs: Mapping[str, paddle.Tensor], targets: Mapping[str, paddle.Tensor]
    ) -> dict[str, paddle.Tensor]:
        """Return the losses as scalars.

        Args:
            outputs: `semantic` [N, C, h, w], `center` [N, 1, h, w], `offset` [N, 2, h, w].
            targets: what `CenterOffsetTargets` adds, stacked: [N, H, W], `offset` [N, 2, H, W].
        """
        targets = {name: self._thinned(targets[name]) for name in self.needed_targets}
        size = targets["semantic"].shape[-2:]
        instances = {name: outputs[name] for name in ("center", "offset")}
        resized = resize_outputs(instances, size, align_corners=self.align_corners)
        return {
            "semantic_loss": self.semantic_weight * self._semantic(outputs["semantic"], targets),
            "center_loss": self.center_weight * self._center(resized, targets),
            "offset_loss": self.offset_weight * self._offset(resized, targets),
        }

    def _thinned(self, target: paddle.Tensor) -> paddle.Tensor:
        """Return every stride-th row and column of [..., H, W].

        With aligned corners location i stands for pixel stride * i. Without, its middle lies
        between pixels; alternating between them favors none.
        """
        for axis in (-2, -1) if self.stride > 1 else ():
            locations = paddle.arange(-(-target.shape[axis] // self.stride))
            shift = 0 if self.align_corners else locations % self.stride
            pixels = (locations * self.stride + shift).clip(max=target.shape[axis] - 1)
            target = target.gather(pixels, axis=target.ndim + axis)
        return target

    def _semantic(
        self, logits: paddle.Tensor, targets: Mapping[str, paddle.Tensor]
    ) -> paddle.Tensor:
        """Semantic loss; the backward pass upsamples only the logits of the hardest pixels."""
        labels, weights = targets["semantic"].flatten(), targets["semantic_weights"].flatten()
        upsampled = Upsampled(logits, targets["semantic"].shape[-2:], self.align_corners)

        def losses_at(pixels: paddle.Tensor) -> paddle.Tensor:
            losses = F.cross_entropy(
                upsampled.at(pixels),
                labels.gather(pixels).astype("int64"),
                weight=self.class_weights,
                ignore_index=self.ignore_index,
                reduction="none",
            )
            return losses * weights.gather(pixels).astype("float32")

        return hardest_mean_of(losses_at, upsampled.count, self.top_k_percent_pixels)

    def _center(
        self, outputs: Mapping[str, paddle.Tensor], targets: Mapping[str, paddle.Tensor]
    ) -> paddle.Tensor:
        predicted = outputs["center"]
        errors = F.square_error_cost(predicted, targets["center"].reshape(predicted.shape))
        return _mean_over_channels(errors, targets["center_weights"])

    def _offset(
        self, outputs: Mapping[str, paddle.Tensor], targets: Mapping[str, paddle.Tensor]
    ) -> paddle.Tensor:
        errors = (outputs["offset"] - targets["offset"]).abs()
        return _mean_over_channels(errors, targets["offset_weights"])


def _check_class_weights(weights: Sequence[float], num_classes: int) -> None:
    if len(weights) != num_classes:
        raise UsageError(
            f"class_weights needs one number for each of the {num_classes} classes, got "
            f"{len(weights)}"
        )
    wrong = [weight for weight in weights if not 0 <= weight < math.inf]
    if wrong:
        raise UsageError(f"class_weights must be finite and not negative, got {wrong[0]}")
    if not any(weights):
        raise UsageError("class_weights must not all be 0, which would leave nothing to learn from")


def _mean_over_channels(errors: paddle.Tensor, weights: paddle.Tensor) -> paddle.Tensor:
    """Mean of errors [N, C, H, W] under weights [N, H, W], which count for each channel."""
    return weighted_mean(errors, weights.astype("float32").unsqueeze(1).expand_as(errors))
