"""What a compiled network depends on, as one short text."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from paddle import nn

import panoptic_deeplab

_PACKAGES = ("paddlepaddle", "paddle2onnx", "onnx", "onnxruntime", "openvino")
_DIGITS = 32
_PLAIN = (bool, int, float, str, tuple, list, type(None))


def identity_of(network: nn.Layer, runtime: str) -> str:
    """Return a text that changes with all that a compiled network depends on.

    That is the runtime, the weights, the settings and the source of all layers, and the versions of
    the packages that compile it. The names that Paddle gives to layers and weights do not count.
    """
    checksum = hashlib.sha256()
    for text in (runtime, *_versions(), repr(network), *_settings(network)):
        checksum.update(f"{text}\n".encode())
    for path in _sources(network):
        checksum.update(path.read_bytes())
    for name, value in sorted(network.state_dict().items()):
        checksum.update(f"{name} {value.dtype} {value.shape}\n".encode())
        checksum.update(value.numpy().data)
    return checksum.hexdigest()[:_DIGITS]


def _versions() -> Iterator[str]:
    yield panoptic_deeplab.__version__
    for name in _PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"no {name}"


def _settings(network: nn.Layer) -> Iterator[str]:
    """The plain values that layers hold beside what their `repr` shows."""
    for name, part in network.named_sublayers(include_self=True):
        yield f"{name}: {sorted(_public(vars(part)).items())}"


def _public(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, _PLAIN) and not name.startswith("_") and name != "training"
    }


def _sources(network: nn.Layer) -> list[Path]:
    """The files of the layers and of all that this package's networks are made of, sorted."""
    modules = {type(part).__module__ for part in network.sublayers(include_self=True)}
    files = {getattr(sys.modules.get(name), "__file__", None) for name in modules}
    package = Path(panoptic_deeplab.__file__).parent
    own = {package / "resample.py", *package.glob("models/**/*.py")}
    return sorted(own | {Path(file) for file in files if file})
