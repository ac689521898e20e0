"""Exports a trained model as one file, which is put in place once it agrees with the model."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

import panoptic_deeplab
from panoptic_deeplab.deployment import FILE, MODEL, Deployment, HostParts
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.export.ort_web import find_package
from panoptic_deeplab.export.plan import CALIBRATION_IMAGES, ExportPlan, check_target
from panoptic_deeplab.export.trial import compare, sample_of
from panoptic_deeplab.export.triton import write_repository
from panoptic_deeplab.export.web import write_page
from panoptic_deeplab.files import files_below, replacing_folder
from panoptic_deeplab.folder_lock import sole_writer
from panoptic_deeplab.formats.images import read_image
from panoptic_deeplab.inference.sources import find_images
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.runtimes.compiled import CompiledNetwork
from panoptic_deeplab.runtimes.program import (
    NetworkProgram,
    PanopticProgram,
    remove_program,
    save_program,
)
from panoptic_deeplab.weights.download import sha256_of

_FLOAT_LAYERS = 2  # convolutions before each output; what was measured: docs/deploy.md


def export_model(
    predictor: Predictor, save_dir: Path, plan: ExportPlan, config: str = ""
) -> list[Path]:
    """Export a model, for any batch, height and width unless the plan has a shape.

    Args:
        predictor: the model with all that it needs to predict.
        save_dir: the folder of the export, new or with an earlier one, which is replaced.
        plan: what to write.
        config: path or name of the model's configuration, for the description.

    Returns:
        the files, sorted.

    Raises:
        DataError: the file does not agree with the model on the sample, or the page's runtime
            cannot be fetched; nothing is written then.
        UsageError: a part has no form in an export, `save_dir` holds something else, or another
            process exports there.
    """
    check_target(save_dir)
    predictor = _in_paddle(predictor)
    deployment = describe(predictor, plan, config)
    package = find_package(plan.ort_web) if plan.is_web else None
    with sole_writer(save_dir, "export"), replacing_folder(save_dir) as folder:
        deployment = write_heads(folder, predictor, deployment, plan)
        write_program(folder, predictor, deployment, plan)
        if plan.is_onnx:
            write_onnx(folder, predictor, deployment, plan)
        (folder / FILE).write_text(deployment.to_yaml(), "utf-8")
        compare(folder, save_dir, predictor, deployment, plan)
        if plan.is_packaged:
            remove_program(folder)
        if plan.is_triton:
            write_repository(folder, plan.buckets, plan.max_batch_size)
        if package is not None:
            write_page(folder, package, deployment, sample_of(plan, deployment))
    return files_below(save_dir)


def _in_paddle(predictor: Predictor) -> Predictor:
    """The predictor whose network Paddle computes, which can be traced."""
    network = predictor.model
    if isinstance(network, CompiledNetwork):
        return predictor.with_network(network.model)
    return predictor


def describe(predictor: Predictor, plan: ExportPlan, config: str) -> Deployment:
    """The description of an export.

    Raises:
        UsageError: a transform or the postprocessor has no form in an export.
    """
    for transform in predictor.transforms:
        if not hasattr(transform, "min_size"):
            raise UsageError(
                f"{type(transform).__name__} in val_dataset.transforms cannot be exported, only "
                "Padding can; take it out with --opts 'val_dataset.transforms=[]'"
            )
    host = _host_parts(predictor, plan)
    sizes = [(1, 1), *(transform.min_size for transform in predictor.transforms)]
    return Deployment(
        plan.with_postprocess,
        predictor.info,
        predictor.preprocess.normalization,
        tuple(int(side) for side in np.max(sizes, axis=0)),
        None if host else predictor.postprocessor.export_settings(),
        _versions(plan) | {"config": config},
        plan.input_shape,
        plan.is_web,
        host,
    )


def _host_parts(predictor: Predictor, plan: ExportPlan) -> HostParts | None:
    """What is computed after the file; None for a method whose grouping has a form in it.

    Raises:
        UsageError: the method has neither form, or the plan asks for the grouping.
    """
    model, postprocessor = predictor.model, predictor.postprocessor
    if hasattr(postprocessor, "export_settings"):
        return None
    method = type(postprocessor).__name__
    if not hasattr(postprocessor, "host_settings"):
        raise UsageError(f"{method} cannot be exported; CenterGrouping can")
    if plan.is_packaged:
        raise UsageError(
            f"--format {plan.format} needs ids from one file, in which {method} has no form; use "
            "--format onnx: it holds the network, and predict and serve compute the rest"
        )
    if plan.with_postprocess or plan.int8:
        flag = "--with_postprocess" if plan.with_postprocess else "--int8"
        raise UsageError(
            f"{flag} is for methods whose grouping has a form inside a file, as CenterGrouping; "
            f"leave it out: {method}'s network is exported, and predict computes the rest"
        )
    instances = model.find_instances
    return HostParts(
        tuple(model.network_outputs),
        {"type": type(instances).__name__, **instances.host_settings()},
        {"type": method, **postprocessor.host_settings()},
    )


def _versions(plan: ExportPlan) -> dict[str, Any]:
    """Versions of the programs that make the file."""
    packages = ["paddlepaddle", *(["paddle2onnx", "onnx"] if plan.is_onnx else [])]
    known = {"panoptic_deeplab": panoptic_deeplab.__version__, "python": platform.python_version()}
    known |= {name: version(name) for name in packages}
    if plan.is_onnx:
        known |= {"opset": plan.opset, "precision": "int8" if plan.int8 else "float32"}
    return known


def write_heads(
    folder: Path, predictor: Predictor, deployment: Deployment, plan: ExportPlan
) -> Deployment:
    """Write what has weights after the network, as the network itself is written.

    Returns:
        the description, with the checksums of these files.
    """
    if deployment.host is None:
        return deployment
    heads = getattr(predictor.model.find_instances, "heads", {})
    checksums = {name: sha256_of(_write_head(folder, name, heads[name], plan)) for name in heads}
    return replace(deployment, host=replace(deployment.host, heads=checksums))


def _write_head(folder: Path, name: str, head: nn.Layer, plan: ExportPlan) -> Path:
    """Write a head; return the file that holds its weights."""
    save_program(head, folder, name)
    if not plan.is_onnx:
        return folder / f"{name}.pdiparams"
    # here, because a Paddle export works without these packages
    import onnx

    from panoptic_deeplab.runtimes.conversion import convert_program

    path = folder / f"{name}.onnx"
    onnx.save(convert_program(folder, plan.opset, head.output_names, name), str(path))
    return path


def write_program(
    folder: Path, predictor: Predictor, deployment: Deployment, plan: ExportPlan
) -> None:
    """Write the Paddle program: of the network alone where it is converted to ONNX."""
    program = (
        PanopticProgram(predictor.model, predictor.preprocess, deployment)
        if plan.with_postprocess and not plan.is_onnx
        else NetworkProgram(predictor.model, deployment.network_outputs, deployment.input_shape)
    )
    save_program(program, folder)


def write_onnx(
    folder: Path, predictor: Predictor, deployment: Deployment, plan: ExportPlan
) -> None:
    """Write `model.onnx`, converted from the program in `folder`, which stays beside it."""
    # here, because a Paddle export works without these packages
    from panoptic_deeplab.export.onnx_file import with_grouping, write_model
    from panoptic_deeplab.export.quantization import quantized
    from panoptic_deeplab.runtimes.conversion import convert_program

    model = convert_program(folder, plan.opset, deployment.network_outputs)
    if plan.int8:
        inputs = _calibration_inputs(plan.calibration, predictor)
        model = quantized(model, inputs, _FLOAT_LAYERS)
    if plan.with_postprocess:
        model = with_grouping(model, deployment)
    write_model(model, deployment, folder / MODEL)


def _calibration_inputs(images: str, predictor: Predictor) -> Iterator[np.ndarray]:
    """Inputs of the network [1, 3, P, Q] float32, from some of the images."""
    found = find_images(images)
    chosen = found[:: max(1, len(found) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES]
    with progress_bar(chosen, title="calibrating", total=len(chosen), unit="images") as bar:
        for image in bar:
            yield predictor.network_input(read_image(image.path)).numpy()
