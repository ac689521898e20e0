"""Measure the memory of a prediction by the size of the image: of each step, and of each pixel.

The numbers are the peak of each step beyond what the process held before it, in MB (10^6 bytes).
The image is a given one, repeated, and seen as large as it is on the CPU; the time for the network
to see it goes with its pixels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.cli.command_line import run, script_parser
from panoptic_deeplab.cli.flags import add_debug_argument
from panoptic_deeplab.cli.parser import positive
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.text_table import align

if TYPE_CHECKING:
    import numpy as np

    from panoptic_deeplab.engine.predictor import Predictor

_HEADS = ("width x height", "input", "network", "grouping", "drawing")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and return the exit code."""
    parser = script_parser(
        __doc__,
        "python tools/measure_memory.py --model_path panoptic_deeplab_lite_scenes "
        "--image_path street.jpg --widths 2048 4096 8192",
    )
    parser.add_argument("--model_path", required=True, help="the folder of a checkpoint")
    parser.add_argument("--image_path", required=True, type=Path, help="an image")
    parser.add_argument(
        "--widths", required=True, nargs="+", type=positive, help="of the images it is repeated to"
    )
    add_debug_argument(parser)
    return run(_measure, parser.parse_args(argv))


def _measure(arguments: argparse.Namespace) -> None:
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.formats.images import read_image
    from panoptic_deeplab.inference.model import load_model

    predictor = load_model(arguments.model_path, "cpu").predictor
    if not isinstance(predictor, Predictor):
        raise UsageError(f"{arguments.model_path}: expected the folder of a checkpoint")
    image = read_image(arguments.image_path)
    rows = [_HEADS]
    for width in arguments.widths:
        repeated = repeated_to(image, width)
        megabytes = measure(predictor, repeated)
        height, pixels = len(repeated), repeated.shape[0] * repeated.shape[1]
        rows.append((f"{width} x {height}", *(f"{value:.0f}" for value in megabytes)))
        rows.append(("bytes a pixel", *(f"{1e6 * value / pixels:.0f}" for value in megabytes)))
    print(align(rows))


def repeated_to(image: np.ndarray, width: int) -> np.ndarray:
    """[H, width, 3] copies of an image beside and below each other, in its own proportions."""
    import numpy as np

    times = -(-width // image.shape[1])
    height = round(image.shape[0] * width / image.shape[1])
    return np.tile(image, (times, times, 1))[:height, :width].copy()


def measure(predictor: Predictor, image: np.ndarray) -> list[float]:
    """MB of making the network's input, of that and the network, of grouping and of drawing."""
    import paddle
    from benchmarking.processes import measure_call

    from panoptic_deeplab.preprocess import valid_boxes
    from panoptic_deeplab.result import Result
    from panoptic_deeplab.structures import Frame

    megabytes = []

    def measured(step: Callable[[], Any]) -> Any:
        run = measure_call(step)
        megabytes.append(run.peak_mb)
        return run.returned

    frames = [Frame.whole(*image.shape[:2])]
    seen = paddle.to_tensor(image[None])
    measured(lambda: predictor.preprocess(seen, valid_boxes(frames)).shape)
    outputs = measured(lambda: predictor.outputs(image[None], frames))
    (prediction,) = measured(lambda: predictor.group(outputs, frames))
    seen = outputs = None  # a prediction frees them before it draws
    measured(lambda: Result(image, prediction, predictor.info).plot().shape)
    return megabytes


if __name__ == "__main__":
    sys.exit(main())
