"""Origins of published weights: their names, their license and the entries that are left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.weights.class_order import (
    ClassOrder,
    as_it_is,
    red_first,
    things_alone,
    things_first,
    things_last,
)
from panoptic_deeplab.weights.deeplab_names import bowenc0221_names, detectron2_deeplab_names


@dataclass(frozen=True)
class Origin:
    """One kind of published weights.

    Attributes:
        name: authors and repository.
        license: permitted use.
        mark: pattern of an entry that only this origin has.
        part: attribute of the model that they are for, '' for the whole.
        names_of: maps the names of the part's state dict to the names in the file.
        dropped: pattern of entries that are left out -> reason.
        linear_is_transposed: whether linear weights are [out, in] in the file; here [in, out].
        has_in_place_norms: whether its batch norms scale by |weight| + eps.
        info: the classes they were trained for, None where they have none or the file or the
            configuration tells them.
        arrange: order of the classes, name here, array as in the file -> array as here.
        author: whom the file must name as author, '' for any file with the mark.
        absent: pattern of an entry that files may leave out -> its value.
        has_stuff: whether the file's classes are those of things and stuff, or of things alone.
    """

    name: str
    license: str
    mark: str
    part: str
    names_of: Callable[[Sequence[str]], Mapping[str, str]]
    dropped: Mapping[str, str]
    linear_is_transposed: bool
    has_in_place_norms: bool
    info: DatasetInfo | None = None
    arrange: Callable[[ClassOrder, str, np.ndarray], np.ndarray] = as_it_is
    author: str = ""
    absent: Mapping[str, float] = field(default_factory=dict)
    has_stuff: bool = True

    def reason_to_drop(self, entry: str) -> str | None:
        """Return why an entry is left out, None if it is not."""
        return next(
            (reason for pattern, reason in self.dropped.items() if re.fullmatch(pattern, entry)),
            None,
        )

    def value_if_absent(self, entry: str) -> float | None:
        """Return what an entry holds that a file leaves out, None if it may not."""
        return next(
            (value for pattern, value in self.absent.items() if re.fullmatch(pattern, entry)), None
        )

    def is_of(self, entries: Sequence[str], author: str) -> bool:
        """Whether weights with these names, said to be by that author, are of this origin."""
        named = not self.author or self.author == author
        return named and any(re.fullmatch(self.mark, entry) for entry in entries)


def origin_of(entries: Sequence[str], author: str = "") -> Origin | None:
    """Return the origin of weights with these names, None if it is unknown.

    Args:
        entries: the names.
        author: whom the file names as author, '' if nobody.
    """
    return next((origin for origin in ORIGINS if origin.is_of(entries, author)), None)


def _own_names(names: Sequence[str]) -> dict[str, str]:
    return {name: name for name in names}


def _paddleclas_names(names: Sequence[str]) -> dict[str, str]:
    """Map names of `EfficientNet` to those of PaddleClas, which numbers all blocks in a row."""
    blocks = list(dict.fromkeys(m[0] for name in names if (m := _BLOCK.match(name))))
    return {name: _paddleclas_name(name, blocks) for name in names}


_BLOCK = re.compile(r"blocks\.\d+\.\d+\.")
_OUTSIDE = {
    "conv_stem": "_ef._conv_stem._conv._conv._conv",
    "bn1": "_ef._conv_stem._conv._bn",
    "conv_head": "_conv._conv._conv",
    "bn2": "_conv._bn",
}
_IN_FIRST_STAGE = {"conv_dw": "_dcn", "bn1": "_dcn", "conv_pw": "_pcn", "bn2": "_pcn"}
_IN_OTHERS = {"conv_pw": "_ecn", "bn1": "_ecn", "conv_dw": "_dcn", "bn2": "_dcn"} | {
    "conv_pwl": "_pcn",
    "bn3": "_pcn",
}
_STATISTICS = {"running_mean": "_mean", "running_var": "_variance"}


def _paddleclas_name(name: str, blocks: Sequence[str]) -> str:
    path, _, value = name.rpartition(".")
    value = _STATISTICS.get(value, value)
    if path in _OUTSIDE:
        return f"{_OUTSIDE[path]}.{value}"
    _, stage, block, layer = path.split(".")
    parts = _IN_FIRST_STAGE if stage == "0" else _IN_OTHERS
    folder = "_blocks" if block == "0" else "block"
    kind = "_bn" if layer.startswith("bn") else "_conv._conv"
    number = blocks.index(f"blocks.{stage}.{block}.")
    return f"_ef.{folder}.{number}..{parts[layer]}._conv.{kind}.{value}"


def _detectron2_names(names: Sequence[str]) -> dict[str, str]:
    return {name: _detectron2_name(name) for name in names}


def _detectron2_name(name: str) -> str:
    for pattern, replacement in _DETECTRON2:
        name = re.sub(pattern, replacement, name)
    return name


def _torchvision_names(names: Sequence[str]) -> dict[str, str]:
    """Map names of a ResNet here, which are Paddle's."""
    return {name: _with_statistics(name) for name in names}


def _with_statistics(name: str) -> str:
    """Undo Paddle's names of a batch norm's statistics."""
    path, dot, value = name.rpartition(".")
    return path + dot + {there: here for here, there in _STATISTICS.items()}.get(value, value)


def _detectron2_backbone_names(names: Sequence[str]) -> dict[str, str]:
    there = {name: _detectron2_name(f"backbone.{_with_statistics(name)}") for name in names}
    return {name: other.removeprefix("backbone.bottom_up.") for name, other in there.items()}


def _caffe2_names(names: Sequence[str]) -> dict[str, str]:
    """Map names of a ResNet here to those of Caffe2's Detectron."""
    there = {}
    for name in names:
        other = _with_statistics(name)
        for pattern, replacement in _CAFFE2:
            other = re.sub(pattern, replacement, other)
        there[name] = other
    return there


_CAFFE2: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^layer(\d)\.(\d+)\.", lambda match: f"res{int(match[1]) + 1}_{match[2]}_"),
    (r"^bn1\.", "res_conv1_bn."),
    (r"downsample\.0\.", "branch1."),
    (r"downsample\.1\.", "branch1_bn."),
    (r"_(conv|bn)1\.", r"_branch2a_\1."),
    (r"_(conv|bn)2\.", r"_branch2b_\1."),
    (r"_(conv|bn)3\.", r"_branch2c_\1."),
    (r"_conv\.", "."),
    (r"_bn\.weight$", "_bn_s"),
    (r"_bn\.bias$", "_bn_b"),
    (r"_bn\.running_mean$", "_bn_rm"),
    (r"_bn\.running_var$", "_bn_riv"),
    (r"\.weight$", "_w"),
)
"""Pattern in a name of PyTorch's -> its replacement there, one after the other."""


def _level(first: int, prefix: str) -> Callable[[re.Match[str]], str]:
    """A name with a number that counts from `first` there and from 0 here."""
    return lambda match: f"{prefix}{int(match[1]) + first}"


_DETECTRON2: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^backbone\.layer(\d)", _level(1, "backbone.bottom_up.res")),
    (r"^backbone\.(?=conv\d|bn\d)", "backbone.bottom_up.stem."),
    (r"(?<=\.)bn(\d)\.", r"conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"^neck\.lateral_convs\.(\d)\.conv", _level(2, "backbone.fpn_lateral")),
    (r"^neck\.fpn_convs\.(\d)\.conv", _level(2, "backbone.fpn_output")),
    (r"^rpn_head\.rpn_conv", "proposal_generator.rpn_head.conv"),
    (r"^rpn_head\.rpn_cls", "proposal_generator.rpn_head.objectness_logits"),
    (r"^rpn_head\.rpn_reg", "proposal_generator.rpn_head.anchor_deltas"),
    (r"^roi_head\.bbox_head\.shared_fcs\.(\d)", _level(1, "roi_heads.box_head.fc")),
    (r"^roi_head\.bbox_head\.fc_cls", "roi_heads.box_predictor.cls_score"),
    (r"^roi_head\.bbox_head\.fc_reg", "roi_heads.box_predictor.bbox_pred"),
    (r"^roi_head\.mask_head\.convs\.(\d)\.conv", _level(1, "roi_heads.mask_head.mask_fcn")),
    (r"^roi_head\.mask_head\.upsample", "roi_heads.mask_head.deconv"),
    (r"^roi_head\.mask_head\.conv_logits", "roi_heads.mask_head.predictor"),
    (r"^semantic_head\.conv_upsample_layers\.(\d)", _level(2, "sem_seg_head.p")),
    (
        r"(?<=sem_seg_head\.p\d)\.conv\.(\d)\.conv",  # every second one there is an upsampling
        lambda match: f".{2 * int(match[1])}",
    ),
    (
        r"(?<=sem_seg_head\.p\d)\.conv\.(\d)\.gn",
        lambda match: f".{2 * int(match[1])}.norm",
    ),
    (r"^semantic_head\.conv_logits", "sem_seg_head.predictor"),
)
"""Pattern in a name here -> its replacement there, one after the other."""

EFFICIENTPS = Origin(
    name="EfficientPS by Mohan and Valada (https://github.com/DeepSceneSeg/EfficientPS)",
    license="The weights are for academic use only; ask their authors for a commercial license. "
    "Their code is under the GPLv3; none of it is here.",
    mark=r"semantic_head\..+",
    part="",
    names_of=_own_names,
    dropped={r".+\.num_batches_tracked": "a counter that nothing here reads"},
    linear_is_transposed=True,
    has_in_place_norms=True,
    info=CITYSCAPES,
)

PADDLECLAS = Origin(
    name="EfficientNet of PaddleClas (https://github.com/PaddlePaddle/PaddleClas)",
    license="Apache License 2.0 (PaddleClas); trained on ImageNet, whose images are for "
    "non-commercial research and education.",
    mark=r"_ef\..+",
    part="backbone",
    names_of=_paddleclas_names,
    dropped={
        r"_ef\..+\.\._se\..+": "squeeze and excitation, which EfficientPS leaves out",
        r"_fc\.(weight|bias)": "the classifier of ImageNet",
    },
    linear_is_transposed=False,
    has_in_place_norms=True,
)

_COUNTERS = {r".+\.num_batches_tracked": "a counter that nothing here reads"}

MMDETECTION = Origin(
    name="Panoptic FPN of mmdetection (https://github.com/open-mmlab/mmdetection), as in BDD100K's "
    "model zoo (https://github.com/SysCV/bdd100k-models)",
    license="Apache License 2.0 (mmdetection, BDD100K's model zoo); the data they were trained on, "
    "BDD100K or COCO, have licenses of their own.",
    mark=r"roi_head\.mask_head\..+",
    part="",
    names_of=_own_names,
    dropped=_COUNTERS,
    linear_is_transposed=True,
    has_in_place_norms=False,
    arrange=things_last,
)

MMDETECTION_SOLO = replace(
    MMDETECTION,
    name="SOLOv2 of mmdetection (https://github.com/open-mmlab/mmdetection)",
    license="Apache License 2.0 (mmdetection); trained on COCO, whose images and annotations have "
    "licenses of their own.",
    mark=r"mask_head\.conv_kernel\..+",
    arrange=things_alone,
    has_stuff=False,
)

DETECTRON2 = Origin(
    name="Panoptic FPN of detectron2 (https://github.com/facebookresearch/detectron2)",
    license="Creative Commons Attribution-ShareAlike 3.0 (detectron2's model zoo); trained on "
    "COCO, whose images and annotations have licenses of their own.",
    mark=r"sem_seg_head\.p2\..+",
    part="",
    names_of=_detectron2_names,
    dropped=_COUNTERS
    | {
        r"pixel_(mean|std)": "the normalization, which is the configuration's",
        r"proposal_generator\.anchor_generator\.cell_anchors\.\d": "anchors, which are computed",
    },
    linear_is_transposed=True,
    has_in_place_norms=False,
    arrange=things_first,
)

_IMAGENET = "trained on ImageNet, whose images are for non-commercial research and education."
_CLASSIFIER = {r"fc(1000)?\.(weight|bias)": "the classifier of ImageNet"}

TORCHVISION = Origin(
    name="ResNet of torchvision (https://github.com/pytorch/vision)",
    license=f"BSD 3-Clause License (torchvision); {_IMAGENET}",
    mark=r"layer4\.0\.conv2\.weight",
    part="backbone",
    names_of=_torchvision_names,
    dropped=_COUNTERS | _CLASSIFIER,
    linear_is_transposed=False,
    has_in_place_norms=False,
)

DETECTRON2_BACKBONE = Origin(
    name="ResNet of MSRA, as detectron2 has it (https://github.com/facebookresearch/detectron2)",
    license="Creative Commons Attribution-ShareAlike 3.0 (detectron2's model zoo); " + _IMAGENET,
    mark=r"res5\.0\.conv2\.weight",
    part="backbone",
    names_of=_detectron2_backbone_names,
    dropped=_COUNTERS | {rf"(stem\.)?{name}": why for name, why in _CLASSIFIER.items()},
    linear_is_transposed=False,
    has_in_place_norms=False,
    arrange=red_first,
    absent={r".+\.running_mean": 0.0, r".+\.running_var": 1.0},
)

TORCHVISION_IN_DETECTRON2 = replace(
    DETECTRON2_BACKBONE,
    name="ResNet of torchvision, as detectron2 has it (https://github.com/pytorch/vision)",
    license=TORCHVISION.license,
    arrange=as_it_is,
    author="torchvision",
)

CAFFE2_BACKBONE = replace(
    DETECTRON2_BACKBONE,
    name="ResNet of MSRA, as Detectron and detectron2 have it for Caffe2 "
    "(https://github.com/facebookresearch/detectron2)",
    mark=r"res5_0_branch2a_w",
    names_of=_caffe2_names,
    dropped={
        r".+_momentum": "the state of a training, no weight",
        r"(fc1000|pred)_[wb]": "the classifier of ImageNet",
        r"conv1_b": "a bias that Detectron does not use",
    },
    absent={r".+_bn_rm": 0.0, r".+_bn_riv": 1.0},
)

DETECTRON2_DEEPLAB_BACKBONE = Origin(
    name="ResNet-52 of detectron2's DeepLab (https://github.com/facebookresearch/detectron2)",
    license="Creative Commons Attribution-ShareAlike 3.0 (detectron2's model zoo); " + _IMAGENET,
    mark=r"stem\.conv3\.weight",
    part="backbone",
    names_of=_detectron2_backbone_names,
    dropped=DETECTRON2_BACKBONE.dropped,
    linear_is_transposed=False,
    has_in_place_norms=False,
)

DETECTRON2_DEEPLAB = Origin(
    name="Panoptic-DeepLab of detectron2 (https://github.com/facebookresearch/detectron2/tree/main/"
    "projects/Panoptic-DeepLab)",
    license="Creative Commons Attribution-ShareAlike 3.0 (detectron2's model zoo); the data they "
    "were trained on have licenses of their own.",
    mark=r"ins_embed_head\..+",
    part="",
    names_of=detectron2_deeplab_names,
    dropped=_COUNTERS | {r"pixel_(mean|std)": "the normalization, which is the configuration's"},
    linear_is_transposed=False,
    has_in_place_norms=False,
)

BOWENC0221 = Origin(
    name="Panoptic-DeepLab of Cheng et al. (https://github.com/bowenc0221/panoptic-deeplab)",
    license="Apache License 2.0 (bowenc0221/panoptic-deeplab); the data they were trained on have "
    "licenses of their own.",
    mark=r"decoder\.semantic_decoder\..+",
    part="",
    names_of=bowenc0221_names,
    dropped=_COUNTERS,
    linear_is_transposed=False,
    has_in_place_norms=False,
)

ORIGINS = (
    DETECTRON2_DEEPLAB,
    BOWENC0221,
    DETECTRON2_DEEPLAB_BACKBONE,
    MMDETECTION,
    MMDETECTION_SOLO,
    DETECTRON2,
    EFFICIENTPS,
    PADDLECLAS,
    TORCHVISION,
    TORCHVISION_IN_DETECTRON2,
    DETECTRON2_BACKBONE,
    CAFFE2_BACKBONE,
)
"""The first whose mark is met counts."""
