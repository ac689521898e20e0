"""A model as a Paddle program for any batch, height and width."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.static import InputSpec

from panoptic_deeplab.deployment import NETWORK_OUTPUTS, PANOPTIC_OUTPUTS, Deployment
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.postprocess.tensor_grouping import TensorGrouping
from panoptic_deeplab.preprocess import Preprocess

PROGRAM = "inference"
"""Name of the program's files, `.json` and `.pdiparams`, as in PaddleSeg's exports."""

_CODE_PLACE = re.compile(r'File "([^"]+)", line (\d+)')


class NetworkProgram(nn.Layer):
    """A normalized input [N, 3, H, W] -> the outputs of the network.

    Args:
        model: the network, or one with a `network` before what finds its instances.
        output_names: of the outputs, in order.
        input_shape: (N, 3, H, W); None for any batch, height and width.
    """

    def __init__(
        self,
        model: nn.Layer,
        output_names: Sequence[str] = NETWORK_OUTPUTS,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.network = network_of(model)
        self.output_names = output_names
        self.inputs = {"image": ([*(input_shape or (None, 3, None, None))], "float32")}

    def forward(self, image: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        outputs = self.network(image)
        return tuple(outputs[name] for name in self.output_names)


def network_of(model: nn.Layer) -> Callable[[paddle.Tensor], Mapping[str, paddle.Tensor]]:
    """The part of a model that can be traced: all of it, unless it says otherwise."""
    return getattr(model, "network", model)


class PanopticProgram(nn.Layer):
    """Images [N, H, W, 3] uint8 RGB -> ids, segments and the semantic map.

    Args:
        model: the network.
        preprocess: its normalization.
        deployment: padding, the settings of the grouping, and the shape of a fixed input.
    """

    output_names = PANOPTIC_OUTPUTS

    def __init__(self, model: nn.Layer, preprocess: Preprocess, deployment: Deployment) -> None:
        super().__init__()
        self.model = model
        self.preprocess = preprocess
        batch, channels, height, width = deployment.input_shape or (None, 3, None, None)
        self.inputs = {"image": ([batch, height, width, channels], "uint8")}
        self.min_size = deployment.min_size
        self.grouping = TensorGrouping(deployment.grouping)

    def forward(self, image: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        shape = paddle.shape(image).astype("int64")
        height, width = shape[1], shape[2]
        min_height, min_width = self.min_size
        input_height = paddle.maximum(height, paddle.full([], min_height, "int64"))
        input_width = paddle.maximum(width, paddle.full([], min_width, "int64"))
        values = self.preprocess.normalize(image)
        missing = paddle.stack([input_width - width, input_height - height])
        zero = paddle.zeros_like(missing[:1])
        padding = paddle.concat([zero, missing[:1], zero, missing[1:]]).astype("int32")
        outputs = self.model(F.pad(values, padding, value=0.0))
        results = self.grouping(outputs, (input_height, input_width), (0, 0, height, width))
        return tuple(results[name] for name in PANOPTIC_OUTPUTS)


def save_program(layer: nn.Layer, folder: Path, name: str = PROGRAM) -> None:
    """Write the files of a program, `.json` and `.pdiparams`.

    Args:
        layer: one of the above, or a head of a network; its `inputs` are shape and type of each by
            its name.
        folder: gets the files.
        name: of the files.

    Raises:
        UsageError: a part of the model cannot be traced; the message names it.
    """
    layer.eval()
    specs = [InputSpec(shape, kind, each) for each, (shape, kind) in layer.inputs.items()]
    with _parts_followed(layer) as parts, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how Paddle traces its own functions
        try:
            paddle.jit.save(layer, str(folder / name), input_spec=specs)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # whatever tracing someone's layer raises
            raise UsageError(_message(parts, error)) from error


def remove_program(folder: Path) -> None:
    """Remove what `save_program` wrote, once it is converted."""
    for path in folder.glob(f"{PROGRAM}.*"):
        path.unlink()


@contextmanager
def _parts_followed(layer: nn.Layer) -> Iterator[list[str]]:
    """The parts being traced, the innermost last."""
    inside: list[str] = []

    def follow(name: str, part: nn.Layer) -> list[Any]:
        def enter(*_: Any) -> None:
            inside.append(f"{name} ({type(part).__name__})")

        def leave(*_: Any) -> None:
            inside.pop()

        return [part.register_forward_pre_hook(enter), part.register_forward_post_hook(leave)]

    hooks = [hook for name, part in layer.named_sublayers() for hook in follow(name, part)]
    try:
        yield inside
    finally:
        for hook in hooks:
            hook.remove()


def _message(parts: list[str], error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if "Error" in line), " ".join(lines[-1:]))
    places = _CODE_PLACE.findall(str(error))
    where = f" at {Path(places[-1][0]).name}:{places[-1][1]}" if places else ""
    part = parts[-1] if parts else "the model"
    return f"{part} cannot be exported: Paddle cannot trace it{where} ({reason[:200]})"
