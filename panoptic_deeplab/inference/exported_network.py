"""An exported network without its grouping as the network of a predictor; this needs Paddle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import paddle
from paddle import nn

from panoptic_deeplab.config import Config
from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import DataError, UsageError, reason_of
from panoptic_deeplab.inference.exported import ExportedHead, ExportedModel
from panoptic_deeplab.inference.options import LoadOptions
from panoptic_deeplab.postprocess import CenterGrouping
from panoptic_deeplab.preprocess import Preprocess
from panoptic_deeplab.registry import INSTANCE_FINDERS, POSTPROCESSORS, ComponentManager
from panoptic_deeplab.transforms import Padding


class ExportedNetwork(nn.Layer):
    """An ONNX file without the grouping, with the interface of the model it was exported from."""

    def __init__(self, exported: ExportedModel) -> None:
        super().__init__()
        self._exported = exported
        self._find_instances = _instance_finder(exported)

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """Run the file on [N, 3, H, W]; return what the model does.

        What is smaller than the shape that a file takes alone, as the last tile of an image may be,
        is padded, and its outputs are cut.
        """
        shape, size = self._exported.deployment.input_shape, images.shape[2:]
        is_whole = self._find_instances is not None  # outputs of cells cannot be cut
        if (
            shape is None
            or is_whole
            or any(side > most for side, most in zip(size, shape[2:], strict=True))
        ):
            outputs = self._exported.run(images.numpy())
        else:
            missing = [(0, most - side) for side, most in zip(size, shape[2:], strict=True)]
            outputs = self._exported.run(np.pad(images.numpy(), [(0, 0), (0, 0), *missing]))
            outputs = {name: _cut(value, size, shape[2:]) for name, value in outputs.items()}
        tensors = {name: paddle.to_tensor(value) for name, value in outputs.items()}
        return tensors if self._find_instances is None else self._find_instances(tensors)


def _instance_finder(exported: ExportedModel) -> Any:
    """What finds the instances in the file's outputs; None where the postprocessor does."""
    host = exported.deployment.host
    if host is None:
        return None
    heads = {name: partial(_run_head, head) for name, head in exported.heads().items()}
    return _made(INSTANCE_FINDERS, {**host.instances, **heads}, exported)


def _run_head(head: ExportedHead, *inputs: paddle.Tensor) -> paddle.Tensor | list[paddle.Tensor]:
    """The outputs of a head, as its layer gives them: more than one, or one alone."""
    outputs = [paddle.to_tensor(value) for value in head.run(*(value.numpy() for value in inputs))]
    return outputs if len(outputs) > 1 else outputs[0]


def _cut(values: np.ndarray, size: Sequence[int], full: Sequence[int]) -> np.ndarray:
    """The locations [N, C, h, w] of the upper left part `size` of an input of the size `full`."""
    height, width = (
        -(-side // -(-most // locations))
        for side, most, locations in zip(size, full, values.shape[2:], strict=True)
    )
    return values[:, :, :height, :width]


def network_predictor(
    exported: ExportedModel, config: str | None, options: LoadOptions
) -> Predictor:
    """Predict with the file's network; classes, padding and normalization are the file's.

    Args:
        exported: the file, without its grouping.
        config: whose postprocessor is used; None for the settings that the file was exported with.
        options: how it is to run; the grouping is computed on a GPU where Paddle sees one.

    Raises:
        UsageError: the options need a configuration, or do not fit it.
    """
    distributed.start("cpu" if options.device == "cpu" else "auto")
    deployment = exported.deployment
    height, width = deployment.min_size
    return Predictor(
        ExportedNetwork(exported),
        Preprocess(deployment.normalization.mean, deployment.normalization.std),
        [Padding([width, height])],
        _postprocessor(exported, config, options),
        deployment.info,
        options.views,
        tiling=options.tiling,
    )


def _postprocessor(exported: ExportedModel, config: str | None, options: LoadOptions) -> Any:
    if config is not None:
        chosen = Config(config, options.overrides)
        chosen.info = exported.deployment.info
        return chosen.postprocessor
    if options.opts:
        raise UsageError(f"{exported.path}: --opts change a configuration; give it by --config")
    if exported.deployment.host is not None:
        settings = {**exported.deployment.host.postprocessor, **options.grouping}
        return _made(POSTPROCESSORS, settings, exported)
    return CenterGrouping(**(asdict(exported.deployment.grouping) | options.grouping))


def _made(kinds: ComponentManager, part: Mapping[str, Any], exported: ExportedModel) -> Any:
    """Make what a file's description names.

    Raises:
        DataError: there is no such thing, or it has other arguments.
    """
    settings = dict(part)
    try:
        return kinds[settings.pop("type")](**settings)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise DataError(
            f"{exported.path}: its description names a part that cannot be made "
            f"({reason_of(error)})"
        ) from error
