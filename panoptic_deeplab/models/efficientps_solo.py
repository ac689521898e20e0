"""EfficientPS with SOLOv2's location-based instances in place of its two-stage detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

import panoptic_deeplab.models.backbones  # noqa: F401  (importing registers them)
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.conv_norm import use_instance_norm
from panoptic_deeplab.models.layers import run
from panoptic_deeplab.models.necks import TwoWayFPN
from panoptic_deeplab.models.semantic_dpc import SemanticDPCHead
from panoptic_deeplab.models.solo.head import CELL_OUTPUTS, SoloHead
from panoptic_deeplab.models.solo.instances import INSTANCE_OUTPUTS, SoloInstanceFinder
from panoptic_deeplab.registry import MODELS


@MODELS.add_component
class EfficientPSSolo(nn.Layer):
    """One backbone and pyramid, EfficientPS's semantic head, and SOLOv2's instance head.

    The head reads the pyramid's four levels and a fifth, every second location of the coarsest.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        backbone: returns features at strides 4, 8, 16 and 32 and has their `feat_channels`.
        channels: of the pyramid.
        semantic_channels: of the semantic head's branches.
        grids: cells on each side of each level, as in the targets.
        solo_channels: of the instance head's towers.
        stacked_convs: convolutions in each tower.
        kernel_channels: of the kernels and the mask features.
        mask_channels: of the mask branch.
        score_threshold: as `SoloInstanceFinder`, and so the others up to `decay`.
        instance_norm: instead of batch norm, to train from random weights with few images a step.
        recompute: activation checkpointing in training.
    """

    output_names = ("semantic", *INSTANCE_OUTPUTS)
    training_output_names = ("semantic", *(f"train.{name}" for name in CELL_OUTPUTS))
    network_outputs = ("semantic", *CELL_OUTPUTS)
    needed_targets = ()

    def __init__(
        self,
        num_classes: int,
        thing_ids: Sequence[int],
        backbone: nn.Layer,
        channels: int = 256,
        semantic_channels: int = 128,
        grids: Sequence[int] = (40, 36, 24, 16, 12),
        solo_channels: int = 256,
        stacked_convs: int = 2,
        kernel_channels: int = 128,
        mask_channels: int = 128,
        score_threshold: float = 0.1,
        max_candidates: int = 500,
        final_threshold: float = 0.05,
        max_instances: int = 100,
        decay: str = "gaussian",
        instance_norm: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if not thing_ids:
            raise UsageError("EfficientPSSolo needs classes that are things; there are none")
        self.backbone = backbone
        self.neck = TwoWayFPN(backbone.feat_channels, channels)
        self.semantic_head = SemanticDPCHead(num_classes, channels, semantic_channels)
        self.mask_head = SoloHead(
            len(thing_ids),
            channels,
            solo_channels,
            stacked_convs,
            grids,
            kernel_channels,
            mask_channels,
        )
        if instance_norm:
            use_instance_norm(self)
        self.find_instances = SoloInstanceFinder(
            grids,
            thing_ids,
            score_threshold,
            max_candidates,
            final_threshold,
            max_instances,
            decay,
        )
        self.recompute = recompute

    def forward(
        self, images: paddle.Tensor, targets: Mapping[str, paddle.Tensor] | None = None
    ) -> dict[str, Any]:
        """[N, 3, H, W] -> `semantic` logits [N, C, H / 4, W / 4] (rounded up) and

        - without targets what `SoloInstanceFinder` returns, with masks of the size of `semantic`;
        - with targets `train`: all other outputs of `network`, which `EfficientPSSoloLoss`
          compares.
        """
        outputs = self.network(images)
        if targets is None:
            return self.find_instances(outputs)
        return {"semantic": outputs.pop("semantic"), "train": outputs}

    def network(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """[N, 3, H, W] -> `semantic`, `category_logits` [N, cells, T], `kernels` [N, cells, E] and
        `mask_features` [N, E, h, w].
        """
        recompute = self.recompute and self.training
        features = run(self.backbone, images, recompute=recompute)
        levels = run(self.neck, features, recompute=recompute)
        pyramid = [*levels, F.max_pool2d(levels[-1], 1, stride=2)]
        cells = run(self.mask_head, pyramid, recompute=recompute)
        return {"semantic": self.semantic_head(levels), **dict(zip(CELL_OUTPUTS, cells))}
