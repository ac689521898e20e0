"""Where the files of each data set lie."""

from panoptic_deeplab.datasets.base import PanopticDataset, Record, Sample
from panoptic_deeplab.datasets.cityscapes import CityscapesPanoptic

__all__ = ["CityscapesPanoptic", "PanopticDataset", "Record", "Sample"]
