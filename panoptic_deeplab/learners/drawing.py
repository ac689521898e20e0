"""What `visualize` draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.inference.sources import read_source
from panoptic_deeplab.learners.heatmap import result_of
from panoptic_deeplab.learners.images import rgb_pixels
from panoptic_deeplab.result import Result
from panoptic_deeplab.visualization import draw_panels


def draw(image: Any, pair: tuple[Any, Any], figure_size: tuple[float, float] | None) -> np.ndarray:
    """Draw the two maps of a prediction over their image: [H, W, 3] uint8 RGB.

    Args:
        image: as `infer` takes it.
        pair: maps of ids and classes; Cityscapes', unless they carry the result they are of.
        figure_size: (width, height) in inches of 100 pixels of an overview; None for the overlay.

    Raises:
        DataError: maps and image are of different sizes.
    """
    known = getattr(pair[1], "result", None)
    info = CITYSCAPES if known is None else known.info
    result = result_of(read_source(rgb_pixels(image)).pixels, pair, info)
    return result.plot() if figure_size is None else _overview(result, figure_size)


def _overview(result: Result, figure_size: tuple[float, float]) -> np.ndarray:
    """Draw the image and its panoptic, semantic and instance map in two rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here, for it takes its time
    from matplotlib.figure import Figure

    panels = draw_panels(result.image, result.prediction, result.info)
    figure = Figure(figsize=figure_size, dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for place, title in enumerate(("image", "panoptic", "semantic", "instance"), 1):
        axes = figure.add_subplot(2, 2, place)
        axes.imshow(panels[title])
        axes.set_title(title)
        axes.axis("off")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
