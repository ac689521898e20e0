"""A model in a process of its own that predicts batches, as `map_batches` of Ray Data takes it."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from panoptic_deeplab.batching import batched
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.inference.loading import load_predictor
from panoptic_deeplab.inference.location import locate_model
from panoptic_deeplab.inference.memory import error_for_lack_of_memory
from panoptic_deeplab.inference.options import LoadOptions
from panoptic_deeplab.inference.sources import (
    ImageFile,
    ReadImage,
    read_image_file,
    read_source,
)
from panoptic_deeplab.inference.stages import Predicted, predict_batch
from panoptic_deeplab.many_machines.rows import table_of
from panoptic_deeplab.many_machines.times import Spent, with_times
from panoptic_deeplab.parallel import read_ahead
from panoptic_deeplab.results.folder import make_forms
from panoptic_deeplab.results.writer import render_all
from panoptic_deeplab.stopwatch import Stopwatch

FILE = "file"
"""Column of `ImageFile`s, or of what has their face."""

_PIXELS = ("bytes", "image", "path")
"""Columns that an image is read from; the first that a batch has."""


@dataclass(frozen=True)
class _Item:
    """An image of a user's own table, with the face of `ImageFile`."""

    path: Path
    name: str
    content: Any

    version = None

    def read(self) -> np.ndarray:
        return read_source(self.content).pixels

    def __str__(self) -> str:
        return str(self.path)


class Worker:
    """Predicts batches of images; the results are a table with the columns of `rows.SCHEMA`.

    A batch has a column `bytes` (of image files), `image` (arrays [H, W, 3] uint8 RGB) or `path`;
    `path`, and `name` where there is one, tell where an image comes from. An image without a
    result keeps its row, with the reason in `failure`.

    Args:
        model_path: the model, as `locate_model` takes it; each machine must find it.
        config: path or name of a configuration, needed where none lies beside the weights.
        options: how the model runs.
        batch_size: images that are predicted at a time; those of equal size go through the network
            together.
        num_workers: threads that read ahead.

    Raises:
        UserError: the model cannot be loaded.
    """

    def __init__(
        self,
        model_path: str | Path,
        config: str | Path | None = None,
        options: LoadOptions | None = None,
        batch_size: int = 1,
        num_workers: int = 1,
    ) -> None:
        self.predictor = load_predictor(locate_model(model_path, config), options or LoadOptions())
        self._batch_size = batch_size
        self._num_workers = num_workers
        self._watch = Stopwatch()

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> pa.Table:
        return self._table(self._predict(batch))

    def _table(self, predicted: Iterable[Predicted]) -> pa.Table:
        return table_of(predicted, self.predictor.info)

    def _predict(self, batch: Mapping[str, Sequence[Any]]) -> Iterator[Predicted]:
        """Predict the images of a batch, in their order."""
        read = read_ahead(self._read, _images_of(batch), self._num_workers)
        batches = batched(read, self._batch_size)
        return chain.from_iterable(predict_batch(self.predictor, one) for one in batches)

    def _read(self, image: ImageFile | _Item) -> ReadImage:
        with self._watch.timing("reading"):
            return read_image_file(image)


class Actor(Worker):
    """A worker of `engine`, whose tables tell in a column `times` what they took."""

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> pa.Table:
        began, before = time.time(), self._spent()
        return with_times(super().__call__(batch), began, before, self._spent())

    def _spent(self) -> Spent:
        return Spent(dict(self.predictor.watch.seconds), dict(self._watch.seconds))


FORM_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("image_version", pa.list_(pa.int64())),
        ("rendered", pa.binary()),
        ("failure", pa.string()),
    ]
)
"""An image: the name of its results, size and time of its file, what `render_all` made (pickled),
and what prevented it (null where nothing did)."""


class FormActor(Actor):
    """Predicts batches of images and renders their files, which another process writes.

    The results have the columns of `FORM_SCHEMA`, and `times`.

    Args:
        forms: names of `panoptic_deeplab.results.FORMATS`.
        arguments: of `Worker`.
    """

    def __init__(self, *, forms: Sequence[str], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._forms = make_forms(Path(), self.predictor.info, forms)

    def _table(self, predicted: Iterable[Predicted]) -> pa.Table:
        rows = read_ahead(self._row, predicted, self._num_workers)
        return pa.Table.from_pylist(list(rows), FORM_SCHEMA)

    def _row(self, predicted: Predicted) -> dict[str, Any]:
        image, result = predicted
        row = {"name": image.name, "image_version": image.version}
        try:
            if isinstance(result, DataError):
                raise result
            with error_for_lack_of_memory("drawing"), self._watch.timing("rendering"):
                rendered = render_all(self._forms, image.name, result)
        except DataError as error:
            return row | {"failure": str(error)}
        return row | {"rendered": pickle.dumps(rendered)}


def _images_of(batch: Mapping[str, Sequence[Any]]) -> Iterable[ImageFile | _Item]:
    if FILE in batch:
        return batch[FILE]
    column = next((name for name in _PIXELS if name in batch), None)
    if column is None:
        raise DataError(
            f"expected a batch with a column {', '.join(_PIXELS)}; got {', '.join(batch)}"
        )
    contents = batch[column]
    paths = batch.get("path", [f"image_{i}" for i in range(len(contents))])
    names = batch.get("name", [str(path) for path in paths])
    return [
        _Item(Path(str(path)), str(name), content)
        for path, name, content in zip(paths, names, contents, strict=True)
    ]
