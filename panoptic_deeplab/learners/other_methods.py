"""The other methods with the same face; OpenDR has none of them."""

from __future__ import annotations

from panoptic_deeplab.learners.base import PanopticLearner


class PanopticDeepLabLearner(PanopticLearner):
    """Panoptic-DeepLab (https://arxiv.org/abs/1911.10194), by default on Cityscapes."""

    method = "panoptic_deeplab"
    default_config = "panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005"
    default_epochs = 242  # 90000 steps of eight of 2975 images
    published = {
        "cityscapes": "panoptic_deeplab_resnet50_os32_cityscapes",
        "coco": "panoptic_deeplab_r52_os16_coco",
    }


class PanopticFpnLearner(PanopticLearner):
    """Panoptic FPN (https://arxiv.org/abs/1901.02446), by default on Cityscapes.

    The published models need their configurations, such as `panoptic_fpn_r50_1x_bdd100k`.
    """

    method = "panoptic_fpn"
    default_config = "panoptic_fpn_r50_cityscapes"
    default_epochs = 699  # 65000 steps of 32 of 2975 images
    published = {"bdd100k": "panoptic_fpn_r50_1x_bdd100k", "coco": "panoptic_fpn_r50_1x_coco"}
