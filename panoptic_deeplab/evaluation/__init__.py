"""Scores of predictions, by the rules of the official tools.

An evaluator counts images one at a time (`update`), returns its counts (`state`), adds the counts
of other processes (`merge`) and computes the scores (`compute`). The functions `evaluate_..._files`
score the files of any program with the same evaluators.
"""

from panoptic_deeplab.evaluation.bdd100k import Bdd100kPanopticQuality, evaluate_bdd100k_files
from panoptic_deeplab.evaluation.instance_ap import InstanceAP
from panoptic_deeplab.evaluation.instance_files import evaluate_instance_files
from panoptic_deeplab.evaluation.label_pairs import LabelSpace
from panoptic_deeplab.evaluation.panoptic_files import evaluate_panoptic_files
from panoptic_deeplab.evaluation.panoptic_quality import PanopticQuality
from panoptic_deeplab.evaluation.pixel_files import evaluate_pixel_files
from panoptic_deeplab.evaluation.report import format_sequences, format_table, merge_results
from panoptic_deeplab.evaluation.semantic_iou import SemanticIoU
from panoptic_deeplab.evaluation.sequence_files import evaluate_stq_files, evaluate_vpq_files
from panoptic_deeplab.evaluation.tracking_quality import SegmentationTrackingQuality
from panoptic_deeplab.evaluation.video_panoptic_quality import VideoPanopticQuality

__all__ = [
    "Bdd100kPanopticQuality",
    "InstanceAP",
    "LabelSpace",
    "PanopticQuality",
    "SegmentationTrackingQuality",
    "SemanticIoU",
    "VideoPanopticQuality",
    "evaluate_bdd100k_files",
    "evaluate_instance_files",
    "evaluate_panoptic_files",
    "evaluate_pixel_files",
    "evaluate_stq_files",
    "evaluate_vpq_files",
    "format_sequences",
    "format_table",
    "merge_results",
]
