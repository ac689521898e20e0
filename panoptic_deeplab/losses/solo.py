"""The losses of SOLOv2, and of EfficientPS with a SOLOv2 head.

SOLOv2's are those of https://arxiv.org/abs/2003.10152, section 3.3: a focal loss for the category
of each cell and a Dice loss for the mask of each positive one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.losses.across_ranks import mean_of_total
from panoptic_deeplab.losses.worst_pixels import worst_pixels_loss
from panoptic_deeplab.registry import CRITERIA

_ALPHA, _GAMMA = 0.25, 2.0
_SMALL = 1e-3
_MASKS_AT_ONCE = 32


_SOLO_OUTPUTS = ("train.category_logits", "train.kernels", "train.mask_features")
_SOLO_TARGETS = ("instances", "categories", "cells", "owners")


@CRITERIA.add_component
class SOLOv2Loss:
    """Categories of cells and masks; their sum is the loss.

    - `category_loss`: focal loss of all cells over the number of positive cells + 1;
    - `mask_loss`: Dice losses of all masks over the number of positive cells. Two instances may
      share a cell, which counts once.

    Over several processes both means are those of the whole batch.

    Args:
        category_weight: factor of its loss.
        mask_weight: factor of its loss.
    """

    needed_outputs = _SOLO_OUTPUTS
    needed_targets = _SOLO_TARGETS

    def __init__(self, category_weight: float = 1.0, mask_weight: float = 3.0) -> None:
        self.category_weight = category_weight
        self.mask_weight = mask_weight

    def __call__(
        self, outputs: Mapping[str, Any], targets: Mapping[str, paddle.Tensor]
    ) -> dict[str, paddle.Tensor]:
        """Return the losses as scalars.

        Args:
            outputs: `train` of `SOLOv2`.
            targets: of `SoloGridTargets`.

        Raises:
            UsageError: the targets are of other grids than the model.
        """
        train = outputs["train"]
        predicted, wanted = train["category_logits"].shape[1], targets["categories"].shape[1]
        if predicted != wanted:
            raise UsageError(
                f"model.grids have {predicted} cells and targets.grids have {wanted}; give both "
                "the same grids"
            )
        return {
            "category_loss": self.category_weight
            * category_loss(train["category_logits"], targets["categories"]),
            "mask_loss": self.mask_weight
            * mask_loss(train["kernels"], train["mask_features"], targets),
        }


@CRITERIA.add_component
class EfficientPSSoloLoss:
    """Semantics, categories of cells, masks; their sum is the loss.

    `semantic_loss` is as `EfficientPSLoss`, the others are as `SOLOv2Loss`.

    Args:
        ignore_index: semantic label without a loss.
        top_k_percent_pixels: fraction of the pixels kept, 0..1.
        semantic_weight: factor of the semantic loss.
        category_weight: factor of its loss.
        mask_weight: factor of its loss.
        align_corners: as the model's.
    """

    needed_outputs = ("semantic", *_SOLO_OUTPUTS)
    needed_targets = ("semantic", *_SOLO_TARGETS)

    def __init__(
        self,
        ignore_index: int = 255,
        top_k_percent_pixels: float = 0.25,
        semantic_weight: float = 1.0,
        category_weight: float = 1.0,
        mask_weight: float = 3.0,
        align_corners: bool = False,
    ) -> None:
        if not 0 < top_k_percent_pixels <= 1:
            raise UsageError(f"top_k_percent_pixels must be in 0..1, got {top_k_percent_pixels}")
        self.ignore_index = ignore_index
        self.top_k_percent_pixels = top_k_percent_pixels
        self.semantic_weight = semantic_weight
        self.align_corners = align_corners
        self.instance_losses = SOLOv2Loss(category_weight, mask_weight)

    def __call__(
        self, outputs: Mapping[str, Any], targets: Mapping[str, paddle.Tensor]
    ) -> dict[str, paddle.Tensor]:
        """Return the losses as scalars.

        Args:
            outputs: `semantic` [N, C, h, w] and `train` of `EfficientPSSolo`.
            targets: of `SoloGridTargets`.

        Raises:
            UsageError: the targets are of other grids than the model.
        """
        instances = self.instance_losses(outputs, targets)
        semantic = worst_pixels_loss(
            outputs["semantic"],
            targets["semantic"],
            self.top_k_percent_pixels,
            self.ignore_index,
            self.align_corners,
        )
        return {"semantic_loss": self.semantic_weight * semantic} | instances


def category_loss(logits: paddle.Tensor, categories: paddle.Tensor) -> paddle.Tensor:
    """Focal loss (Lin et al., https://arxiv.org/abs/1708.02002) of all cells.

    Args:
        logits: [N, cells, T].
        categories: [N, cells] int64, 1..T, 0 for a cell without an instance.
    """
    is_category = F.one_hot(categories, logits.shape[-1] + 1)[:, :, 1:]
    total = F.sigmoid_focal_loss(logits, is_category, None, _ALPHA, _GAMMA, reduction="sum")
    return mean_of_total(total, _positive_cells(categories), more=1.0)


def mask_loss(
    kernels: paddle.Tensor, features: paddle.Tensor, targets: Mapping[str, paddle.Tensor]
) -> paddle.Tensor:
    """Dice losses of all masks over the number of positive cells.

    Args:
        kernels: [N, cells, E].
        features: [N, E, h, w] at a quarter of the image's size, rounded up.
        targets: `instances` [N, H, W], `cells` and `owners` [N, P], `categories` [N, cells].
    """
    quarters = _quarters(targets["instances"])
    owners = targets["owners"]
    chosen = paddle.take_along_axis(kernels, targets["cells"].unsqueeze(2), 1)
    dice = _Dice.apply(chosen, features.flatten(2), quarters, owners)
    total = (dice * (owners > 0).astype("float32")).sum()
    return mean_of_total(total, _positive_cells(targets["categories"]))


def _positive_cells(categories: paddle.Tensor) -> paddle.Tensor:
    return (categories > 0).astype("float32").sum()


def _quarters(instances: paddle.Tensor) -> paddle.Tensor:
    """[N, H, W] -> [N, 4, L]: the middle two by two pixels of each block of four by four."""
    below, beside = (-side % 4 for side in instances.shape[1:])
    padded = F.pad(instances.unsqueeze(1), [0, beside, 0, below]).squeeze(1)
    parts = [padded[:, y::4, x::4] for y in (1, 2) for x in (1, 2)]
    return paddle.stack(parts, 1).flatten(2)


class _Dice(paddle.autograd.PyLayer):
    """Dice losses of masks that are made a few at a time, and once more in the backward pass.

    So memory does not grow with the number of masks. Of a mask with probabilities p and target t
    the loss is 1 - 2 sum(p t) / (sum(p p) + sum(t t) + 0.002).
    """

    @staticmethod
    def forward(
        context: Any,
        kernels: paddle.Tensor,
        features: paddle.Tensor,
        quarters: paddle.Tensor,
        owners: paddle.Tensor,
    ) -> paddle.Tensor:
        """[N, P, E] kernels, [N, E, L] features, [N, 4, L] slots, [N, P] slots -> [N, P]."""
        context.save_for_backward(kernels, features, quarters, owners)
        losses = paddle.zeros(owners.shape, kernels.dtype)
        for n, part, masks, target in _masks(kernels, features, quarters, owners):
            overlap, size = _sums(masks, target)
            losses[n, part] = 1 - 2 * overlap / size
        return losses

    @staticmethod
    def backward(context: Any, gradient: paddle.Tensor) -> tuple[Any, ...]:
        """The gradients of kernels and features."""
        kernels, features, quarters, owners = context.saved_tensor()
        of_kernels, of_features = paddle.zeros_like(kernels), paddle.zeros_like(features)
        for n, part, masks, target in _masks(kernels, features, quarters, owners):
            overlap, size = (sums.unsqueeze(1) for sums in _sums(masks, target))
            of_masks = 2 * (2 * overlap * masks / size - target) / size
            of_logits = gradient[n, part].unsqueeze(1) * of_masks * masks * (1 - masks)
            of_kernels[n, part] = of_logits @ features[n].t()
            of_features[n] += kernels[n, part].t() @ of_logits
        return of_kernels, of_features, None, None


def _masks(
    kernels: paddle.Tensor, features: paddle.Tensor, quarters: paddle.Tensor, owners: paddle.Tensor
) -> Iterator[tuple[int, slice, paddle.Tensor, paddle.Tensor]]:
    """Yield some masks of an image: its index, which, [K, L] probabilities and [K, L] targets.

    The target is an instance's own mask at a quarter of its size: the middle two by two pixels
    averaged and rounded, one half up, as OpenCV's bilinear resize does it.
    """
    for n in range(len(kernels)):
        for start in range(0, kernels.shape[1], _MASKS_AT_ONCE):
            part = slice(start, start + _MASKS_AT_ONCE)
            slots = owners[n, part].astype(quarters.dtype).reshape([-1, 1, 1])
            target = (quarters[n].unsqueeze(0) == slots).astype("float32").sum(1) >= 2
            masks = F.sigmoid(kernels[n, part] @ features[n])
            yield n, part, masks, target.astype(masks.dtype)


def _sums(masks: paddle.Tensor, target: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """[K] sum(p t) and [K] sum(p p) + sum(t t), kept from zero."""
    size = (masks * masks).sum(1) + target.sum(1) + 2 * _SMALL
    return (masks * target).sum(1), size
