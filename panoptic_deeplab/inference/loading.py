"""The files of a model made a predictor, each kind with what it needs to be imported."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.environment import check_environment
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.inference.location import ModelFiles
from panoptic_deeplab.process import hide_harmless_warnings

if TYPE_CHECKING:
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.engine.views import Augmentation
    from panoptic_deeplab.inference.exported import ExportedModel, ExportedPredictor

DEVICES = ("auto", "cpu", "gpu")


def load_predictor(
    files: ModelFiles,
    device: str = "auto",
    opts: Sequence[str] = (),
    grouping: Mapping[str, Any] | None = None,
    views: Augmentation | None = None,
    runtime: str = "auto",
) -> Predictor | ExportedPredictor:
    """Load what runs a model.

    Args:
        files: where it lies.
        device: `auto`, `cpu` or `gpu`.
        opts: changes to the configuration, each `a.b=value`.
        grouping: settings of the postprocessor that go before the configuration's.
        views: the views of each image that are merged; None shows it once as it is.
        runtime: what runs an exported file: `auto`, `onnxruntime` or `openvino`.

    Raises:
        DataError: a file cannot be used.
        UsageError: an option does not fit the model, or a package is missing.
    """
    if device not in DEVICES:
        raise UsageError(f"device: expected {', '.join(DEVICES)}, got {device!r:.50}")
    grouping = grouping or {}
    if not files.is_exported:
        changes = [f"postprocessor.{name}={value}" for name, value in grouping.items()]
        return _load_checkpoint(files, device, [*opts, *changes], views)
    from panoptic_deeplab.inference.exported import ExportedModel, ExportedPredictor

    exported = ExportedModel(files.weights, runtime)
    if not exported.deployment.with_postprocess:
        _import_paddle()
        from panoptic_deeplab.inference.exported_network import network_predictor

        return network_predictor(exported, files.config, device, opts, grouping, views)
    _refuse_changes(exported, device, opts, grouping, views)
    if distributed.world_size() > 1:
        distributed.start("cpu")  # Paddle connects the processes, although it does not compute
    return ExportedPredictor(exported)


def _import_paddle() -> None:
    """Import Paddle where that can work, without the warnings it begins with."""
    check_environment()
    with warnings.catch_warnings():
        hide_harmless_warnings()
        import paddleseg  # noqa: F401  (and Paddle with it)


def _load_checkpoint(
    files: ModelFiles, device: str, opts: Sequence[str], views: Augmentation | None
) -> Predictor:
    """The configuration's model with the weights of a checkpoint, and the classes beside them."""
    _import_paddle()
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.engine.checkpoint import read_info_beside
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.weights.loading import load_weights

    config = Config(files.config, opts)
    distributed.start(device)
    config.info = read_info_beside(files.weights) or config.info
    predictor = Predictor(
        config.model,
        config.preprocess,
        config.val_transforms,
        config.postprocessor,
        config.info,
        views,
    )
    load_weights(
        config.model,
        files.weights,
        num_classes=config.info.num_classes,
        way_out="predict with the configuration they were trained with",
    )
    return predictor


def _refuse_changes(
    exported: ExportedModel,
    device: str,
    opts: Sequence[str],
    grouping: Mapping[str, Any],
    views: Augmentation | None,
) -> None:
    """Refuse what cannot change a file that holds everything from the image to the ids."""
    flags = [f"--{name}" for name in grouping]
    flags += ["--aug_eval"] if views is not None else []
    flags += ["--opts"] if opts else []
    if flags:
        raise UsageError(
            f"{exported.path}: holds its post-processing, which {flags[0]} cannot change; leave it "
            "out, or export without --with_postprocess"
        )
    if device == "gpu":
        raise UsageError(f"{exported.path}: runs on the CPU; leave out --device gpu")
