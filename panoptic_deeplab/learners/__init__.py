"""Learners and data sets with the face of OpenDR's panoptic segmentation, thin over this project.

    from panoptic_deeplab.learners import CityscapesDataset, EfficientPsLearner, Image

A learner trains, evaluates, predicts, saves and loads one method; the data sets know the folders
that OpenDR's `prepare_data` writes. Names, arguments, results and messages follow
https://github.com/opendr-eu/opendr (Apache-2.0), perception/panoptic_segmentation; what differs
stands in docs/coming_from.md. Paddle is imported when a learner is made.
"""

from panoptic_deeplab.learners.base import PanopticLearner
from panoptic_deeplab.learners.datasets import CityscapesDataset, KittiDataset
from panoptic_deeplab.learners.efficient_ps import EfficientPsLearner
from panoptic_deeplab.learners.heatmap import Heatmap
from panoptic_deeplab.learners.images import Image
from panoptic_deeplab.learners.other_methods import PanopticDeepLabLearner, PanopticFpnLearner

__all__ = [
    "CityscapesDataset",
    "EfficientPsLearner",
    "Heatmap",
    "Image",
    "KittiDataset",
    "PanopticDeepLabLearner",
    "PanopticFpnLearner",
    "PanopticLearner",
]
