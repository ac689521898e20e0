"""A trained model as a function from images to predictions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from functools import partial
from typing import Any

import numpy as np
import paddle
from paddle import nn

from panoptic_deeplab.batching import map_by_shape
from panoptic_deeplab.device import on_gpu
from panoptic_deeplab.engine.finiteness import refuse_not_finite
from panoptic_deeplab.engine.large_maps import sparing_memory
from panoptic_deeplab.engine.precision import Precision
from panoptic_deeplab.engine.tiled import stitched_outputs
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion.tile_joining import join_tiles
from panoptic_deeplab.preprocess import Preprocess, valid_boxes
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import DatasetInfo, Frame, Prediction
from panoptic_deeplab.tiles import COARSEST_STRIDE, Tiling
from panoptic_deeplab.views import Augmentation, View

_log = logging.getLogger(__name__)

Outputs = Mapping[str, paddle.Tensor]


class Predictor:
    """Runs a model on images.

    Args:
        model: the network, with its weights.
        preprocess: its normalization.
        transforms: the validation transforms (padding or resizing).
        postprocessor: outputs and frames -> predictions.
        info: the classes it predicts.
        augmentation: the views of each image that are merged; None shows it once as it is.
        precision: what the network computes with, as its weights need it; None for fp32.
        tiling: how inputs are cut into tiles, which the network sees one by one; None for whole
            inputs. Outputs are stitched where the postprocessor says that they are maps
            (`outputs_are_maps`); else the predictions of the tiles are joined.
        refuses_not_finite: whether outputs that are NaN or infinite are an error, as everywhere but
            within a training, which goes on.

    Attributes:
        watch: has the seconds of `network` and `grouping`.

    Raises:
        UsageError: views are to be merged and the postprocessor cannot.
    """

    def __init__(
        self,
        model: nn.Layer,
        preprocess: Preprocess,
        transforms: Sequence[Callable[..., Any]],
        postprocessor: Any,
        info: DatasetInfo,
        augmentation: Augmentation | None = None,
        precision: Precision | None = None,
        tiling: Tiling | None = None,
        refuses_not_finite: bool = True,
    ) -> None:
        if augmentation is not None:
            if not hasattr(postprocessor, "merge_views"):
                method = type(postprocessor).__name__
                raise UsageError(f"{method} cannot merge views; leave out --aug_eval")
            _log.info("Test-time augmentation: %s", augmentation)
        self.model = model
        self.preprocess = preprocess
        self.transforms = list(transforms)
        self.postprocessor = postprocessor
        self.info = info
        self.augmentation = augmentation
        self.precision = precision or Precision()
        self.tiling = tiling
        self.stitches = getattr(postprocessor, "outputs_are_maps", False)
        self.refuses_not_finite = refuses_not_finite
        self.watch = Stopwatch(paddle.device.synchronize) if on_gpu() else Stopwatch()
        model.eval()

    @property
    def settings(self) -> Mapping[str, float]:
        """Settings of the postprocessor that `with_settings` can change, by name."""
        names = getattr(self.postprocessor, "changeable_settings", ())
        return {name: getattr(self.postprocessor.settings, name) for name in names}

    def with_settings(self, settings: Mapping[str, float]) -> Predictor:
        """A predictor by the same network that groups by other settings."""
        changed = copy(self)
        changed.postprocessor = self.postprocessor.with_settings(settings)
        return changed

    def with_network(self, network: nn.Layer) -> Predictor:
        """A predictor whose outputs come from another network; all else is the same."""
        changed = copy(self)
        changed.model = network
        network.eval()
        return changed

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Predict images in their own pixels; those of equal transformed size go together.

        Args:
            images: each [H, W, 3] uint8 RGB.
        """
        samples = [self._transformed(image) for image in images]

        def predict_some(batch: np.ndarray, places: list[int]) -> list[Prediction]:
            return self.predict_batch(batch, [samples[i]["frame"] for i in places])

        return map_by_shape(predict_some, [sample["image"] for sample in samples])

    def _transformed(self, image: np.ndarray) -> dict[str, Any]:
        sample = {"image": image, "frame": Frame.whole(*image.shape[:2])}
        for transform in self.transforms:
            sample = transform(sample, np.random.default_rng(0))
        return sample

    def network_input(self, image: np.ndarray) -> paddle.Tensor:
        """What the network is given of one image [H, W, 3] uint8 RGB: [1, 3, P, Q] float32."""
        sample = self._transformed(image)
        return self.preprocess(
            paddle.to_tensor(sample["image"][None]), valid_boxes([sample["frame"]])
        )

    def predict_batch(self, images: np.ndarray, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict transformed images [N, H, W, 3]; the predictions are in original pixels.

        Args:
            images: uint8 RGB.
            frames: where each original lies in its image.
        """
        return self.begin_batch(images, frames)()

    def begin_batch(
        self, images: np.ndarray, frames: Sequence[Frame]
    ) -> Callable[[], list[Prediction]]:
        """As `predict_batch`, in two steps: the network runs now, the grouping when it is called.

        The second step may be called in another thread, while the network sees the next batch.
        """
        if self.tiling is not None and not self.stitches:
            joined = [self._joined(*pair) for pair in zip(images, frames, strict=True)]
            return lambda: joined
        return partial(self.group, self.outputs(images, frames), frames)

    def _joined(self, image: np.ndarray, frame: Frame) -> Prediction:
        """Predict a transformed image [H, W, 3] by the predictions of its tiles."""
        top, left, bottom, right = frame.valid_box
        content = image[top:bottom, left:right]
        if content.shape[:2] != frame.original_size:
            raise UsageError(
                f"--tile: {type(self.postprocessor).__name__} joins tiles of images as they are; "
                "take Resize out with --opts 'val_dataset.transforms=[]'"
            )
        tiles = self.tiling.tiles(content.shape[:2])
        if len(tiles) == 1:
            return self.group(self._seen(image[None], [frame]), [frame])[0]

        def predict(tile: np.ndarray) -> Prediction:
            frames = [Frame.whole(*tile.shape[:2])]
            return self.group(self._seen(tile[None], frames), frames)[0]

        return join_tiles(content, tiles, predict)

    @paddle.no_grad()
    def outputs(self, images: np.ndarray, frames: Sequence[Frame]) -> Outputs:
        """Run the network on transformed images [N, H, W, 3], or on their tiles, and stitch these.

        Views, if there are any, are merged.
        """
        tiles = [] if self.tiling is None else self.tiling.tiles(images.shape[1:3], COARSEST_STRIDE)
        if len(tiles) < 2:
            return self._seen(images, frames)
        stitched = [
            stitched_outputs(image, frame, tiles, self._seen)
            for image, frame in zip(images, frames, strict=True)
        ]
        if len(stitched) == 1:  # the outputs of a large image are not held twice
            return stitched[0]
        return {name: paddle.concat([one[name] for one in stitched]) for name in stitched[0]}

    @paddle.no_grad()
    def _seen(self, images: np.ndarray, frames: Sequence[Frame]) -> Outputs:
        """Run the network on transformed images [N, H, W, 3] as they are.

        Raises:
            DataError: an output is not finite.
        """
        with self.watch.timing("network"):
            batch = self.preprocess(paddle.to_tensor(images), valid_boxes(frames))
            outputs = self._outputs(batch, frames)
            if self.refuses_not_finite:
                refuse_not_finite(outputs)
            return outputs

    @paddle.no_grad()
    def group(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Prediction]:
        """Turn outputs into predictions in original pixels."""
        with self.watch.timing("grouping"):
            return self.postprocessor(outputs, frames)

    def _outputs(self, batch: paddle.Tensor, frames: Sequence[Frame]) -> Outputs:
        """Run the network on [N, 3, H, W]; merged outputs have the size of the input."""
        if self.augmentation is None:
            return self._run(batch)
        merged = [
            self._merged(batch[i : i + 1], self.augmentation.views(frame))
            for i, frame in enumerate(frames)
        ]
        return {name: paddle.concat([one[name] for one in merged]) for name in merged[0]}

    def _merged(self, image: paddle.Tensor, views: Sequence[View]) -> Outputs:
        """Merge the outputs for one image [1, 3, H, W] over all its views."""
        outputs = [self._run(view.show(image)) for view in views]
        return self.postprocessor.merge_views(outputs, views)

    def _run(self, batch: paddle.Tensor) -> Outputs:
        with nullcontext() if on_gpu() else sparing_memory(self.model):
            return self.precision.run(self.model, batch)
