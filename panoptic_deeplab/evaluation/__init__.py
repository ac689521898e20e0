"""How good predictions are, by the rules of the official tools.

An evaluator counts images one at a time (`update`), hands over what it counted (`state`), takes
what others counted (`merge`) and says the result (`compute`).
"""

from panoptic_deeplab.evaluation.instance_ap import InstanceAP
from panoptic_deeplab.evaluation.panoptic_quality import PanopticQuality
from panoptic_deeplab.evaluation.report import format_table, merge_results, to_json
from panoptic_deeplab.evaluation.semantic_iou import SemanticIoU

__all__ = [
    "InstanceAP",
    "PanopticQuality",
    "SemanticIoU",
    "format_table",
    "merge_results",
    "to_json",
]
