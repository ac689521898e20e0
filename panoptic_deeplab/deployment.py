"""The description of an exported file: `deploy.yaml`, and the same as JSON in the ONNX file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from panoptic_deeplab.errors import DataError, UsageError, reason_of
from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.normalization import Normalization
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.yaml_files import read_yaml

FILE = "deploy.yaml"
MODEL = "model.onnx"
MODEL_NAME = "panoptic"
"""Of the model in addresses of servers."""
METADATA_KEY = "panoptic_deeplab.deploy"
FORMAT = 1

HEADS = ("box_head", "mask_head")
"""Parts with weights that come after the network, each in a file of its own name beside it."""

NETWORK_OUTPUTS = ("semantic", "center", "offset")
PANOPTIC_OUTPUTS = (
    "panoptic",
    "segment_class",
    "segment_score",
    "segment_area",
    "segment_count",
    "semantic_map",
)
SETTINGS = {"threshold": "float32", "min_stuff_area": "int64"}
"""Of the grouping, those that can be inputs [1] of a file beside the image, and their types."""
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError, UsageError)


@dataclass(frozen=True)
class HostParts:
    """What is computed after a file whose method's grouping has no form inside it.

    Attributes:
        outputs: names of the network's outputs in the file, in order.
        instances: `type` and arguments of what finds the instances in these outputs.
        postprocessor: `type` and arguments of the postprocessor of what that returns.
        heads: SHA-256 of the file with the weights of each of `HEADS` that finding instances needs.
    """

    outputs: tuple[str, ...]
    instances: Mapping[str, Any]
    postprocessor: Mapping[str, Any]
    heads: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> HostParts:
        """Read what `to_dict` of a deployment says under `host`."""
        parts = [dict(content[name]) for name in ("instances", "postprocessor")]
        if not all(isinstance(part["type"], str) for part in parts):
            raise TypeError("a type is no name")
        heads = dict(content.get("heads", {}))
        if not set(heads) <= set(HEADS):
            raise ValueError(f"heads are {' and '.join(HEADS)}")
        return cls(tuple(map(str, content["outputs"])), *parts, heads)


@dataclass(frozen=True)
class Deployment:
    """An exported model's description.

    Attributes:
        with_postprocess: whether the file maps uint8 images to ids and segments, or a normalized
            input to the outputs of the network.
        info: the classes.
        normalization: of the network's input.
        min_size: (height, width) that smaller images are padded to, at the bottom and the right.
        grouping: the settings of the grouping; None for a method of `host`.
        made_by: versions of the programs that made the file.
        input_shape: (N, 3, H, W) where the file takes no other, with the grouping as [N, H, W, 3].
        takes_settings: whether `SETTINGS` are inputs of the file too; those of the grouping are
            what to give it where nobody asks for others.
        host: what is computed after the file; None for a method whose grouping `grouping` tells.
    """

    with_postprocess: bool
    info: DatasetInfo
    normalization: Normalization
    min_size: tuple[int, int]
    grouping: GroupingSettings | None
    made_by: Mapping[str, Any]
    input_shape: tuple[int, int, int, int] | None = None
    takes_settings: bool = False
    host: HostParts | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the file's inputs, in order."""
        return ("image", *SETTINGS) if self.takes_settings else ("image",)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the file's outputs, in order."""
        return PANOPTIC_OUTPUTS if self.with_postprocess else self.network_outputs

    @property
    def network_outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs, in order."""
        return NETWORK_OUTPUTS if self.host is None else self.host.outputs

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for YAML and JSON; `from_dict` is the inverse."""
        return {
            "format": FORMAT,
            "with_postprocess": self.with_postprocess,
            "takes_settings": self.takes_settings,
            "input": self._input(),
            "outputs": {name: _meaning(name) for name in self.output_names},
            "normalization": {
                "formula": "(value / 255 - mean) / std, then padding with 0",
                "mean": list(self.normalization.mean),
                "std": list(self.normalization.std),
            },
            "padding": {
                "least_height": self.min_size[0],
                "least_width": self.min_size[1],
                "where": "below and beside the image; larger images are taken as they are",
            },
            **self._after_the_network(),
            "classes": self.info.to_dict(),
            "made_by": dict(self.made_by),
        }

    def _after_the_network(self) -> dict[str, Any]:
        if self.host is not None:
            return {"host": asdict(self.host) | {"outputs": list(self.host.outputs)}}
        settings = asdict(self.grouping)
        return {"grouping": settings | {"thing_ids": [int(i) for i in settings["thing_ids"]]}}

    def _input(self) -> dict[str, Any]:
        kind = _IMAGES if self.with_postprocess else _NORMALISED
        if self.input_shape is None:
            return kind
        batch, channels, height, width = self.input_shape
        layout = kind["layout"].replace(
            "any batch, height and width", f"exactly {batch} of {width} x {height} pixels"
        )
        return kind | {"layout": layout, "shape": [batch, channels, height, width]}

    @classmethod
    def from_dict(cls, content: Any, source: str) -> Deployment:
        """Inverse of `to_dict`; `source` names the file in errors.

        Raises:
            DataError: it is no such description.
        """
        try:
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r:.40} is not {FORMAT}")
            padding, normalization = content["padding"], content["normalization"]
            host = HostParts.of(content["host"]) if "host" in content else None
            deployment = cls(
                bool(content["with_postprocess"]),
                DatasetInfo.from_dict(content["classes"], source),
                Normalization.of(normalization["mean"], normalization["std"]),
                (int(padding["least_height"]), int(padding["least_width"])),
                GroupingSettings(**content["grouping"]) if host is None else None,
                dict(content["made_by"]),
                _shape(content["input"].get("shape")),
                bool(content.get("takes_settings", False)),
                host,
            )
            if host is None and deployment.grouping.num_classes != deployment.info.num_classes:
                raise ValueError("its grouping is for another number of classes")
            return deployment
        except _MALFORMED as error:
            raise DataError(
                f"{source}: expected the description of an exported model, as "
                f"panoptic-deeplab export writes it; got {type(error).__name__}: {reason_of(error)}"
            ) from error

    def to_yaml(self) -> str:
        """The text of `deploy.yaml`."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)


def _meaning(output: str) -> str:
    """What an output is; some are of each level, whose stride their name ends in."""
    return _MEANING.get(re.sub(r"_\d+$", "", output), "see host")


def _shape(sides: Any) -> tuple[int, int, int, int] | None:
    if sides is None:
        return None
    batch, channels, height, width = (int(side) for side in sides)
    if channels != 3 or min(batch, height, width) < 1:
        raise ValueError(f"no shape of images: {sides}")
    return batch, channels, height, width


def read_deployment(folder: str | Path) -> Deployment:
    """The description in a folder's `deploy.yaml`.

    Raises:
        DataError: it is missing or no such description.
    """
    path = Path(folder) / FILE
    if not path.exists():
        raise DataError(
            f"{path}: is missing; the ONNX file beside it has no copy inside. Copy it along, or "
            "export again with panoptic-deeplab export"
        )
    return Deployment.from_dict(read_yaml(path), str(path))


_IMAGES = {
    "name": "image",
    "type": "uint8",
    "layout": "NHWC, RGB, any batch, height and width; the file normalizes and pads",
}
_NORMALISED = {
    "name": "image",
    "type": "float32",
    "layout": "NCHW, RGB, any batch, height and width; normalized and padded as described below",
}
_MEANING = {
    "semantic": "[N, classes, h, w] float32 logits at the network's stride",
    "center": "[N, 1, h, w] float32 center heatmap",
    "category_logits": "[N, cells, things] float32 logits of SOLOv2's cells",
    "kernels": "[N, cells, E] float32, what makes a mask of the mask features",
    "mask_features": "[N, E, h, w] float32",
    "image_box": "[N, 4] float32, (x1, y1, x2, y2) around all that is not 0, in input pixels",
    "features": "[N, C, h, w] float32, what regions are read from at this stride",
    "rpn_logits": "[N, 3, h, w] float32, whether an anchor at this stride holds an object",
    "rpn_offsets": "[N, 12, h, w] float32, (dx, dy, dw, dh) from each of these anchors",
    "offset": "[N, 2, h, w] float32, (y, x) offset to the instance center in input pixels",
    "panoptic": "[N, H, W] int32: 0 void, else the id of a segment",
    "segment_class": "[N, M] int32: class of the segment with id row + 1, -1 without one",
    "segment_score": "[N, M] float32: mean probability of its class over its pixels",
    "segment_area": "[N, M] int32: number of its pixels",
    "segment_count": "[N] int32: number of segments of each image",
    "semantic_map": "[N, H, W]: class of each pixel by the semantic branch alone",
}
