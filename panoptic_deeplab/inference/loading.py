"""Loads a predictor from a model's files; each kind imports only what it needs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.environment import check_environment, require_paddle
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.inference.location import ModelFiles
from panoptic_deeplab.inference.options import LoadOptions
from panoptic_deeplab.process import hide_harmless_warnings, making_many_objects

if TYPE_CHECKING:
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.inference.exported import ExportedModel, ExportedPredictor


def load_predictor(files: ModelFiles, options: LoadOptions) -> Predictor | ExportedPredictor:
    """Load the predictor of a model.

    Args:
        files: of the model.
        options: how it is to run.

    Raises:
        DataError: a file cannot be used.
        UsageError: an option does not fit the model, or a package is missing.
    """
    load = _load_export if files.is_exported else _load_checkpoint
    return load(files, options)


def _load_checkpoint(files: ModelFiles, options: LoadOptions) -> Predictor:
    """Load the configuration's model with the weights and the classes of a checkpoint."""
    import_paddle()
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.inference.compiling import with_runtime
    from panoptic_deeplab.weights import load_network, read_info_beside

    config = Config(files.config, options.overrides)
    distributed.start(options.device)
    config.info = read_info_beside(files.weights) or config.info
    predictor = Predictor(
        config.model,
        config.preprocess,
        config.val_transforms,
        config.postprocessor,
        config.info,
        options.views,
        tiling=options.tiling,
    )
    load_network(config, files.weights, "predict with the configuration they were trained with")
    return with_runtime(predictor, options.runtime, options.images)


def _load_export(files: ModelFiles, options: LoadOptions) -> Predictor | ExportedPredictor:
    """Load an ONNX file: with its grouping as it is, without as the network of a predictor."""
    from panoptic_deeplab.inference.exported import ExportedModel, ExportedPredictor

    exported = ExportedModel(files.weights, options.runtime, options.device)
    if not exported.deployment.with_postprocess:
        import_paddle()
        from panoptic_deeplab.inference.exported_network import network_predictor

        return network_predictor(exported, files.config, options)
    _refuse_changes(exported, options)
    if distributed.world_size() > 1:
        distributed.start("cpu")  # Paddle connects the processes, although it does not compute
    return ExportedPredictor(exported.with_settings(options.grouping), options.tiling)


def _refuse_changes(exported: ExportedModel, options: LoadOptions) -> None:
    """Refuse what cannot change a file that holds everything from the image to the ids."""
    flags = [f"--{name}" for name in options.grouping if name not in exported.settings]
    flags += ["--aug_eval"] if options.views is not None else []
    flags += ["--opts"] if options.opts else []
    if flags:
        raise UsageError(
            f"{exported.path}: holds its post-processing, which {flags[0]} cannot change; leave it "
            "out, or export without --with_postprocess"
        )


def import_paddle() -> None:
    """Import Paddle without its warnings, after a check that it can work."""
    require_paddle()
    check_environment()
    with warnings.catch_warnings(), making_many_objects():
        hide_harmless_warnings()
        import paddleseg  # noqa: F401  (and Paddle with it)
