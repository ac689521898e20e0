"""A trained model as a function: images in, results out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from panoptic_deeplab.errors import UsageError, UserError
from panoptic_deeplab.inference.fingerprint import fingerprint
from panoptic_deeplab.inference.loading import load_predictor
from panoptic_deeplab.inference.location import locate_model
from panoptic_deeplab.inference.options import LoadOptions
from panoptic_deeplab.inference.resuming import resumed
from panoptic_deeplab.inference.sources import (
    ImageFile,
    ImageList,
    SourceImage,
    iterate_source,
    open_source,
    read_source,
)
from panoptic_deeplab.inference.tracked import ResultTracker
from panoptic_deeplab.result import Result
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import DatasetInfo, Prediction
from panoptic_deeplab.tiles import DEFAULT_OVERLAP, Tiling

LIST_BATCH_SIZE = 8
"""Maximum number of images of a list that are predicted at a time."""


class Predictor(Protocol):
    """Runs a model: `engine.predictor.Predictor` and `inference.exported.ExportedPredictor`.

    Attributes:
        info: the classes it predicts.
        watch: the time spent so far, by step.
    """

    info: DatasetInfo
    watch: Stopwatch

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Predict images [H, W, 3] uint8 RGB, those of equal size together."""


class Model:
    """A trained model, from a checkpoint or an exported file alike; see `load_model`.

    Args:
        predictor: what runs it.
        identify: gives the fingerprint of its weights and settings, by which `skip_done` knows it.
    """

    def __init__(self, predictor: Predictor, identify: Callable[[], str] = lambda: "") -> None:
        self.predictor = predictor
        self._identify = identify

    @property
    def info(self) -> DatasetInfo:
        """The classes it predicts."""
        return self.predictor.info

    def __repr__(self) -> str:
        return f"Model({self.info.name}, {self.info.num_classes} classes)"

    def __call__(self, source: Any, color: str = "rgb") -> Result | list[Result]:
        """Predict one image, or each of a list.

        Args:
            source: a path, an https URL, the bytes of an image file, a Pillow image, an array of
                uint8 ([H, W, 3], gray [H, W], or [H, W, 4] whose alpha is dropped); or a list of
                these, for which a list comes back.
            color: order of an array's channels, `rgb` or `bgr`.

        Raises:
            DataError: an image cannot be read.
            UsageError: there is no such order of colors.
        """
        if isinstance(source, (list, tuple)):
            return list(self.predict(source, LIST_BATCH_SIZE, color))
        (result,) = self._results([read_source(source, color)])
        return result

    def predict(
        self,
        source: Any,
        batch_size: int = 1,
        color: str = "rgb",
        track: bool = False,
        skip_done: str | Path | None = None,
    ) -> Iterator[Result]:
        """Predict the images of a source one after the other; nothing is read before it is needed.

        Of a camera or another live stream it is the newest frame each time. A broken frame of a
        video is logged and passed over.

        Args:
            source: an image file, a folder, a pattern, a text file of paths, an https URL, a video
                file, the number of a camera, an `rtsp://` address, or an iterable of what the call
                takes.
            batch_size: images that are predicted at a time; those of equal size go through the
                network together.
            color: order of an array's channels, `rgb` or `bgr`.
            track: let things keep a `track_id` from one image to the next; another folder is
                another video, whose ids begin anew.
            skip_done: a folder whose `results.jsonl` notes each image file once the loop asks for
                the next result, and which of them are left out: a loop that was killed goes on.
                A file that has changed comes again.

        Raises:
            DataError: there is no image, or one cannot be read; those before it come first.
            UsageError: the batch size is below 1, there is no such order of colors, or a package is
                missing; `skip_done` is given for other than image files or with `track`, or another
                model did some of the images.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        if skip_done is not None:
            return self._resume(source, batch_size, skip_done, track)
        results = self._iterate(iterate_source(source, color), batch_size)
        return map(ResultTracker(self.info), results) if track else results

    def _resume(
        self, source: Any, batch_size: int, folder: str | Path, track: bool
    ) -> Iterator[Result]:
        opened = open_source(str(source)) if isinstance(source, (str, Path)) else None
        if track or not isinstance(opened, ImageList):
            raise UsageError("skip_done is for a path of image files, without tracking")

        def predict(images: Sequence[ImageFile]) -> Iterator[Result]:
            return self._iterate((SourceImage(i.read(), i.path) for i in images), batch_size)

        return resumed(opened.images, predict, folder, self._identify())

    def _iterate(self, images: Iterator[SourceImage], batch_size: int) -> Iterator[Result]:
        while True:
            batch, error = _next_batch(images, batch_size)
            yield from self._results(batch)
            if error is not None:
                raise error
            if len(batch) < batch_size:
                return

    def _results(self, images: Sequence[SourceImage]) -> list[Result]:
        predictions = self.predictor.predict([image.pixels for image in images])
        return [
            Result(
                image.pixels, prediction, self.info, image.path, image.frame_index, time=image.time
            )
            for image, prediction in zip(images, predictions, strict=True)
        ]


def load_model(
    model_path: str | Path,
    device: str = "auto",
    config: str | Path | None = None,
    tile: tuple[int, int] | None = None,
    tile_overlap: int = DEFAULT_OVERLAP,
    runtime: str = "auto",
) -> Model:
    """Load a trained model.

    Args:
        model_path: the folder of a checkpoint or an export, a file of weights, an ONNX file, an
            https URL of weights, or a name of the zoo.
        device: `auto` (a GPU if Paddle sees one), `cpu` or `gpu`.
        config: path or name of the configuration, needed where none lies beside the weights.
        tile: (height, width) of the tiles that larger images are cut into, so that the network
            never sees more at once; None for whole images.
        tile_overlap: pixels that neighboring tiles share at least.
        runtime: what computes the network on a CPU: `paddle`, `onnxruntime`, `openvino`, or `auto`
            for one of the latter two that is installed, once the network is compiled for it.

    Raises:
        DataError: there is no model, or it cannot be used.
        UsageError: a configuration or a package is missing, or there is no such device.
    """
    tiling = None if tile is None else Tiling(tuple(tile), tile_overlap)
    options = LoadOptions(device, runtime=runtime, tiling=tiling)
    files = locate_model(model_path, config)
    predictor = load_predictor(files, options)
    return Model(predictor, partial(fingerprint, files, options, predictor.info))


def _next_batch(
    images: Iterator[SourceImage], batch_size: int
) -> tuple[list[SourceImage], UserError | None]:
    """Read up to `batch_size` images; return them and the error of the next one, if any."""
    batch: list[SourceImage] = []
    try:
        while len(batch) < batch_size and (image := next(images, None)) is not None:
            batch.append(image)
    except UserError as error:
        return batch, error
    return batch, None
