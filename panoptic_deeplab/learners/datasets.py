"""The data sets that OpenDR's learner takes, in the folders that `prepare_data` writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.learners.images import Image

if TYPE_CHECKING:
    from panoptic_deeplab.convert.prepare_opendr import Split
    from panoptic_deeplab.datasets import OpenDrPanoptic

_OTHER_NAMES = {"training": "train", "validation": "val"}
"""Names of splits in OpenDR's documentation -> those of the folders."""


class PreparedDataset:
    """One split that `prepare_data` has written; see `CityscapesDataset` and `KittiDataset`.

    Args:
        path: the folder of the split; `training` and `validation` mean `train` and `val` where
            those exist and they do not.

    Attributes:
        path: of the folder.
        pipeline: the transforms, as a configuration describes them, that `fit` trained with; None
            before.

    Raises:
        DataError: there is no such folder, or it holds no `images`.
    """

    dataset_type: str
    size: tuple[int, int] | None = None
    """(width, height) of the annotations, where images are of another size."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        folder = _split_folder(path)
        if not (folder / "images").is_dir():
            raise DataError(f"{folder}: expected a split with a folder images; see prepare_data")
        self.path = str(folder)
        self.pipeline: list[dict[str, Any]] | None = None
        self._images = sorted(file for file in (folder / "images").glob("*") if file.is_file())

    @property
    def has_panoptic_gt(self) -> bool:
        """Whether there is the ground truth that an evaluation needs."""
        return (Path(self.path) / "panoptic_gt").is_dir()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, idx: int) -> tuple[Image, None]:
        """Read an image; annotations have no object here, hence None."""
        return Image.open(self._images[idx]), None

    def __iter__(self) -> Iterator[tuple[Image, None]]:
        return (self[idx] for idx in range(len(self)))

    def section(self, transforms: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Describe the split for a configuration.

        Args:
            transforms: descriptions of the transforms.
        """
        size = {} if self.size is None else {"size": list(self.size)}
        root = {"type": "OpenDrPanoptic", "dataset_root": self.path}
        return root | size | {"transforms": list(transforms)}

    def samples(self, transforms: Sequence[Callable[..., Any]] = ()) -> OpenDrPanoptic:
        """Return the split as the engine takes it.

        Args:
            transforms: applied to each sample.

        Raises:
            RuntimeError: it has no panoptic ground truth.
        """
        if not self.has_panoptic_gt:
            raise RuntimeError("Dataset does not contain panoptic ground truth values.")
        from panoptic_deeplab.datasets import OpenDrPanoptic

        return OpenDrPanoptic(self.path, self.size, transforms)

    def evaluate(
        self,
        prediction_path: str | os.PathLike[str],
        prediction_json_folder: str | os.PathLike[str],
    ) -> dict[str, Any]:
        """Score predictions in files; images without one are skipped.

        Args:
            prediction_path: the folder of the PNGs of ids.
            prediction_json_folder: the folder of the JSONs, `annotations` of one image or more,
                whose category ids are label ids.

        Returns:
            As `PanopticLearner.eval`.

        Raises:
            ValueError: a folder does not exist.
            RuntimeError: there is no panoptic ground truth.
            DataError: a file cannot be used, or no image has a prediction.
        """
        pngs, jsons = (
            Path(path).expanduser() for path in (prediction_path, prediction_json_folder)
        )
        if not pngs.exists():
            raise ValueError("The provided prediction_path does not exist.")
        if not jsons.exists():
            raise ValueError("The provided prediction_json_folder does not exist.")
        samples = self.samples()

        from panoptic_deeplab.engine.evaluator import evaluate_predictions
        from panoptic_deeplab.evaluation import PanopticQuality
        from panoptic_deeplab.formats.prediction_files import SingleImagePredictions
        from panoptic_deeplab.learners.scores import opendr_scores

        predictions = SingleImagePredictions(jsons, pngs, samples.info)
        missing = set(predictions.missing((r.image_id, r.image_path) for r in samples.records))
        samples.records = [r for r in samples.records if r.image_id not in missing]
        if not samples.records:
            raise DataError(f"{jsons}: no JSON here predicts an image of {self.path}")
        evaluators = [PanopticQuality(samples.info)]
        return opendr_scores(evaluate_predictions(predictions, samples, evaluators))

    @classmethod
    def _prepare(
        cls,
        source: Path,
        output_path: str | os.PathLike[str],
        read_splits: Callable[[Path], list[Split]],
        generate_train_evaluation: bool,
        num_workers: int,
    ) -> None:
        from panoptic_deeplab.convert.prepare_opendr import prepare_opendr

        if not isinstance(num_workers, int) or num_workers < 0:
            raise UsageError(f"num_workers: expected 0 threads or more, got {num_workers!r:.50}")
        evaluated = ["val", *["train"] * generate_train_evaluation]
        prepare_opendr(read_splits(source), _local(output_path), evaluated, num_workers)


class CityscapesDataset(PreparedDataset):
    """Cityscapes: one split, as `prepare_data` writes it.

        path/images/{city}_{sequence}_{frame}.png
        path/stuffthingmaps/*.png, path/annotations.json
        path/panoptic_gt/*_gtFine_panoptic.png, path/panoptic_gt.json

    The last two are needed to evaluate alone.
    """

    dataset_type = "cityscapes"

    @staticmethod
    def prepare_data(
        input_path: str | os.PathLike[str],
        output_path: str | os.PathLike[str],
        generate_train_evaluation: bool = False,
        num_workers: int = os.cpu_count() or 1,
    ) -> None:
        """Convert Cityscapes as downloaded; `output_path` appears when all is done.

        Args:
            input_path: the folder with leftImg8bit and gtFine.
            output_path: the folder to make, with `train` and `val`.
            generate_train_evaluation: whether `train` gets panoptic_gt too.
            num_workers: threads.

        Raises:
            ValueError: the input lacks a part, or the output exists already.
            DataError: an annotation is broken or has no image.
        """
        from panoptic_deeplab.convert.prepare_opendr import cityscapes_splits

        source = _existing(input_path)
        _refuse_existing(output_path)
        if not (source / "leftImg8bit").exists():
            raise ValueError(
                "Please download and extract the image files first: leftImg8bit_trainvaltest.zip"
            )
        if not (source / "gtFine").exists():
            raise ValueError(
                "Please download and extract the ground truth fine annotations first: "
                "gtFine_trainvaltest.zip"
            )
        CityscapesDataset._prepare(
            source, output_path, cityscapes_splits, generate_train_evaluation, num_workers
        )


class KittiDataset(PreparedDataset):
    """KITTI panoptic: one split, as `prepare_data` writes it, annotated at 1280 x 384.

    The files are those of `CityscapesDataset`, but for panoptic_gt/{id}.png. Images keep their
    own size on the disk and are resized to that of the annotations when they are read.
    """

    dataset_type = "kitti"
    size = (1280, 384)

    @staticmethod
    def prepare_data(
        input_path: str | os.PathLike[str],
        output_path: str | os.PathLike[str],
        generate_train_evaluation: bool = False,
        num_workers: int = os.cpu_count() or 1,
    ) -> None:
        """Convert KITTI panoptic as downloaded; `output_path` appears when all is done.

        Args:
            input_path: the folder with training and validation.
            output_path: the folder to make, with `train` and `val`.
            generate_train_evaluation: whether `train` gets panoptic_gt too.
            num_workers: threads.

        Raises:
            ValueError: the input lacks a part, or the output exists already.
            DataError: an annotation is broken or has no image.
        """
        from panoptic_deeplab.convert.prepare_opendr import kitti_splits

        source = _existing(input_path)
        _refuse_existing(output_path)
        if not ((source / "training").exists() and (source / "validation").exists()):
            raise ValueError(
                "Please download and extract the KITTI panoptic segmentation dataset first: "
                "http://panoptic.cs.uni-freiburg.de/"
            )
        KittiDataset._prepare(
            source, output_path, kitti_splits, generate_train_evaluation, num_workers
        )


def _local(path: str | os.PathLike[str]) -> Path:
    """Return a path whose `~` is the home of the user."""
    return Path(os.fsdecode(path)).expanduser()


def _existing(path: str | os.PathLike[str]) -> Path:
    source = _local(path)
    if not source.exists():
        raise ValueError(f"The specified input path does not exist. Got {source}")
    return source


def _refuse_existing(path: str | os.PathLike[str]) -> None:
    if _local(path).exists():
        raise ValueError(f"The specified output path already exists. Got {path!r}")


def _split_folder(path: str | os.PathLike[str]) -> Path:
    folder = _local(path)
    named = folder.with_name(_OTHER_NAMES.get(folder.name, folder.name))
    return named if named.is_dir() and not folder.is_dir() else folder
