"""What a prediction into a folder reads from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.results.journal import FileVersion
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import PanopticMap


class ReadImage(NamedTuple):
    """An image on its way to the network.

    Attributes:
        name: of its results.
        origin: where it comes from, for errors.
        pixels: [H, W, 3] uint8 RGB, or the error of reading it.
        path: its file, or that of its video.
        frame_index: its place in a video, None for a single image.
        time: seconds since the first frame of its video, None for a single image.
        ground_truth: its annotation, where forms show it beside the prediction.
        version: of its file, as it was before it was read; None for a frame.
    """

    name: str
    origin: str
    pixels: np.ndarray | DataError
    path: Path | None = None
    frame_index: int | None = None
    time: float | None = None
    ground_truth: PanopticMap | None = None
    version: FileVersion | None = None


class Source(Protocol):
    """Images that are read one after the other; each kind of source is a class with this face.

    Attributes:
        unit: what one of them is called, in the plural.
        names: of all results to come, as far as they are known.
        files: that are read, which no result may replace.
        count: number of images; None where the end is not known.
        is_in_order: whether they only come one after the other, so that processes cannot share
            them.
        frame_rate: of a video, frames per second; None where it is not known.
    """

    unit: str
    names: Sequence[str]
    files: Sequence[Path]
    count: int | None
    is_in_order: bool
    frame_rate: float | None

    def read(
        self, num_workers: int, watch: Stopwatch, is_stopped: Callable[[], bool]
    ) -> Iterator[ReadImage]:
        """Read this process's images; those that are broken come with their error.

        Args:
            num_workers: threads that read ahead.
            watch: takes the time of `reading`.
            is_stopped: asked where the source itself waits for an image.
        """
