"""Weights of any origin: fetched, read without running code, put into a network, converted.

Nothing here imports Paddle before it puts weights into a network.
"""

from panoptic_deeplab.weights.classes import (
    INFO_FILE,
    read_info_beside,
    refuse_difference,
    refuse_other_classes,
)
from panoptic_deeplab.weights.download import checksum_of, fetched_file, local_weights, read_url
from panoptic_deeplab.weights.kinds import head_of, is_torch, refuse_other_kinds
from panoptic_deeplab.weights.loading import (
    LoadReport,
    listed,
    load_pretrained,
    load_weights,
    refuse_not_finite,
    set_weights,
)
from panoptic_deeplab.weights.packing import pack_checkpoint
from panoptic_deeplab.weights.plain_pickle import read_pickle
from panoptic_deeplab.weights.published import convert_published, load_first_weights, load_network
from panoptic_deeplab.weights.reading import read_weights
from panoptic_deeplab.weights.zoo import ZooModel, published_model, zoo, zoo_model

__all__ = [
    "INFO_FILE",
    "LoadReport",
    "ZooModel",
    "checksum_of",
    "convert_published",
    "fetched_file",
    "head_of",
    "is_torch",
    "listed",
    "load_first_weights",
    "load_network",
    "load_pretrained",
    "load_weights",
    "local_weights",
    "pack_checkpoint",
    "published_model",
    "read_info_beside",
    "read_pickle",
    "read_url",
    "read_weights",
    "refuse_difference",
    "refuse_not_finite",
    "refuse_other_classes",
    "refuse_other_kinds",
    "set_weights",
    "zoo",
    "zoo_model",
]
