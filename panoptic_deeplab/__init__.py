"""Bottom-up and top-down panoptic segmentation on PaddlePaddle."""

from panoptic_deeplab.environment import keep_freed_memory, prefer_fast_blas

__version__ = "0.1.0"

# Here, so that they come before the first computation of any entry point.
prefer_fast_blas()
keep_freed_memory()
