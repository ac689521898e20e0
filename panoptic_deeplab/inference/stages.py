"""The steps of a prediction into a folder: a batch through the network, a result to its files."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from panoptic_deeplab.errors import DataError, error_context
from panoptic_deeplab.inference.memory import error_for_lack_of_memory
from panoptic_deeplab.inference.model import Predictor
from panoptic_deeplab.inference.sources import ReadImage
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.visualization import draw_segments

LASTING_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Of writing, with which the next image would fare no better."""


class Predicted(NamedTuple):
    """An image, and its result or the error that prevents one."""

    image: ReadImage
    result: Result | DataError


class Written(NamedTuple):
    """An image whose results are written, or the error that prevented it.

    Attributes:
        image: it.
        failure: the error; None where there is none.
        overlay: [H, W, 3] uint8 RGB, the image of a video; None where none is asked for.
    """

    image: ReadImage
    failure: DataError | None = None
    overlay: np.ndarray | None = None


def predict_batch(predictor: Predictor, batch: Sequence[ReadImage]) -> list[Predicted]:
    """Predict the readable images of a batch; the others keep their error."""
    readable = [image for image in batch if not isinstance(image.pixels, DataError)]
    results = iter(_predict_readable(predictor, readable) if readable else [])
    return [
        Predicted(image, image.pixels if isinstance(image.pixels, DataError) else next(results))
        for image in batch
    ]


def _predict_readable(predictor: Predictor, batch: Sequence[ReadImage]) -> list[Result | DataError]:
    """Predict a batch together, and one by one where that fails for one image or lack of memory."""
    try:
        with error_context(batch[0].origin), error_for_lack_of_memory("prediction"):
            predictions = predictor.predict([image.pixels for image in batch])
    except DataError as error:
        if len(batch) == 1:
            return [error]
    else:
        return [
            Result(
                image.pixels,
                prediction,
                predictor.info,
                image.path,
                image.frame_index,
                image.ground_truth,
                image.time,
            )
            for image, prediction in zip(batch, predictions, strict=True)
        ]
    return [result for image in batch for result in _predict_readable(predictor, [image])]


def write_result(predicted: Predicted, *, writer: ResultWriter, draws: bool) -> Written:
    """Write one result, and draw it where a video is made; in threads, beside the network."""
    image, result = predicted
    if isinstance(result, DataError):
        return Written(image, result)
    try:
        with error_for_lack_of_memory("writing"):
            writer.write(image.name, result, image.version)
            overlay = None
            if draws:
                overlay = draw_segments(result.image, result.prediction, result.info)
    except OSError as error:
        if error.errno in LASTING_ERRORS:
            raise
        return Written(image, unwritten(image.origin, error))
    except DataError as error:
        return Written(image, unwritten(image.origin, error))
    return Written(image, overlay=overlay)


def unwritten(origin: str, error: Exception) -> DataError:
    """Return the error of an image whose results cannot be written."""
    return DataError(f"{origin}: its results cannot be written ({error})")
