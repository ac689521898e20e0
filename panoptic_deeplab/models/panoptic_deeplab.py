"""Panoptic-DeepLab (Cheng et al., CVPR 2020, https://arxiv.org/abs/1911.10194)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import paddle
from paddle import nn

import panoptic_deeplab.models.backbones  # noqa: F401  (importing registers them)
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.decoders import DecoderForm, PanopticDecoder
from panoptic_deeplab.models.heads import PredictionHeads
from panoptic_deeplab.models.layers import refuse_impossible, run
from panoptic_deeplab.registry import MODELS


@MODELS.add_component
class PanopticDeepLab(nn.Layer):
    """One backbone, a semantic and an instance decoder, and light heads on each.

    Names and shapes of the state dict are those of PaddleSeg's contrib/PanopticDeepLab, so that
    checkpoints published for it load unchanged.

    Args:
        num_classes: semantic classes.
        backbone: returns a list of features and has their `feat_channels`, as PaddleSeg's
            backbones do.
        backbone_indices: features for the decoders, from coarse to fine, then the ASPP's. The
            finest must be at stride 4.
        aspp_ratios: dilation of the ASPP's branches; 1 is a 1x1 convolution.
        aspp_out_channels: of the semantic ASPP.
        decoder_channels: of the semantic decoder and head.
        low_level_channels_projects: of the semantic decoder's skip connections.
        align_corners: of every bilinear resize; True fits sizes of 32 n + 1.
        instance_aspp_out_channels: of the instance ASPP.
        instance_decoder_channels: of the instance decoder.
        instance_low_level_channels_projects: of its skip connections.
        instance_num_classes: channels of the instance heads.
        instance_head_channels: of the instance heads' hidden layer.
        instance_class_key: names of the instance heads.
        drop_rate: of the dropout at the end of each ASPP.
        aspp_pooling: what follows the pooling of an ASPP: a 1x1 convolution with batch `norm`, with
            a `bias`, or neither (`plain`), and ReLU.
        aspp_pooling_window: [width, height] of that pooling in feature-map locations, such as a
            training crop has (detectron2's form); null pools the whole map.
        separable_aspp: whether the dilated convolutions are separable.
        separable: 5x5 separable convolutions in decoders and heads, not two plain 3x3 ones.
        separable_center: the same for the center head alone.
        finer_first: the finer feature comes first where two are joined.
        recompute: activation checkpointing in training.
    """

    output_names = ("semantic", "center", "offset")

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer,
        backbone_indices: Sequence[int] = (2, 1, 0, 3),
        aspp_ratios: Sequence[int] = (1, 6, 12, 18),
        aspp_out_channels: int = 256,
        decoder_channels: int = 256,
        low_level_channels_projects: Sequence[int] = (128, 64, 32),
        align_corners: bool = False,
        instance_aspp_out_channels: int = 256,
        instance_decoder_channels: int = 128,
        instance_low_level_channels_projects: Sequence[int] = (64, 32, 16),
        instance_num_classes: Sequence[int] = (1, 2),
        instance_head_channels: int = 32,
        instance_class_key: Sequence[str] = ("center", "offset"),
        drop_rate: float = 0.5,
        aspp_pooling: Literal["norm", "bias", "plain"] = "norm",
        aspp_pooling_window: Sequence[int] | None = None,
        separable_aspp: bool = False,
        separable: bool = True,
        separable_center: bool = True,
        finer_first: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        instance_channels = dict(zip(instance_class_key, instance_num_classes, strict=True))
        if instance_channels != {"center": 1, "offset": 2}:
            raise UsageError(
                "instance_class_key and instance_num_classes must be [center, offset] and [1, 2], "
                f"got {list(instance_class_key)} and {list(instance_num_classes)}"
            )
        refuse_impossible(
            aspp_ratios=aspp_ratios,
            low_level_channels_projects=low_level_channels_projects,
            instance_low_level_channels_projects=instance_low_level_channels_projects,
        )
        if aspp_pooling_window is not None:
            refuse_impossible(aspp_pooling_window=aspp_pooling_window)
            if len(aspp_pooling_window) != 2:
                raise UsageError(
                    f"aspp_pooling_window must be [width, height], got {list(aspp_pooling_window)}"
                )
            width, height = aspp_pooling_window
            aspp_pooling_window = (height, width)
        form = DecoderForm(
            align_corners,
            drop_rate,
            aspp_pooling,
            aspp_pooling_window,
            separable_aspp,
            separable,
            finer_first,
        )
        are_separable = {"semantic": separable, "center": separable_center, "offset": separable}
        plain = [name for name, is_separable in are_separable.items() if not is_separable]
        self.backbone = backbone
        self.recompute = recompute
        channels = [backbone.feat_channels[i] for i in backbone_indices]
        self.head = PanopticDeepLabHead(
            semantic_decoder=PanopticDecoder(
                backbone_indices,
                channels,
                aspp_ratios,
                aspp_out_channels,
                decoder_channels,
                low_level_channels_projects,
                form,
            ),
            semantic_head=PredictionHeads(
                {"semantic": num_classes}, decoder_channels, decoder_channels, plain
            ),
            instance_decoder=PanopticDecoder(
                backbone_indices,
                channels,
                aspp_ratios,
                instance_aspp_out_channels,
                instance_decoder_channels,
                instance_low_level_channels_projects,
                form,
            ),
            instance_head=PredictionHeads(
                instance_channels,
                instance_decoder_channels,
                instance_head_channels,
                plain,
            ),
            recompute=recompute,
        )

    def forward(
        self, images: paddle.Tensor, targets: dict[str, paddle.Tensor] | None = None
    ) -> dict[str, paddle.Tensor]:
        """[N, 3, H, W] -> `semantic`, `center` and `offset` at stride 4.

        `semantic` [N, C, h, w] are logits, `center` [N, 1, h, w] the center heatmap, `offset`
        [N, 2, h, w] the offset (y, x) to the instance center in input pixels. `targets` are not
        used.
        """
        recompute = self.recompute and self.training
        outputs = self.head(run(self.backbone, images, recompute=recompute))
        return outputs | {"offset": outputs["offset"] * OUTPUT_STRIDE}


OUTPUT_STRIDE = 4
"""The reference takes height // h or (height - 1) // (h - 1), which is 3 for heights of 4 n + 2."""


class PanopticDeepLabHead(nn.Layer):
    """The two decoders and their heads, over the same features."""

    def __init__(
        self,
        semantic_decoder: nn.Layer,
        semantic_head: nn.Layer,
        instance_decoder: nn.Layer,
        instance_head: nn.Layer,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.semantic_decoder = semantic_decoder
        self.semantic_head = semantic_head
        self.instance_decoder = instance_decoder
        self.instance_head = instance_head

    def forward(self, features: Sequence[paddle.Tensor]) -> dict[str, paddle.Tensor]:
        """All outputs by name, at the finest feature's stride."""
        recompute = self.recompute and self.training
        semantic = run(self.semantic_decoder, features, recompute=recompute)
        instance = run(self.instance_decoder, features, recompute=recompute)
        semantic = run(self.semantic_head, semantic, recompute=recompute)
        instance = run(self.instance_head, instance, recompute=recompute)
        return semantic | instance
