"""Measure one method, in a process of its own, so that its memory is its own.

    python -m comparing.measure --config CONFIG --model_path WEIGHTS --save_dir FOLDER

writes FOLDER/measured.json, and the predictions in COCO panoptic form beside it.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.cli.command_line import load_config, run
from panoptic_deeplab.cli.flags import add_common_arguments
from panoptic_deeplab.cli.parser import not_negative
from panoptic_deeplab.files import replacing

if TYPE_CHECKING:
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.results.journal import Record
    from panoptic_deeplab.structures import PanopticMap, Prediction

COUNTED_IMAGES = 5
"""First images, on which multiply-adds and memory are measured; they also warm up the timing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_common_arguments(parser)
    parser.add_argument("--model_path", type=Path, required=True, help="weights of the method")
    parser.add_argument("--save_dir", type=Path, required=True, help="where the measurements go")
    parser.add_argument("--num_workers", type=not_negative, default=0, help="reading threads")
    return run(measure, parser.parse_args(argv))


def measure(arguments: argparse.Namespace) -> None:
    """Measure one method and write the results."""
    config = load_config(arguments)
    from panoptic_deeplab.engine.predictor import Predictor
    from panoptic_deeplab.files import write_json
    from panoptic_deeplab.weights import load_weights, refuse_other_classes

    config.info = config.classes_of("val_dataset")
    hint = "give each configuration its own weights, in the same order"
    refuse_other_classes(arguments.model_path, config.info, hint)
    load_weights(config.model, arguments.model_path, num_classes=config.info.num_classes, hint=hint)
    predictor = Predictor(config.model, config.preprocess, (), config.postprocessor, config.info)
    costs = count_costs(config, predictor)
    scores = score(config, predictor, arguments.save_dir, arguments.num_workers)
    write_json(arguments.save_dir / "measured.json", costs | scores, indent=2)


def count_costs(config: Config, predictor: Predictor) -> dict[str, Any]:
    """Count parameters, and multiply-adds and memory of the first images.

    Returns:
        `parameters` (trainable values); `multiply_adds` of an image, the mean; `input_size`
        (height, width) of the first image as the network sees it; `peak_mb`, the most memory
        (10^6 bytes) that network and fusion of one image needed beyond what was there before.
    """
    from analyze_model import count_weights, counting_layers, counting_products

    samples = [config.val_dataset[i] for i in range(min(COUNTED_IMAGES, len(config.val_dataset)))]
    counts: list[int] = []
    with counting_layers(config.model, counts.append), counting_products(counts.append):
        predict(predictor, samples)
    return {
        "parameters": count_weights("", config.model).parameters,
        "multiply_adds": sum(counts) / len(samples),
        "input_size": samples[0]["image"].shape[:2],
        "peak_mb": max(peak_of(predictor, sample) for sample in samples),
    }


def predict(predictor: Predictor, samples: Sequence[Mapping[str, Any]]) -> None:
    """Run network and fusion on one sample at a time."""
    for sample in samples:
        predictor.predict_batch(sample["image"][None], [sample["frame"]])


def peak_of(predictor: Predictor, sample: Mapping[str, Any]) -> float:
    """Peak memory of one sample in 10^6 bytes, on the device where there is one."""
    import paddle
    from benchmarking.processes import measure_call

    if paddle.device.get_device() == "cpu":
        return measure_call(lambda: predict(predictor, [sample])).peak_mb
    paddle.device.cuda.reset_max_memory_allocated()
    before = paddle.device.cuda.memory_allocated()
    predict(predictor, [sample])
    return (paddle.device.cuda.max_memory_allocated() - before) / 1e6


def score(
    config: Config, predictor: Predictor, folder: Path, num_workers: int = 0
) -> dict[str, Any]:
    """Score the whole validation split, with mistakes and times.

    Returns:
        `scores` as the evaluators compute them; and what `ImageNotes` computes.
    """
    from panoptic_deeplab.engine.evaluator import evaluate
    from panoptic_deeplab.evaluation import InstanceAP, PanopticQuality, SemanticIoU

    evaluators = [kind(config.info) for kind in (PanopticQuality, SemanticIoU, InstanceAP)]
    image_notes = ImageNotes(config, predictor, folder)
    results = evaluate(predictor, config.val_dataset, [*evaluators, image_notes], num_workers)
    notes = {key: results.pop(key) for key in ImageNotes.KEYS}
    return notes | {"scores": results}


class ImageNotes:
    """Records of each image; an evaluator, for one process.

    Args:
        config: of the method.
        predictor: its stopwatch is read.
        folder: where the predictions go.
    """

    KEYS = ("errors", "images", "seconds")

    def __init__(self, config: Config, predictor: Predictor, folder: Path) -> None:
        from panoptic_deeplab.results.panoptic_files import PanopticFiles

        self.records = config.val_dataset.records
        self.info = config.info
        self.predictor = predictor
        self.folder = folder
        self.files = PanopticFiles(folder, "panoptic", config.info)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        from comparing.errors import ErrorCounts

        self.counts = ErrorCounts(self.info)
        self.images: list[dict[str, Any]] = []
        self.written: dict[str, Record] = {}
        self.before = dict(self.predictor.watch.seconds)

    def update(self, prediction: Prediction, truth: PanopticMap) -> None:
        """Record the next image of the split."""
        from comparing.errors import find_mistakes
        from panoptic_deeplab.results.journal import Record

        now = dict(self.predictor.watch.seconds)
        record = self.records[len(self.images)]
        mistakes = find_mistakes(prediction, truth, self.info)
        self.counts.add(mistakes)
        self.images.append(
            {
                "image_id": record.image_id,
                "quality": mistakes.quality,
                "mistakes": mistakes.by_kind(),
                "network_seconds": now["network"] - self.before.get("network", 0.0),
                "fusion_seconds": now["grouping"] - self.before.get("grouping", 0.0),
            }
        )
        png, entry = self.files.render(record.image_id, record.image_path.name, prediction)
        with replacing(self.folder / self.files.png(record.image_id)) as draft:
            draft.write_bytes(png)
        self.written[record.image_id] = Record((self.files.png(record.image_id),), entry)
        self.before = now

    def state(self) -> dict[str, Any]:
        """Empty: there is one process."""
        return {}

    def compute(self) -> dict[str, Any]:
        """Write the list of predictions.

        Returns:
            `errors`, as `ErrorCounts.compute`; `images`, the records; `seconds`, the medians of
            `network` and `fusion` of an image.
        """
        self.files.write_list(self.written)
        return {
            "errors": self.counts.compute(),
            "images": self.images,
            "seconds": {
                part: statistics.median(image[f"{part}_seconds"] for image in self.images)
                if self.images
                else math.nan
                for part in ("network", "fusion")
            },
        }


if __name__ == "__main__":
    sys.exit(main())
