"""Parameters, multiply-adds and training memory of models, part by part.

    python tools/analyze_model.py --config configs/panoptic_deeplab/*.yml

Multiply-adds are counted for one image of --height x --width, in convolutions,
linear layers and the matrix products of attention (FLOPs are twice as many);
normalization, activations and resizing are left out. Memory is for training at
the configuration's own crop in float32, in two columns: what the weights, their
gradients and Adam's two moments take once, and what each image of a batch adds,
which is what Paddle keeps for the backward pass, each tensor once. It is
computed, not measured: gradients of activations, the library's workspace and
the device's context come on top.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.cli.command_line import run
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.files import replacing, write_json
from panoptic_deeplab.progress import progress_bar

if TYPE_CHECKING:
    import paddle
    from paddle import nn

    from panoptic_deeplab.config import Config

Size = tuple[int, int]

CITYSCAPES_SIZE = (1025, 2049)
LARGEST_COUNTED = 140_000
"""Pixels up to which kept tensors are counted; larger crops are scaled up from there."""

GIBIBYTE = 2**30
CARDS = (8, 11, 24)
USABLE = 0.8
"""Fraction of a card's memory that the computed part may take; the rest comes on top."""

ELSEWHERE = "elsewhere"
LOSSES = "losses"


@dataclass(frozen=True)
class Part:
    """What one part of a network costs.

    `parameters` are trained, `buffers` are not (running statistics); `multiply_adds` are for an
    image of the given size, `kept_bytes` (for the backward pass) and `output_bytes` for one crop.
    """

    name: str
    parameters: int = 0
    buffers: int = 0
    multiply_adds: int = 0
    kept_bytes: int = 0
    output_bytes: int = 0

    @property
    def fixed_bytes(self) -> int:
        """Bytes of weights, gradients, Adam's two moments and buffers, for any batch size."""
        return 4 * (4 * self.parameters + self.buffers)

    @property
    def copy_bytes(self) -> int:
        """Bytes of one more set of weights."""
        return 4 * (self.parameters + self.buffers)


@dataclass(frozen=True)
class Analysis:
    """A configuration's parts, and the sizes (height, width) of image and crop."""

    name: str
    size: Size
    crop: Size
    parts: list[Part]

    @property
    def total(self) -> Part:
        """The sum of all parts."""
        counted = [field.name for field in fields(Part) if field.name != "name"]
        return Part("total", **{n: sum(getattr(p, n) for p in self.parts) for n in counted})

    @property
    def recomputed_image_bytes(self) -> int:
        """`kept_bytes` under recompute: the parts' outputs, and one part's tensors at a time."""
        recomputed = [part for part in self.parts if part.name not in (ELSEWHERE, LOSSES)]
        outside = sum(part.kept_bytes for part in self.parts if part not in recomputed)
        outputs = sum(part.output_bytes for part in recomputed)
        return outside + outputs + max(part.kept_bytes for part in recomputed)

    def largest_batch(self, gibibytes: int, recompute: bool = False) -> int:
        """Return the largest batch on a card of that size; 0 where not even one image fits."""
        total = self.total
        free = USABLE * gibibytes * GIBIBYTE - total.fixed_bytes
        each = self.recomputed_image_bytes if recompute else total.kept_bytes
        return max(0, int(free // each))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run(analyze, parse_arguments(argv))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", nargs="+", required=True, help="configuration files or names")
    parser.add_argument(
        "--height", type=int, help="of the image (default: the validation's padded size)"
    )
    parser.add_argument("--width", type=int, help="of the image")
    parser.add_argument("--json", metavar="FILE", help="write all numbers to FILE")
    parser.add_argument("--markdown", metavar="FILE", help="write tables of all of them to FILE")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    return parser.parse_args(argv)


def analyze(arguments: argparse.Namespace) -> None:
    """Analyze every configuration and report the results."""
    size = given_size(arguments)
    import paddle

    from panoptic_deeplab.config import Config

    paddle.set_device("cpu")
    configs = [Config(path) for path in arguments.config]
    analyses = []
    for config in progress_bar(configs, title="models", total=len(configs), unit="models"):
        analyses.append(analyze_config(config, size))
    for analysis in analyses:
        print(format_parts(analysis))
    if arguments.json:
        write_json(arguments.json, [asdict(analysis) for analysis in analyses], indent=2)
    if arguments.markdown:
        with replacing(arguments.markdown) as temporary:
            temporary.write_text(format_markdown(analyses), "utf-8")


def given_size(arguments: argparse.Namespace) -> Size | None:
    """Return --height and --width, or None where the configuration decides."""
    size = (arguments.height, arguments.width)
    if size == (None, None):
        return None
    if None in size or min(size) < 32:
        raise UsageError(
            f"--height and --width go together, each at least 32; got {size[0]} and {size[1]}"
        )
    return size


def analyze_config(config: Config, size: Size | None = None) -> Analysis:
    """Analyze one configuration.

    Args:
        config: its model is built with random weights.
        size: (height, width) of the image; None takes the validation's.
    """
    size = size or transform_size(config, "val_dataset", "target_size") or CITYSCAPES_SIZE
    crop = transform_size(config, "train_dataset", "crop_size") or size
    model = config.model
    layers = find_parts(model)
    parts = {name: count_weights(name, layer) for name, layer in layers.items()}
    parts |= {name: Part(name) for name in (ELSEWHERE, LOSSES)}
    for name, count in count_multiply_adds(model, layers, size).items():
        parts[name] = replace(parts[name], multiply_adds=count)
    for name, (kept, output) in count_kept_bytes(config, layers, crop).items():
        parts[name] = replace(parts[name], kept_bytes=kept, output_bytes=output)
    return Analysis(Path(config.path).stem, size, crop, list(parts.values()))


def transform_size(config: Config, section: str, key: str) -> Size | None:
    """Return the (height, width) of the last transform that has the key, [width, height]."""
    transforms = config.tree.get(section, {}).get("transforms", [])
    sizes = [transform[key] for transform in transforms if key in transform]
    return (sizes[-1][1], sizes[-1][0]) if sizes else None


def find_parts(layer: nn.Layer, name: str = "") -> dict[str, nn.Layer]:
    """Return the children by name, a child made only of this project's layers by its own children.

    The head of Panoptic-DeepLab, a mere container, is replaced by its decoders and heads.
    """
    parts = {}
    for child_name, child in layer.named_children():
        full_name = f"{name}.{child_name}" if name else child_name
        within = [type(grandchild).__module__ for grandchild in child.children()]
        if within and all(module.startswith("panoptic_deeplab.") for module in within):
            parts |= find_parts(child, full_name)
        else:
            parts[full_name] = child
    return parts


def count_weights(name: str, layer: nn.Layer) -> Part:
    """Count the trainable values and the others of the state dict."""
    sizes = [(math.prod(v.shape), v.stop_gradient) for v in layer.state_dict().values()]
    trained = sum(size for size, fixed in sizes if not fixed)
    return Part(name, parameters=trained, buffers=sum(size for size, _ in sizes) - trained)


class RunningPart:
    """Follows which part is running, through hooks that are removed after the block."""

    def __init__(self, parts: Mapping[str, nn.Layer]) -> None:
        self.name = ELSEWHERE
        self.output_bytes = dict.fromkeys(parts, 0)
        self._parts = parts

    @contextmanager
    def watched(self) -> Iterator[RunningPart]:
        """Register the hooks for the duration of the block."""
        with ExitStack() as hooks:
            for name, layer in self._parts.items():
                before, after = self._hooks(name)
                hooks.callback(layer.register_forward_pre_hook(before).remove)
                hooks.callback(layer.register_forward_post_hook(after).remove)
            yield self

    def _hooks(self, name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        def before(layer: nn.Layer, inputs: Any) -> None:
            self.name = name

        def after(layer: nn.Layer, inputs: Any, outputs: Any) -> None:
            self.name = ELSEWHERE
            self.output_bytes[name] += sum(map(bytes_of, tensors_in(outputs)))

        return before, after


def count_multiply_adds(
    model: nn.Layer, parts: Mapping[str, nn.Layer], size: Size
) -> dict[str, int]:
    """Count the multiply-adds of each part in a forward pass of one image of `size`."""
    import paddle

    counts = dict.fromkeys([*parts, ELSEWHERE], 0)
    running = RunningPart(parts)

    def add(count: int) -> None:
        counts[running.name] += count

    model.eval()
    # layers first: where a part is one layer, it is counted before the part ends
    with paddle.no_grad(), counting_layers(model, add), counting_products(add), running.watched():
        model(paddle.zeros([1, 3, *size]))
    return counts


@contextmanager
def counting_layers(model: nn.Layer, add: Callable[[int], None]) -> Iterator[None]:
    """Pass the multiply-adds of every convolution and linear layer that is called to `add`."""
    from paddle import nn

    costs = {
        # each output sums over the kernel, [out, in / groups, height, width]
        nn.Conv2D: lambda kernel, x, y: math.prod(y.shape) * math.prod(kernel.shape[1:]),
        # each input meets the whole kernel, [in, out / groups, height, width]
        nn.Conv2DTranspose: lambda kernel, x, y: math.prod(x.shape) * math.prod(kernel.shape[1:]),
        nn.Linear: lambda kernel, x, y: math.prod(y.shape) * kernel.shape[0],
    }

    def hook_of(cost: Callable[..., int]) -> Callable[..., None]:
        return lambda layer, inputs, output: add(cost(layer.weight, inputs[0], output))

    with ExitStack() as hooks:
        for layer in model.sublayers(include_self=True):
            for kind, cost in costs.items():
                if isinstance(layer, kind):
                    hook = layer.register_forward_post_hook(hook_of(cost))
                    hooks.callback(hook.remove)
        yield


@contextmanager
def counting_products(add: Callable[[int], None]) -> Iterator[None]:
    """Pass the multiply-adds of every product of two tensors, as in attention, to `add`."""
    import paddle

    def counted(product: Callable[..., paddle.Tensor]) -> Callable[..., paddle.Tensor]:
        def call(x: paddle.Tensor, y: paddle.Tensor, *args: Any, **options: Any) -> paddle.Tensor:
            result = product(x, y, *args, **options)
            transposed = options.get("transpose_x", args[:1] == (True,))
            add(math.prod(result.shape) * x.shape[-2 if transposed else -1])
            return result

        return call

    names = [(paddle, "matmul"), (paddle, "mm"), (paddle, "bmm")]
    names += [(paddle.Tensor, name) for name in ("matmul", "mm", "bmm", "__matmul__")]
    originals = [getattr(owner, name) for owner, name in names]
    try:
        for (owner, name), original in zip(names, originals, strict=True):
            setattr(owner, name, counted(original))
        yield
    finally:
        for (owner, name), original in zip(names, originals, strict=True):
            setattr(owner, name, original)


def count_kept_bytes(
    config: Config, parts: Mapping[str, nn.Layer], crop: Size
) -> dict[str, tuple[int, int]]:
    """Return part -> (bytes kept for the backward pass, bytes of outputs) for one training crop.

    Two tensors over the same memory count once, for the part that kept it first. Large crops are
    counted at a fraction of their size and scaled up by their pixels.
    """
    import paddle

    model, size = config.model, counted_size(crop)
    model.train()
    targets = made_up_targets(config, size)
    owned = {value.data_ptr() for value in model.state_dict().values()}
    running = RunningPart(parts)
    kept: dict[int, tuple[str, paddle.Tensor]] = {}

    def keep(tensor: paddle.Tensor) -> paddle.Tensor:
        place = tensor.data_ptr()
        held = kept.get(place)
        if place not in owned and (held is None or bytes_of(held[1]) < bytes_of(tensor)):
            kept[place] = (held[0] if held else running.name, tensor)
        return tensor

    with running.watched(), paddle.autograd.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = model(paddle.rand([1, 3, *size]), targets)
        running.name = LOSSES
        losses = config.criterion(outputs, targets)
    counts = dict.fromkeys([*parts, ELSEWHERE, LOSSES], 0)
    for name, tensor in kept.values():
        counts[name] += bytes_of(tensor)
    del outputs, losses
    scale = math.prod(crop) / math.prod(size)
    output_bytes = running.output_bytes
    return {
        name: (round(scale * count), round(scale * output_bytes.get(name, 0)))
        for name, count in counts.items()
    }


def counted_size(crop: Size) -> Size:
    """Return `crop` halved until it is small; odd sides stay odd, as strided layers halve them."""
    height, width = crop
    while height * width > LARGEST_COUNTED:
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width


def made_up_targets(config: Config, size: Size) -> dict[str, paddle.Tensor]:
    """Return the targets of a batch of one sample: a thing on stuff."""
    import numpy as np
    import paddle

    from panoptic_deeplab.structures import Segment

    ids = np.ones(size, np.int32)
    ids[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 2
    segments = [Segment(1, config.info.stuff_ids[0]), Segment(2, config.info.thing_ids[0])]
    image = np.zeros((*size, 3), np.uint8)
    sample = config.targets({"image": image, "panoptic": ids, "segments": segments})
    arrays = {name: value for name, value in sample.items() if isinstance(value, np.ndarray)}
    return {name: paddle.to_tensor(value[None]) for name, value in arrays.items()}


def tensors_in(value: Any) -> Iterator[paddle.Tensor]:
    """Yield the tensors of nested dicts, lists and tuples."""
    import paddle

    if isinstance(value, paddle.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def bytes_of(tensor: paddle.Tensor) -> int:
    """Return the size of a tensor's values."""
    return math.prod(tensor.shape) * tensor.element_size()


def format_parts(analysis: Analysis) -> str:
    """Format a table of the parts for the terminal."""
    (height, width), (crop_height, crop_width) = analysis.size, analysis.crop
    rows = [*analysis.parts, analysis.total]
    columns = ("parameters", "buffers", "G multiply-adds", "MiB of weights", "MiB per image")
    lines = [
        f"{analysis.name}: image {width} x {height}, training crop {crop_width} x {crop_height}",
        f"{'':22}" + "".join(f"{column:>16}" for column in columns),
    ]
    for part in rows:
        fixed, kept = (count / 2**20 for count in (part.fixed_bytes, part.kept_bytes))
        lines.append(
            f"{part.name:22}{part.parameters:>16,}{part.buffers:>16,}"
            f"{part.multiply_adds / 1e9:>16.2f}{fixed:>16.1f}{kept:>16.1f}"
        )
    return "\n".join([*lines, ""])


def format_markdown(analyses: Sequence[Analysis]) -> str:
    """Format two tables: the size of each network, and the memory of its training."""
    return "\n".join([*size_table(analyses), "", *memory_table(analyses), ""])


def size_table(analyses: Sequence[Analysis]) -> list[str]:
    """Format parameters and multiply-adds, in all and in the backbone (the first part)."""
    lines = [
        "| configuration | parameters (M) | backbone | image | multiply-adds (G) | backbone |",
        "|---|---:|---:|---|---:|---:|",
    ]
    for analysis in analyses:
        first, total, (height, width) = analysis.parts[0], analysis.total, analysis.size
        lines.append(
            f"| `{analysis.name}` | {total.parameters / 1e6:.2f} "
            f"| {first.parameters / 1e6:.2f} | {width} x {height} "
            f"| {total.multiply_adds / 1e9:.1f} | {first.multiply_adds / 1e9:.1f} |"
        )
    return lines


def memory_table(analyses: Sequence[Analysis]) -> list[str]:
    """Format the memory of training, and the largest batches without / with recompute."""
    cards = " | ".join(f"{card} GB" for card in CARDS)
    lines = [
        "| configuration | crop | fixed (GiB) | copy | per image | per image, recompute "
        f"| {cards} |",
        "|---|---|---:|---:|---:|---:|" + "---:|" * len(CARDS),
    ]
    for analysis in analyses:
        total, (height, width) = analysis.total, analysis.crop
        amounts = (
            total.fixed_bytes,
            total.copy_bytes,
            total.kept_bytes,
            analysis.recomputed_image_bytes,
        )
        batches = [
            f"{analysis.largest_batch(card)} / {analysis.largest_batch(card, recompute=True)}"
            for card in CARDS
        ]
        row = [f"`{analysis.name}`", f"{width} x {height}"]
        row += [f"{amount / GIBIBYTE:.2f}" for amount in amounts] + batches
        lines.append("| " + " | ".join(row) + " |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
