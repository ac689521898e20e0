"""How good predictions are, by the rules of the official tools.

An evaluator counts images one at a time (`update`), hands over what it counted (`state`), takes
what others counted (`merge`) and says the result (`compute`). The functions `evaluate_..._files`
score files that any program wrote, by the same evaluators.
"""

from panoptic_deeplab.evaluation.bdd100k import Bdd100kPanopticQuality, evaluate_bdd100k_files
from panoptic_deeplab.evaluation.instance_ap import InstanceAP
from panoptic_deeplab.evaluation.instance_files import evaluate_instance_files
from panoptic_deeplab.evaluation.panoptic_files import evaluate_panoptic_files
from panoptic_deeplab.evaluation.panoptic_quality import PanopticQuality
from panoptic_deeplab.evaluation.pixel_files import evaluate_pixel_files
from panoptic_deeplab.evaluation.report import format_table, merge_results
from panoptic_deeplab.evaluation.semantic_iou import SemanticIoU

__all__ = [
    "Bdd100kPanopticQuality",
    "InstanceAP",
    "PanopticQuality",
    "SemanticIoU",
    "evaluate_bdd100k_files",
    "evaluate_instance_files",
    "evaluate_panoptic_files",
    "evaluate_pixel_files",
    "format_table",
    "merge_results",
]
