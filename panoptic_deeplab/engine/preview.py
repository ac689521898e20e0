"""Images of a training's progress: the first sample, its ground truth and its prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.visualization import draw_field, draw_panoptic


def preview(predictor: Predictor, dataset: Any, info: DatasetInfo) -> dict[str, np.ndarray]:
    """Predict the first sample of a data set and draw it.

    Args:
        predictor: the current model.
        dataset: with transforms.
        info: the classes.

    Returns:
        name -> [H, W, 3] uint8 RGB: `input`, `prediction`, `truth` where it is annotated, and the
        outputs that the postprocessor offers as `debug_images`. Empty where there is no sample.
    """
    if len(dataset) == 0:
        return {}
    original = dataset.load(0)["image"]
    sample = dataset.transform(dataset.load(0), np.random.default_rng(0))
    frames = [sample["frame"]]
    outputs = predictor.outputs(sample["image"][None], frames)
    (prediction,) = predictor.group(outputs, frames)
    images = {"input": original, "prediction": draw_panoptic(original, prediction, info)}
    if dataset.records[0].label_path is not None:
        images["truth"] = draw_panoptic(original, dataset.truth(0), info)
    if hasattr(predictor.postprocessor, "debug_images"):
        fields = predictor.postprocessor.debug_images(outputs)
        images |= {name: draw_field(field) for name, field in fields.items()}
    return images
