"""Runs an exported file and its model on a sample."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import paddle
from paddle import nn

from panoptic_deeplab.deployment import MODEL, Deployment
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.export.parity import (
    Agreement,
    Recorder,
    Replay,
    agreement_of_maps,
    agreement_of_predictions,
)
from panoptic_deeplab.export.plan import ExportPlan
from panoptic_deeplab.formats.images import read_image
from panoptic_deeplab.inference.exported import ExportedHead, ExportedModel
from panoptic_deeplab.inference.exported_network import network_predictor
from panoptic_deeplab.inference.options import LoadOptions
from panoptic_deeplab.runtimes.differences import Outputs, deviations
from panoptic_deeplab.runtimes.program import PROGRAM, network_of

Written: TypeAlias = "WrittenOnnx | WrittenProgram"
Trial: TypeAlias = tuple[Agreement, Callable[[], Any], Callable[[], Any]]

DEFAULT_SAMPLE = (256, 512)
_REGIONS = 3
"""On which the heads are compared."""


def compare(
    folder: Path, save_dir: Path, predictor: Predictor, deployment: Deployment, plan: ExportPlan
) -> None:
    """Run the files in `folder` and the model on a sample; print parity, latency and memory.

    Raises:
        DataError: they differ by more than rounding; the message names `save_dir`.
    """
    image = sample_of(plan, deployment)
    if deployment.input_shape is not None and image.shape[:2] != deployment.input_shape[2:]:
        raise UsageError(
            f"{plan.image}: is {image.shape[1]} x {image.shape[0]} pixels; --input_shape needs a "
            f"sample of {deployment.input_shape[3]} x {deployment.input_shape[2]}"
        )
    print(f"sample: {image.shape[1]} x {image.shape[0]} pixels")
    written = WRITTEN[plan.format](folder, deployment)
    trial = _trial_of(deployment, plan)
    copies = 1 if deployment.input_shape is None else deployment.input_shape[0]
    agreement, run_model, run_file = trial(written, predictor, image, copies)
    judge(agreement, save_dir, plan)
    before, after = (median_seconds(call, plan.repeats) for call in (run_model, run_file))
    print(
        f"latency: {after:.3f} s; this model in Paddle {before:.3f} s, {before / after:.1f} times"
    )
    own, children = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"peak memory of the export: {own:.0f} MB (converter {children:.0f} MB)")


def _trial_of(deployment: Deployment, plan: ExportPlan) -> Callable[..., Trial]:
    if deployment.with_postprocess:
        return try_images
    return try_network if deployment.host is None or not plan.is_onnx else try_parts


def sample_of(plan: ExportPlan, deployment: Deployment) -> np.ndarray:
    """The sample [H, W, 3] uint8 RGB on which the export is tried."""
    return read_image(plan.image) if plan.image else sample_image(deployment)


def sample_image(deployment: Deployment) -> np.ndarray:
    """An image of colored shapes, of the smallest size that is not padded."""
    rng = np.random.default_rng(0)
    height, width = (
        [max(sides) for sides in zip(deployment.min_size, DEFAULT_SAMPLE, strict=True)]
        if deployment.input_shape is None
        else deployment.input_shape[2:]
    )
    image = cv2.resize(
        rng.integers(0, 256, (5, 9, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    for _ in range(24):
        corner, size = rng.random(2) * (width, height), 8 + rng.random(2) * (width, height) / 6
        first, last = (tuple(int(v) for v in point) for point in (corner, corner + size))
        cv2.rectangle(image, first, last, [int(v) for v in rng.integers(0, 256, 3)], -1)
    return image


def try_images(written: Written, predictor: Predictor, image: np.ndarray, copies: int) -> Trial:
    """Compare a file with the grouping, on a batch of copies, to the model's prediction of one."""
    batch = np.repeat(image[None], copies, axis=0)
    recorder = Recorder(predictor.model)
    (prediction,) = _with_model(recorder, predictor).predict([image])
    given = _first(written.network(batch))
    regrouped = _with_model(Replay(given), predictor).predict([image])[0] if given else None
    agreement = agreement_of_maps(written(batch), prediction, given, recorder.outputs, regrouped)
    return agreement, lambda: predictor.predict([image]), lambda: written(batch)


def _first(outputs: Outputs) -> Outputs:
    """The outputs for the first of a batch, which stays a batch."""
    return {name: value[:1] for name, value in outputs.items()}


def _with_model(model: nn.Layer, predictor: Predictor) -> Predictor:
    parts = predictor.preprocess, predictor.transforms, predictor.postprocessor, predictor.info
    return Predictor(model, *parts)


def try_network(written: Written, predictor: Predictor, image: np.ndarray, copies: int) -> Trial:
    """Compare a file of the network, on a batch of copies, to the model on one; heads likewise."""
    sample = predictor.network_input(image)
    batch = np.repeat(sample.numpy(), copies, axis=0)

    def run_model() -> Outputs:
        with paddle.no_grad():
            outputs = network_of(predictor.model)(sample)
            return {name: value.numpy() for name, value in outputs.items()}

    def run_file() -> Outputs:
        return _first(written(batch))

    heads = _deviations_of_heads(written, predictor.model)
    return Agreement(deviations(run_model(), run_file()) | heads), run_model, run_file


def _deviations_of_heads(written: Written, model: nn.Layer) -> dict[str, float]:
    """Of the outputs of each head, for drawn inputs."""
    found = {}
    for name, head in getattr(getattr(model, "find_instances", None), "heads", {}).items():
        inputs = [_drawn(*form) for form in head.inputs.values()]
        with paddle.no_grad():
            outputs = head(*map(paddle.to_tensor, inputs))
        values = paddle.utils.flatten(outputs)
        expected = {k: v.numpy() for k, v in zip(head.output_names, values, strict=True)}
        given = dict(zip(head.output_names, written.run_head(name, inputs), strict=True))
        found |= deviations(expected, given)
    return found


def _drawn(shape: Sequence[int | None], kind: str) -> np.ndarray:
    """Features at random, or labels that are all 1, of `_REGIONS` where any number is taken."""
    sides = [_REGIONS if side is None else side for side in shape]
    if kind == "int64":
        return np.ones(sides, np.int64)
    return np.random.default_rng(0).standard_normal(sides, np.float32)


def try_parts(written: WrittenOnnx, predictor: Predictor, image: np.ndarray, copies: int) -> Trial:
    """As `try_network`, and compare the predictions of image and file to those of the model."""
    network, _, run_file = try_network(written, predictor, image, copies)
    exported = written.predictor()
    (expected,), (found,) = (p.predict([image]) for p in (predictor, exported))
    instances = predictor.model.find_instances(
        {name: paddle.to_tensor(value) for name, value in run_file().items()}
    )
    given = {name: value.numpy() for name, value in instances.items()}
    (regrouped,) = _with_model(Replay(given), predictor).predict([image])
    agreement = agreement_of_predictions(network.deviations, found, expected, regrouped)
    return agreement, lambda: predictor.predict([image]), lambda: exported.predict([image])


def judge(agreement: Agreement, save_dir: Path, plan: ExportPlan) -> None:
    """Print how far the file agrees.

    Raises:
        DataError: not far enough.
    """
    print(f"parity: {agreement}")
    if reasons := agreement.reasons(exact=not plan.int8):
        raise DataError(
            f"{save_dir}: not written, as it would not agree with the model on the "
            f"sample: {'; '.join(reasons)}"
        )
    if agreement.has_other_pixels and not plan.int8:
        print(
            "warning: the network and the grouping each agree, yet more than 1 in 10,000 pixels "
            "differ: rounding decides them with these weights, as with untrained ones",
            file=sys.stderr,
        )


class WrittenOnnx:
    """The ONNX file, in ONNX Runtime."""

    def __init__(self, folder: Path, _: Deployment) -> None:
        self.path = folder / MODEL

    def __call__(self, batch: np.ndarray) -> Outputs:
        """All outputs of the file."""
        return self._model.run(batch)

    def run_head(self, name: str, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """All outputs of a head, in order."""
        return self._heads[name].run(*inputs)

    def predictor(self) -> Predictor:
        """What `load_model` makes of the file, and of the settings beside it."""
        return network_predictor(ExportedModel(self.path, "onnxruntime"), None, LoadOptions("cpu"))

    @cached_property
    def _model(self) -> ExportedModel:
        """Opened on first use, after the session of `network` is closed."""
        return ExportedModel(self.path, "onnxruntime")

    @cached_property
    def _heads(self) -> dict[str, ExportedHead]:
        return self._model.heads()

    def network(self, batch: np.ndarray) -> Outputs:
        """The outputs of the network in a file with the grouping."""
        from panoptic_deeplab.export.onnx_file import network_outputs  # needs onnx

        return network_outputs(self.path, batch)


class WrittenProgram:
    """The Paddle program."""

    def __init__(self, folder: Path, deployment: Deployment) -> None:
        self._folder = folder
        self._names = deployment.output_names
        self._program = paddle.jit.load(str(folder / PROGRAM))

    def __call__(self, batch: np.ndarray) -> Outputs:
        """All outputs of the program."""
        with paddle.no_grad():
            values = [value.numpy() for value in self._program(paddle.to_tensor(batch))]
        return dict(zip(self._names, values, strict=True))

    def run_head(self, name: str, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """All outputs of a head, in order."""
        head = paddle.jit.load(str(self._folder / name))
        with paddle.no_grad():
            outputs = head(*map(paddle.to_tensor, inputs))
        return [value.numpy() for value in paddle.utils.flatten(outputs)]

    def network(self, _: np.ndarray) -> Outputs:
        """Nothing: a program gives no intermediate results."""
        return {}


WRITTEN = {
    "onnx": WrittenOnnx,
    "web": WrittenOnnx,
    "triton": WrittenOnnx,
    "paddle": WrittenProgram,
}


def median_seconds(call: Callable[[], Any], repeats: int) -> float:
    """The median time of a call, after one to warm up."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))
