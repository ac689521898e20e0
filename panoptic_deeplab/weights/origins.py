"""Origins of published weights: their names, their license and the entries that are left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.structures import DatasetInfo


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
        info: the classes they were trained for, None where they have none.
    """

    name: str
    license: str
    mark: str
    part: str
    names_of: Callable[[Sequence[str]], Mapping[str, str]]
    dropped: Mapping[str, str]
    linear_is_transposed: bool
    info: DatasetInfo | None

    def reason_to_drop(self, entry: str) -> str | None:
        """Return why an entry is left out, None if it is not."""
        return next(
            (reason for pattern, reason in self.dropped.items() if re.fullmatch(pattern, entry)),
            None,
        )


def origin_of(entries: Sequence[str]) -> Origin | None:
    """Return the origin of weights with these names, None if it is unknown."""
    return next((o for o in ORIGINS if any(re.fullmatch(o.mark, entry) for entry in entries)), None)


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


EFFICIENTPS = Origin(
    name="EfficientPS by Mohan and Valada (https://github.com/DeepSceneSeg/EfficientPS)",
    license="The weights are for academic use only; ask their authors for a commercial license. "
    "Their code is under the GPLv3; none of it is here.",
    mark=r"semantic_head\..+",
    part="",
    names_of=_own_names,
    dropped={r".+\.num_batches_tracked": "a counter that nothing here reads"},
    linear_is_transposed=True,
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
    info=None,
)

ORIGINS = (EFFICIENTPS, PADDLECLAS)
