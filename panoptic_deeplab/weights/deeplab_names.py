"""Names of Panoptic-DeepLab's weights in other frameworks, by its names here."""

from __future__ import annotations

import re
from collections.abc import Sequence

Rule = tuple[str, str]
"""Pattern in a name here, and what stands there in its place."""

_DETECTRON2: tuple[Rule, ...] = (
    (r"^backbone\.layer1", "backbone.res2"),
    (r"^backbone\.layer2", "backbone.res3"),
    (r"^backbone\.layer3", "backbone.res4"),
    (r"^backbone\.layer4", "backbone.res5"),
    (r"^backbone\.(?=conv\d|bn\d)", "backbone.stem."),
    (r"(?<=\.)bn(\d)\.", r"conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"^head\.semantic_head\.classifier\.0\.0", "sem_seg_head.head"),
    (r"^head\.semantic_head\.classifier\.0\.1", "sem_seg_head.predictor"),
    (r"^head\.instance_head\.classifier\.0\.0", "ins_embed_head.center_head"),
    (r"^head\.instance_head\.classifier\.0\.1", "ins_embed_head.center_predictor"),
    (r"^head\.instance_head\.classifier\.1\.0", "ins_embed_head.offset_head"),
    (r"^head\.instance_head\.classifier\.1\.1", "ins_embed_head.offset_predictor"),
    (r"^head\.semantic_decoder\.", "sem_seg_head.decoder."),
    (r"^head\.instance_decoder\.", "ins_embed_head.decoder."),
    (r"\.aspp\.aspp_blocks\.", ".res5.project_conv.convs."),
    (r"\.aspp\.global_avg_pool\.1\.0\.", ".res5.project_conv.convs.4.1."),
    (r"\.aspp\.conv_bn_relu\.", ".res5.project_conv.project."),
    (r"\.project\.0\.", ".res3.project_conv."),
    (r"\.project\.1\.", ".res2.project_conv."),
    (r"\.fuse\.0\.", ".res3.fuse_conv."),
    (r"\.fuse\.1\.", ".res2.fuse_conv."),
    (r"\.depthwise_conv\.", ".depthwise."),
    (r"\.piontwise_conv\.", ".pointwise."),
    (r"\._conv\.", "."),
    (r"\._batch_norm\.", ".norm."),
)

_BOWENC0221: tuple[Rule, ...] = (
    (r"^head\.semantic_head\.classifier\.0\.", "decoder.semantic_head.classifier.semantic."),
    (r"^head\.instance_head\.classifier\.0\.", "decoder.instance_head.classifier.center."),
    (r"^head\.instance_head\.classifier\.1\.", "decoder.instance_head.classifier.offset."),
    (r"^head\.(?=(semantic|instance)_decoder\.)", "decoder."),
    (r"\.aspp\.aspp_blocks\.", ".aspp.convs."),
    (r"\.aspp\.global_avg_pool\.1\.0\.", ".aspp.convs.4.aspp_pooling.1."),
    (r"\.aspp\.conv_bn_relu\.", ".aspp.project."),
    (r"\.depthwise_conv\._conv\.", ".0.0.0."),
    (r"\.depthwise_conv\._batch_norm\.", ".0.0.1."),
    (r"\.piontwise_conv\._conv\.", ".0.1."),
    (r"\.piontwise_conv\._batch_norm\.", ".0.2."),
    (r"\._conv\.", ".0."),
    (r"\._batch_norm\.", ".1."),
)

_STATISTICS: tuple[Rule, ...] = ((r"\._mean$", ".running_mean"), (r"\._variance$", ".running_var"))


def detectron2_deeplab_names(names: Sequence[str]) -> dict[str, str]:
    """Map names of `PanopticDeepLab` on a ResNet to those of detectron2's project."""
    return _renamed(names, _DETECTRON2)


def bowenc0221_names(names: Sequence[str]) -> dict[str, str]:
    """Map names of `PanopticDeepLab` on a ResNet to those of bowenc0221/panoptic-deeplab."""
    return _renamed(names, _BOWENC0221)


def _renamed(names: Sequence[str], rules: Sequence[Rule]) -> dict[str, str]:
    """Apply the rules one after the other to each name."""
    there = {}
    for name in names:
        renamed = name
        for pattern, replacement in (*rules, *_STATISTICS):
            renamed = re.sub(pattern, replacement, renamed)
        there[name] = renamed
    return there
