"""HRNet (Wang et al., TPAMI 2020, https://arxiv.org/abs/1908.07919) as separate branches."""

from __future__ import annotations

import paddle
from paddleseg.models.backbones.hrnet import HRNet

from panoptic_deeplab.registry import BACKBONES


@BACKBONES.add_component
class HRNetPyramid(HRNet):
    """The four branches of the last stage, at strides 4, 8, 16 and 32.

    PaddleSeg's HRNet enlarges and joins them into one map of stride 4. Taken one by one, as in
    bowenc0221/panoptic-deeplab, they feed the decoders as the stages of a ResNet do. The names of
    the state dict are PaddleSeg's, so that its pretrained weights load.

    Args:
        width: channels of the finest branch; each coarser one has twice as many.
        align_corners: of the resizes between branches.
    """

    def __init__(self, width: int = 48, align_corners: bool = False) -> None:
        channels = [width * 2**branch for branch in range(4)]
        super().__init__(
            stage2_num_channels=channels[:2],
            stage3_num_channels=channels[:3],
            stage4_num_channels=channels,
            align_corners=align_corners,
        )
        self.feat_channels = channels

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """[N, 3, H, W] -> the features, fine to coarse."""
        x = self.la1(self.conv_layer1_2(self.conv_layer1_1(images)))
        x = self.st2(self.tr1([x]))
        x = self.st3(self.tr2(x))
        return self.st4(self.tr3(x))
