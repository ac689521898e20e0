"""Image files as a source, which the processes share."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.ground_truth_files import GroundTruthFiles
from panoptic_deeplab.inference.memory import error_for_lack_of_memory
from panoptic_deeplab.inference.sources.base import ReadImage
from panoptic_deeplab.inference.sources.files import ImageFile
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.results.journal import FileVersion
from panoptic_deeplab.stopwatch import Stopwatch


class ImageList:
    """Images whose number is known; see `base.Source`.

    Args:
        images: files or addresses.
        ground_truth: of these images, for forms that show it beside the prediction.
    """

    unit = "images"
    is_in_order = False
    frame_rate = None

    def __init__(
        self, images: Sequence[ImageFile], ground_truth: GroundTruthFiles | None = None
    ) -> None:
        self.images = images
        self.ground_truth = ground_truth

    @property
    def names(self) -> list[str]:
        return [image.name for image in self.images]

    @property
    def files(self) -> list[Path]:
        return [image.path for image in self.images]

    @property
    def count(self) -> int:
        return len(self.images)

    @property
    def versions(self) -> dict[str, FileVersion | None]:
        """The version of each image's file, by its name."""
        return {image.name: image.version for image in self.images}

    def without(self, names: Container[str]) -> ImageList:
        """The other images, with the same ground truth."""
        others = [image for image in self.images if image.name not in names]
        return ImageList(others, self.ground_truth)

    def read(
        self, num_workers: int, watch: Stopwatch, is_stopped: Callable[[], bool]
    ) -> Iterator[ReadImage]:
        def read(index: int) -> ReadImage:
            with watch.timing("reading"):
                return read_image_file(self.images[index], self.ground_truth)

        mine = range(distributed.rank(), len(self.images), distributed.world_size())
        return read_ahead(read, mine, num_workers)


def read_image_file(image: ImageFile, ground_truth: GroundTruthFiles | None = None) -> ReadImage:
    """Read an image, with its ground truth where there is any; a broken one keeps its error."""
    name, origin, path, version = image.name, str(image), image.path, image.version
    try:
        with error_for_lack_of_memory(f"{origin}: reading"):
            pixels = image.read()
            if ground_truth is None:
                return ReadImage(name, origin, pixels, path, version=version)
            found = ground_truth.of_image(path, pixels.shape[:2])
            return ReadImage(name, origin, pixels, path, ground_truth=found, version=version)
    except DataError as error:
        return ReadImage(name, origin, error, path)
