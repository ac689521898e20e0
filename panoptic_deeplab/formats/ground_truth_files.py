"""The ground truth of images anywhere, found by their names in a COCO panoptic JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.prediction_files import CocoPredictions, ListedSegment
from panoptic_deeplab.structures import PanopticMap, Segment

_IMAGE_ENDING = "_leftImg8bit"  # of Cityscapes, whose annotations are named without it


class GroundTruthFiles(CocoPredictions):
    """A JSON of annotations and the PNGs it describes, as `CocoPredictions` finds and reads them.

    Args:
        path: the JSON, whose PNGs lie in the folder of the same name or else beside it; or a folder
            with a single JSON.
        info: the classes to map its categories to, by their names.

    Raises:
        DataError: there is no such JSON, or it has another form or none of the classes.
    """

    def count(self, image_paths: Sequence[Path]) -> int:
        """Return how many of the images have ground truth.

        Raises:
            DataError: none has.
        """
        found = sum(self._has(path) for path in image_paths)
        if not found:
            raise DataError(
                f"{self.json_path}: annotates none of the {len(image_paths)} images, such as "
                f"{image_paths[0].name}; it names them by image_id or file_name"
            )
        return found

    def of_image(self, image_path: Path, size: tuple[int, int]) -> PanopticMap | None:
        """Read the ground truth of an image, None where it has none.

        Args:
            image_path: the image's file.
            size: its (height, width).

        Raises:
            DataError: the PNG is missing or unreadable, has another size, or a segment is of an
                unknown class.
        """
        if not self._has(image_path):
            return None
        truth = self.read(_image_id(image_path), image_path)
        if truth.ids.shape != size:
            raise DataError(
                f"{self.json_path}: the ground truth of {image_path.name} is "
                f"{list(truth.ids.shape)} (height, width), the image {list(size)}"
            )
        return truth

    def _has(self, image_path: Path) -> bool:
        return not self.missing([(_image_id(image_path), image_path)])

    def _segment(self, listed: ListedSegment, place: str) -> Segment:
        return replace(super()._segment(listed, place), score=None, iscrowd=listed.iscrowd)


def _image_id(path: Path) -> str:
    return path.stem.removesuffix(_IMAGE_ENDING)
