"""Bottom-up and top-down panoptic segmentation on PaddlePaddle."""

from panoptic_deeplab.environment import prefer_fast_blas

__version__ = "0.1.0"

prefer_fast_blas()  # here, so that it comes before the first computation of any entry point
