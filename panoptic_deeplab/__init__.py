"""Bottom-up and top-down panoptic segmentation on PaddlePaddle."""

__version__ = "0.1.0"
