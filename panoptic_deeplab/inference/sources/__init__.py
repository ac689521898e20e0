"""Input of a model: one image of any kind, or many that are read one by one."""

from panoptic_deeplab.inference.sources.base import ReadImage, Source
from panoptic_deeplab.inference.sources.files import ImageFile, find_images, unique_names
from panoptic_deeplab.inference.sources.image_list import ImageList, read_image_file
from panoptic_deeplab.inference.sources.images import SourceImage, read_source
from panoptic_deeplab.inference.sources.opening import iterate_source, open_source

__all__ = [
    "ImageFile",
    "ImageList",
    "ReadImage",
    "Source",
    "SourceImage",
    "find_images",
    "iterate_source",
    "open_source",
    "read_image_file",
    "read_source",
    "unique_names",
]
