"""How a model is to run, whatever it is loaded from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.errors import UsageError

if TYPE_CHECKING:
    from panoptic_deeplab.tiles import Tiling
    from panoptic_deeplab.views import Augmentation

DEVICES = ("auto", "cpu", "gpu")
RUNTIMES = ("auto", "paddle", "onnxruntime", "openvino")


@dataclass(frozen=True)
class LoadOptions:
    """How a model is to run.

    Attributes:
        device: `auto` (a GPU if Paddle, or the runtime of an exported file, sees one), `cpu` or
            `gpu`.
        opts: changes to the configuration, each `a.b=value`.
        grouping: settings of the postprocessor; they override all others.
        views: the views of each image that are merged; None shows it once as it is.
        runtime: what computes the network on a CPU: `auto` (the first of ONNX Runtime and OpenVINO
            that is installed, for a checkpoint as soon as compiling pays; else Paddle), `paddle`,
            `onnxruntime` or `openvino`.
        tiling: how images are cut into tiles; None for whole images.
        images: how many are to come, by which `auto` judges whether compiling pays; None where
            nobody knows.

    Raises:
        UsageError: there is no such device or runtime.
    """

    device: str = "auto"
    opts: Sequence[str] = ()
    grouping: Mapping[str, Any] = field(default_factory=dict)
    views: Augmentation | None = None
    runtime: str = "auto"
    tiling: Tiling | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise UsageError(f"device: expected {', '.join(DEVICES)}, got {self.device!r:.50}")
        if self.runtime not in RUNTIMES:
            raise UsageError(f"runtime: expected {', '.join(RUNTIMES)}, got {self.runtime!r:.50}")

    @property
    def overrides(self) -> list[str]:
        """All changes to the configuration, each `a.b=value`."""
        settings = [f"postprocessor.{name}={value}" for name, value in self.grouping.items()]
        return [*self.opts, *settings]
