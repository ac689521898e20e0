"""KITTI panoptic: Cityscapes' classes, and the ids its PNGs use.

A PNG holds RGB ids as in COCO panoptic (R + 256 G + 65536 B), without a JSON: below 1000 the id is
Cityscapes' label id of stuff or of a crowd, else it is label id * 1000 + k for instance k. As in
http://panoptic.cs.uni-freiburg.de, the data of https://arxiv.org/abs/2004.02307.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from panoptic_deeplab.formats.cityscapes import WITH_LABEL_IDS, panoptic_of_instance_ids
from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.structures import PanopticMap

KITTI = replace(WITH_LABEL_IDS, name="KITTI")
"""Cityscapes' 19 evaluated classes; the official id is the label id."""

IMAGE_SIZE = (384, 1280)
"""(height, width) at which the labels are used."""


def read_annotation(path: str | Path) -> PanopticMap:
    """Read the ids of a PNG, 0 where the label is not evaluated, and their segments by id.

    Raises:
        DataError: the file is no RGB PNG, or an id stands for no label of Cityscapes.
    """
    return panoptic_of_instance_ids(read_ids(path), path)
