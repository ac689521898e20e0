"""SOLOv2 (Wang et al., NeurIPS 2020, https://arxiv.org/abs/2003.10152)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
from paddle import nn

import panoptic_deeplab.models.backbones  # noqa: F401  (importing registers them)
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.layers import run
from panoptic_deeplab.models.necks import FPN
from panoptic_deeplab.models.published_names import PublishedNames
from panoptic_deeplab.models.solo.head import CELL_OUTPUTS, SoloHead
from panoptic_deeplab.models.solo.instances import INSTANCE_OUTPUTS, SoloInstanceFinder
from panoptic_deeplab.registry import MODELS


@MODELS.add_component
class SOLOv2(PublishedNames):
    """A feature pyramid and SOLOv2's head: instances of things, without semantics.

    Names of the state dict are mmdetection's.

    Args:
        thing_ids: class indices of the things.
        backbone: returns features at strides 4, 8, 16 and 32 and has their `feat_channels`.
        channels: of the pyramid.
        grids: cells on each side of each level, as in the targets.
        solo_channels: of the head's towers.
        stacked_convs: convolutions in each tower.
        kernel_channels: of the kernels and the mask features.
        mask_channels: of the mask branch.
        score_threshold: as `SoloInstanceFinder`, and so the others up to `decay`.
        recompute: activation checkpointing in training.
    """

    output_names = INSTANCE_OUTPUTS
    training_output_names = tuple(f"train.{name}" for name in CELL_OUTPUTS)
    network_outputs = CELL_OUTPUTS
    needed_targets = ()

    def __init__(
        self,
        thing_ids: Sequence[int],
        backbone: nn.Layer,
        channels: int = 256,
        grids: Sequence[int] = (40, 36, 24, 16, 12),
        solo_channels: int = 512,
        stacked_convs: int = 4,
        kernel_channels: int = 256,
        mask_channels: int = 128,
        score_threshold: float = 0.1,
        max_candidates: int = 500,
        final_threshold: float = 0.05,
        max_instances: int = 100,
        decay: str = "gaussian",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if not thing_ids:
            raise UsageError("SOLOv2 needs classes that are things; the data set has none")
        self.backbone = backbone
        self.neck = FPN(backbone.feat_channels, channels)
        self.mask_head = SoloHead(
            len(thing_ids),
            channels,
            solo_channels,
            stacked_convs,
            grids,
            kernel_channels,
            mask_channels,
        )
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
        """[N, 3, H, W] ->

        - without targets what `SoloInstanceFinder` returns, with masks [K, H / 4, W / 4] (rounded
          up);
        - with targets `train`: what `network` returns, which `SOLOv2Loss` compares.
        """
        outputs = self.network(images)
        return self.find_instances(outputs) if targets is None else {"train": outputs}

    def network(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """[N, 3, H, W] -> `category_logits` [N, cells, T], `kernels` [N, cells, E] and
        `mask_features` [N, E, h, w].
        """
        recompute = self.recompute and self.training
        features = run(self.backbone, images, recompute=recompute)
        levels = run(self.neck, features, recompute=recompute)
        return dict(zip(CELL_OUTPUTS, run(self.mask_head, levels, recompute=recompute)))
