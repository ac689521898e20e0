"""What scoring files asks for, whatever the form of the files.

Images are counted in chunks, each by an evaluator of its own, and the chunks are added up in their
order: the number of workers changes nothing in the result, not even its last digit.
"""

from __future__ import annotations

import json
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.images import decoded

IMAGES_PER_CHUNK = 8

Item = TypeVar("Item")


class Evaluator(Protocol):
    """The part of an evaluator's face that adding up needs."""

    def state(self) -> dict[str, np.ndarray]: ...

    def merge(self, state: Mapping[str, np.ndarray]) -> None: ...


AnyEvaluator = TypeVar("AnyEvaluator", bound=Evaluator)


def count_all(
    make: Callable[[], AnyEvaluator],
    count: Callable[[AnyEvaluator, Item], None],
    items: Sequence[Item],
    num_workers: int,
) -> AnyEvaluator:
    """An evaluator that has counted all items.

    Args:
        make: an evaluator that has counted nothing.
        count: reads the files of one item and updates an evaluator with them.
        items: one for each image.
        num_workers: threads; decoding and counting release Python's lock. 0 and 1 mean none.

    Raises:
        DataError: what `count` raises, of the first item that it raises for.
    """

    def count_chunk(first: int) -> AnyEvaluator:
        evaluator = make()
        for item in items[first : first + IMAGES_PER_CHUNK]:
            count(evaluator, item)
        return evaluator

    whole = make()
    starts = range(0, len(items), IMAGES_PER_CHUNK)
    # Threads that silence warnings one by one would leave them silenced when they cross.
    with warnings.catch_warnings(), ThreadPoolExecutor(max(1, num_workers)) as pool:
        chunks = pool.map(count_chunk, starts) if num_workers > 1 else map(count_chunk, starts)
        for chunk in chunks:
            whole.merge(chunk.state())
    return whole


@contextmanager
def told_with(where: str | Path) -> Iterator[None]:
    """Puts the file, and the image, before what is wrong with it."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def read_values(path: str | Path) -> np.ndarray:
    """The values of a picture as they are stored: [H, W], or [H, W, channels].

    A palette picture gives its indices, which is what label files mean by one.

    Raises:
        DataError: the file is missing or not a readable picture.
    """
    with decoded(path) as image:
        return np.asarray(image)


def read_label_map(path: str | Path) -> np.ndarray:
    """[H, W] int32 values of a picture with one channel.

    Raises:
        DataError: the file is missing, not a readable picture, or has several channels.
    """
    values = read_values(path)
    if values.ndim != 2:
        raise DataError(
            f"{path}: expected a picture with one channel of labels, got {values.shape[2]} channels"
        )
    return values.astype(np.int32)


def read_json_object(path: str | Path) -> dict[str, Any]:
    """A JSON file that holds an object. It is parsed as a whole: ten times its size in memory.

    Raises:
        DataError: it is missing, unreadable, not JSON, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object, got {content!r:.80}")
    return content


def read_mask(path: str | Path) -> np.ndarray:
    """[H, W] bool: where a picture, made grey, is not black.

    Raises:
        DataError: the file is missing or not a readable picture.
    """
    with decoded(path) as image:
        return np.asarray(image.convert("L")) != 0


def inside(folder: str | Path, name: str, root: str | Path, source: str | Path) -> Path:
    """`folder` / `name`, for which `source` asks, if it lies below `root`.

    Raises:
        DataError: that file lies elsewhere, whether by an absolute name, `..` or a link.
    """
    path = Path(folder) / name
    try:
        lies_inside = path.resolve().is_relative_to(Path(root).resolve())
    except (OSError, ValueError, RuntimeError):  # a zero byte, a name too long, a ring of links
        lies_inside = False
    if not lies_inside or Path(name).is_absolute():
        raise DataError(f"{source}: file name {name!r:.200} points outside {root}")
    return path


def find_files(folder: str | Path, suffix: str) -> list[Path]:
    """The files below a folder whose names end with `suffix`, sorted.

    Raises:
        DataError: there is no such folder, or no such file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found = sorted(path for path in folder.rglob(f"*{suffix}") if path.is_file())
    if not found:
        raise DataError(f"{folder}: no file *{suffix} lies below")
    return found


def pair_cityscapes(
    gt_folder: str | Path, gt_suffix: str, pred_folder: str | Path, pred_suffix: str
) -> list[tuple[Path, Path]]:
    """Each annotation with the one prediction whose name begins with its city, sequence and frame.

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
        image = path.name.removesuffix(gt_suffix)
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
