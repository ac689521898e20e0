"""What all scorers of files share: reading in threads, finding and pairing files.

Images are counted in chunks, each by an evaluator of its own, and the chunks are added up in their
order: the number of workers changes nothing in the result, not even its last digit.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import files_below
from panoptic_deeplab.progress import progress_bar

IMAGES_PER_CHUNK = 4

Item = TypeVar("Item")


class Evaluator(Protocol):
    """The part of an evaluator that adding up counts needs."""

    def state(self) -> dict[str, np.ndarray]: ...

    def merge(self, state: Mapping[str, np.ndarray]) -> None: ...


AnyEvaluator = TypeVar("AnyEvaluator", bound=Evaluator)


def count_all(
    make: Callable[[], AnyEvaluator],
    count: Callable[[AnyEvaluator, Item], None],
    items: Sequence[Item],
    num_workers: int,
    show_progress: bool,
) -> AnyEvaluator:
    """Count all items with evaluators of their own and add up the counts.

    Args:
        make: an evaluator that has counted nothing.
        count: reads the files of one item and updates an evaluator with them.
        items: one for each image.
        num_workers: threads; decoding and counting release Python's lock. 0 and 1 mean none.
        show_progress: whether a bar on standard error counts the images.

    Raises:
        DataError: what `count` raises, of the first item that it raises for.
    """

    def count_chunk(first: int) -> AnyEvaluator:
        evaluator = make()
        for item in items[first : first + IMAGES_PER_CHUNK]:
            count(evaluator, item)
            bar.update()
        return evaluator

    whole = make()
    starts = range(0, len(items), IMAGES_PER_CHUNK)
    pool = ThreadPoolExecutor(max(1, num_workers))
    bar = progress_bar(title="scoring", total=len(items), unit="images", hidden=not show_progress)
    try:
        # Threads that each silence warnings would, interleaved, leave them silenced.
        with warnings.catch_warnings(), bar:
            chunks = pool.map(count_chunk, starts) if num_workers > 1 else map(count_chunk, starts)
            for chunk in chunks:
                whole.merge(chunk.state())
    finally:
        pool.shutdown(cancel_futures=True)  # after an error nobody waits for the rest
    return whole


def find_files(folder: str | Path, suffix: str) -> list[Path]:
    """Find the files below a folder whose names end with `suffix`, sorted.

    Raises:
        DataError: there is no such folder, or no such file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found = files_below(folder, suffix)
    if not found:
        raise DataError(f"{folder}: no file *{suffix} lies below")
    return found


def pair_cityscapes(
    gt_folder: str | Path, gt_suffix: str, pred_folder: str | Path, pred_suffix: str
) -> list[tuple[Path, Path]]:
    """Pair each annotation with the prediction named like its city, sequence and frame.

    Args:
        gt_folder, pred_folder: searched with all folders below.
        gt_suffix: `_gtFine_labelIds.png` or the like; what stands before it names the image.
        pred_suffix: of the predictions, `.png` or `.txt`.

    Raises:
        DataError: a folder is missing or empty, or an annotation has no or several predictions.
    """
    annotated = find_files(gt_folder, gt_suffix)
    predicted = sorted(find_files(pred_folder, pred_suffix), key=lambda path: path.name)
    names = [path.name for path in predicted]
    pairs = []
    for path in annotated:
        image = path.name[: -len(gt_suffix)]
        first = bisect_left(names, image)
        found = [p for p in predicted[first : first + 2] if p.name.startswith(image)]
        if len(found) != 1:
            several = f"several ({', '.join(map(str, found))})" if found else "none"
            raise DataError(
                f"{path}: expected one prediction {image}*{pred_suffix} below {pred_folder}, "
                f"got {several}"
            )
        pairs.append((path, found[0]))
    return pairs
