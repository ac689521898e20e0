"""An exported ONNX file as a predictor, without Paddle."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path

import numpy as np

from panoptic_deeplab.batching import map_by_shape
from panoptic_deeplab.deployment import (
    FILE,
    METADATA_KEY,
    SETTINGS,
    Deployment,
    read_deployment,
)
from panoptic_deeplab.errors import DataError, UsageError, reason_of
from panoptic_deeplab.files import open_file
from panoptic_deeplab.fusion.tile_joining import join_tiles
from panoptic_deeplab.runtimes.sessions import RUNTIMES, Session
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import Prediction, Segment, smallest_label_type
from panoptic_deeplab.tiles import Tiling
from panoptic_deeplab.weights.download import sha256_of


class ExportedModel:
    """An ONNX file and its description.

    Args:
        path: the file. Its description is the `deploy.yaml` beside it, or, where the file came
            alone, the copy inside.
        runtime: `onnxruntime`, `openvino`, or `auto` for the first of these that is installed.
        device: `cpu`, `gpu`, or `auto` for a GPU where the runtime can use one.

    Attributes:
        settings: what is given to a file that takes settings beside the image, by name.

    Raises:
        DataError: the file is corrupt, of another kind, or has no description.
        UsageError: the runtime is not installed, or is Paddle.
    """

    def __init__(self, path: str | Path, runtime: str = "auto", device: str = "cpu") -> None:
        self.path = Path(path)
        open_file(self.path).close()
        self._runtime, self._device = _installed(runtime), device
        self.session = _open(self.path, self._runtime, device)
        self.deployment = _description(self.path, self.session)
        grouping, names = self.deployment.grouping, self.deployment.input_names[1:]
        self.settings = {name: getattr(grouping, name) for name in names}
        expected = (list(self.deployment.input_names), list(self.deployment.output_names))
        found = (self.session.input_names, self.session.output_names)
        if found != expected:
            raise DataError(
                f"{self.path}: expected the outputs {', '.join(expected[1])} of "
                f"{', '.join(expected[0])}, as its deploy.yaml says; it gives "
                f"{', '.join(found[1])[:200]} of {', '.join(found[0])[:100]}"
            )

    def with_settings(self, settings: Mapping[str, float]) -> ExportedModel:
        """The same file, to be given these in place of those of `settings`."""
        changed = copy(self)
        changed.settings = self.settings | settings
        return changed

    def run(self, image: np.ndarray) -> Mapping[str, np.ndarray]:
        """Run the file on a batch and return its outputs by name.

        Raises:
            DataError: the file cannot be run on it.
            UsageError: the file takes images of another size.
        """
        shape = self.deployment.input_shape
        if shape is None:
            return self._run(image)
        self._check_size(image, *shape[2:])
        parts = [self._run_some(image[i : i + shape[0]]) for i in range(0, len(image), shape[0])]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _check_size(self, image: np.ndarray, height: int, width: int) -> None:
        found = image.shape[1:3] if self.deployment.with_postprocess else image.shape[2:4]
        if found != (height, width):
            raise UsageError(
                f"{self.path}: takes images of {width} x {height} pixels alone, got one of "
                f"{found[1]} x {found[0]}; cut larger ones with --tile {width} {height}, or export "
                "without --input_shape"
            )

    def _run_some(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        """Run the file on at most as many images as it takes, repeating the last to fill it up."""
        count, missing = len(images), self.deployment.input_shape[0] - len(images)
        outputs = self._run(np.concatenate([images, images[-1:].repeat(missing, axis=0)]))
        return {name: value[:count] for name, value in outputs.items()}

    def _run(self, image: np.ndarray) -> Mapping[str, np.ndarray]:
        settings = {k: np.array([v], SETTINGS[k]) for k, v in self.settings.items()}
        values = _run(self.session, self.path, {"image": image} | settings)
        return dict(zip(self.deployment.output_names, values, strict=True))

    def heads(self) -> dict[str, ExportedHead]:
        """Open the heads beside the file.

        Raises:
            DataError: one is missing, or another file than that of the export.
        """
        known = self.deployment.host.heads
        for name, checksum in known.items():
            path = self.path.with_name(f"{name}.onnx")
            if not path.is_file():
                raise DataError(
                    f"{path}: is missing; {self.path.name} needs it beside it. Copy the whole "
                    "folder of the export",
                    kind="missing file",
                )
            if sha256_of(path) != checksum:
                raise DataError(
                    f"{path}: is not the file that {self.path.name} was exported with; it is of "
                    "another export or damaged. Copy the whole folder of the export again"
                )
        return {
            name: ExportedHead(self.path.with_name(f"{name}.onnx"), self._runtime, self._device)
            for name in known
        }


class ExportedHead:
    """An ONNX file of a part that comes after the network.

    Args:
        path: the file.
        runtime: that is installed.
        device: as of `ExportedModel`.

    Raises:
        DataError: it is no ONNX file.
    """

    def __init__(self, path: Path, runtime: str, device: str) -> None:
        self.path = path
        self._session = _open(path, runtime, device)

    def run(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Run the file on its inputs, in order; return all outputs, in order.

        Raises:
            DataError: the file cannot be run on them.
        """
        named = dict(zip(self._session.input_names, inputs, strict=True))
        return _run(self._session, self.path, named)


def _run(session: Session, path: Path, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    try:
        return session.run(inputs)
    except MemoryError:
        raise
    except Exception as error:  # each runtime has exceptions of its own
        raise DataError(f"{path}: cannot be run ({reason_of(error)})") from error


class ExportedPredictor:
    """An ONNX file with the grouping, with the interface of `engine.predictor.Predictor`.

    Args:
        exported: the file.
        tiling: how images are cut into tiles, whose predictions are joined; None for whole images.

    Attributes:
        info: the classes it predicts.
        watch: the time spent in the file, network and grouping in one.
    """

    def __init__(self, exported: ExportedModel, tiling: Tiling | None = None) -> None:
        self._exported = exported
        self._tiling = tiling
        self.info = exported.deployment.info
        self.watch = Stopwatch()

    @property
    def settings(self) -> Mapping[str, float]:
        """What `with_settings` can change, by name."""
        return self._exported.settings

    def with_settings(self, settings: Mapping[str, float]) -> ExportedPredictor:
        """A predictor by the same file that groups by other settings."""
        return ExportedPredictor(self._exported.with_settings(settings), self._tiling)

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Predict images in their own pixels; those of equal size go together.

        Args:
            images: each [H, W, 3] uint8 RGB.

        Raises:
            DataError: the file cannot be run on them.
        """
        if self._tiling is None:
            return map_by_shape(self._predict_batch, images)
        return [
            join_tiles(image, self._tiling.tiles(image.shape[:2]), self._predict_one)
            for image in images
        ]

    def _predict_one(self, image: np.ndarray) -> Prediction:
        return self._predict_batch(image[None], [0])[0]

    def _predict_batch(self, batch: np.ndarray, places: list[int]) -> list[Prediction]:
        with self.watch.timing("network and grouping"):
            outputs = self._exported.run(batch)
        source = str(self._exported.path)
        return [
            prediction_of(outputs, i, self._exported.deployment, source) for i in range(len(batch))
        ]


def prediction_of(
    outputs: Mapping[str, np.ndarray], index: int, deployment: Deployment, source: str
) -> Prediction:
    """Read the prediction of one image out of a batch.

    Args:
        outputs: what a file with the grouping returned.
        index: position of the image in the batch.
        deployment: the file's description.
        source: the file's name, for errors.

    Raises:
        DataError: ids and table do not fit each other or the classes.
    """
    categories = deployment.info.categories
    count, ids = int(outputs["segment_count"][index]), outputs["panoptic"][index]
    rows = [outputs[f"segment_{what}"][index][:count] for what in ("class", "area", "score")]
    classes = rows[0]
    fits = len(classes) == count and ((classes >= 0) & (classes < len(categories))).all()
    if not fits or ids.min() < 0 or ids.max() > count:
        raise DataError(f"{source}: its segments do not fit its ids or the classes in deploy.yaml")
    segments = [
        Segment(
            i + 1,
            int(category),
            area=int(area),
            is_thing=categories[category].is_thing,
            score=float(score),
        )
        for i, (category, area, score) in enumerate(zip(*rows, strict=True))
    ]
    labels = outputs["semantic_map"][index].astype(smallest_label_type(len(categories)))
    return Prediction(np.array(ids), segments, labels)


def _description(path: Path, session: Session) -> Deployment:
    """Read the description beside a file, else the copy inside.

    That beside it may have been changed, but heads are those of the file.
    """
    if METADATA_KEY not in session.metadata:
        return read_deployment(path.parent)
    if not (path.parent / FILE).exists():
        return _copy_inside(path, session)
    found = read_deployment(path.parent)
    if found.host is not None and found.host.heads != _heads_of(_copy_inside(path, session)):
        raise DataError(
            f"{path}: is of another export than the {FILE} beside it. Copy the whole folder of the "
            "export"
        )
    return found


def _heads_of(deployment: Deployment) -> Mapping[str, str]:
    return {} if deployment.host is None else deployment.host.heads


def _copy_inside(path: Path, session: Session) -> Deployment:
    try:
        content = json.loads(session.metadata[METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its description is damaged ({error})") from error
    return Deployment.from_dict(content, str(path))


def _installed(runtime: str) -> str:
    if runtime == "paddle":
        raise UsageError(
            "--runtime paddle: an ONNX file needs onnxruntime or openvino; leave it out, or give "
            "the checkpoint"
        )
    names = list(RUNTIMES) if runtime == "auto" else [runtime]
    for name in names:
        if importlib.util.find_spec(name) is not None:
            return name
    raise UsageError(
        f"an ONNX file needs {' or '.join(names)}, which is not installed; pip install {names[0]}"
    )


def _open(path: Path, runtime: str, device: str) -> Session:
    try:
        return RUNTIMES[runtime](path, device)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # each runtime has exceptions of its own
        raise DataError(
            f"{path}: {runtime} cannot load it; expected an ONNX file of panoptic-deeplab export "
            f"({reason_of(error)})"
        ) from error
