"""Data sets: where the files of each lie, and how they become samples."""

from panoptic_deeplab.datasets.base import PanopticDataset, Record
from panoptic_deeplab.datasets.bdd100k import Bdd100kPanoptic
from panoptic_deeplab.datasets.cityscapes import CityscapesPanoptic, CityscapesSequences
from panoptic_deeplab.datasets.coco import CocoPanoptic
from panoptic_deeplab.datasets.idd import IddPanoptic
from panoptic_deeplab.datasets.kitti import KittiPanoptic
from panoptic_deeplab.datasets.kitti_step import KittiStep, MotChallengeStep
from panoptic_deeplab.datasets.opendr import OpenDrPanoptic

__all__ = [
    "Bdd100kPanoptic",
    "CityscapesPanoptic",
    "CityscapesSequences",
    "CocoPanoptic",
    "IddPanoptic",
    "KittiPanoptic",
    "KittiStep",
    "MotChallengeStep",
    "OpenDrPanoptic",
    "PanopticDataset",
    "Record",
]
