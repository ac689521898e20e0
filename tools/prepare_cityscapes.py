"""Makes the panoptic annotations of Cityscapes ready for training.

    python tools/prepare_cityscapes.py --dataset_root data/cityscapes

For each split, cityscapesscripts' own converters write, beside what the download holds,

    gtFine/{split}/{city}/*_gtFine_labelTrainIds.png        where polygons lie and they are missing
    gtFine/cityscapes_panoptic_{split}_trainId.json         as csCreatePanopticImgs --use-train-id
    gtFine/cityscapes_panoptic_{split}_trainId/*.png

Each file appears whole or not at all, the JSON last; a split that is already done is left alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from panoptic_deeplab.command_line import run
from panoptic_deeplab.errors import DataError, UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 256

_INSTANCES = "_gtFine_instanceIds.png"
_POLYGONS = "_gtFine_polygons.json"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset_root", required=True, help="the folder that holds leftImg8bit and gtFine"
    )
    parser.add_argument("--splits", nargs="+", default=["train", "val"], help="default: train val")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes; default: all cores"
    )
    parser.add_argument("--overwrite", action="store_true", help="also redo splits that are done")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Prepares the splits and returns the exit code."""
    return run(_prepare, parse_args(argv))


def _prepare(args: argparse.Namespace) -> None:
    if not 1 <= args.workers <= MOST_WORKERS:
        raise UsageError(f"--workers: expected 1..{MOST_WORKERS}, got {args.workers}")
    gt_fine = find_gt_fine(Path(args.dataset_root), args.splits)
    for split in args.splits:
        make_train_ids(gt_fine, split, args.workers)
        if is_done(gt_fine, split) and not args.overwrite:
            print(f"{panoptic_json(gt_fine, split)}: already there (--overwrite makes it again)")
        else:
            make_panoptic(gt_fine, split, args.workers)
            print(f"{panoptic_json(gt_fine, split)}: written")


def find_gt_fine(root: Path, splits: Iterable[str]) -> Path:
    """`root`/gtFine, once it is known to hold annotations of all the splits.

    Raises:
        DataError: a folder or all of its annotations are missing.
    """
    gt_fine = root / "gtFine"
    if not gt_fine.is_dir():
        raise DataError(
            f"{gt_fine}: no such folder; --dataset_root must hold Cityscapes' gtFine, as "
            "gtFine_trainvaltest.zip unpacks it"
        )
    for split in splits:
        if not instance_files(gt_fine, split):
            known = sorted(p.name for p in gt_fine.iterdir() if any(p.glob(f"*/*{_INSTANCES}")))
            raise DataError(
                f"{gt_fine / split}: holds no {{city}}/*{_INSTANCES}; "
                f"splits that do: {', '.join(known) or 'none'}"
            )
    return gt_fine


def instance_files(gt_fine: Path, split: str) -> list[Path]:
    """The split's `*_instanceIds.png`, in the converter's order."""
    return sorted((gt_fine / split).glob(f"*/*{_INSTANCES}"), key=str)


def panoptic_json(gt_fine: Path, split: str) -> Path:
    """Where `csCreatePanopticImgs --use-train-id` writes; the folder has the same stem."""
    return gt_fine / f"cityscapes_panoptic_{split}_trainId.json"


def is_done(gt_fine: Path, split: str) -> bool:
    """Whether the split's panoptic files are complete and newer than what they are made from."""
    target, sources = panoptic_json(gt_fine, split), instance_files(gt_fine, split)
    try:
        annotations = json.loads(target.read_text("utf-8"))["annotations"]
        written = target.stat().st_mtime_ns
        names = [annotation["file_name"] for annotation in annotations]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return (
        names == [source.name.replace("_instanceIds", "_panoptic") for source in sources]
        and all((target.with_suffix("") / name).is_file() for name in names)
        and all(source.stat().st_mtime_ns <= written for source in sources)
    )


def make_train_ids(gt_fine: Path, split: str, workers: int) -> None:
    """Writes the `*_labelTrainIds.png` that are missing.

    Raises:
        DataError: a polygons file cannot be converted.
    """
    polygons = sorted((gt_fine / split).glob(f"*/*{_POLYGONS}"))
    missing = [path for path in polygons if not _train_ids_of(path).is_file()]
    for _ in in_parallel(_make_train_ids_of, missing, workers, f"{split}: train ids"):
        pass


def _train_ids_of(polygons: Path) -> Path:
    return polygons.with_name(polygons.name.replace("_polygons.json", "_labelTrainIds.png"))


def _make_train_ids_of(polygons: Path) -> None:
    from cityscapesscripts.preparation.json2labelImg import json2labelImg

    from panoptic_deeplab.files import replacing

    with _told_as_data_error(polygons), replacing(_train_ids_of(polygons)) as temporary:
        json2labelImg(str(polygons), str(temporary), "trainIds")


def make_panoptic(gt_fine: Path, split: str, workers: int) -> None:
    """Writes the split's panoptic PNGs and JSON, exactly as cityscapesscripts would.

    The converter takes whole folders; it is given one file at a time, which makes the progress
    real and the work parallel, and its answers are put together in its own order.

    Raises:
        DataError: an annotation cannot be converted.
    """
    from panoptic_deeplab.files import replacing, replacing_folder

    target = panoptic_json(gt_fine, split)
    parts: list[dict[str, Any]] = []
    with replacing_folder(target.with_suffix("")) as folder:
        convert = partial(convert_one, folder=folder)
        sources = instance_files(gt_fine, split)
        parts.extend(in_parallel(convert, sources, workers, f"{split}: panoptic"))
    content = {
        "images": [image for part in parts for image in part["images"]],
        "annotations": [annotation for part in parts for annotation in part["annotations"]],
        "categories": parts[0]["categories"],
    }
    with replacing(target) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(content, file, sort_keys=True, indent=4)


def convert_one(instances: Path, folder: Path) -> dict[str, Any]:
    """Converts one `*_instanceIds.png`: the PNG goes to `folder`, the JSON's content comes back.

    Raises:
        DataError: the library cannot convert it.
    """
    from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "one" / "city").mkdir(parents=True)
        (work / "one" / "city" / instances.name).symlink_to(instances.resolve())
        with _told_as_data_error(instances):
            convert2panoptic(str(work), str(work), useTrainId=True, setNames=["one"])
        result = panoptic_json(work, "one")
        for picture in result.with_suffix("").iterdir():
            shutil.move(picture, folder / picture.name)
        return json.loads(result.read_text("utf-8"))


@contextlib.contextmanager
def _told_as_data_error(path: Path) -> Iterator[None]:
    """Silences a converter and says of its failures which file was at fault."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}"
        if isinstance(error, SystemExit):
            cause = next((line for line in said.getvalue().splitlines() if "ERROR" in line), cause)
        raise DataError(f"{path}: cityscapesscripts cannot convert it ({cause})") from error


def in_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, title: str
) -> Iterator[Result]:
    """`function` of each item, in order, with a progress bar.

    The processes are spawned, not forked: they share no state, so their number changes nothing.
    """
    from tqdm import tqdm

    progress = partial(tqdm, total=len(items), desc=title, disable=not items)
    if min(workers, len(items)) <= 1:
        yield from progress(map(function, items))
        return
    context = multiprocessing.get_context("spawn")
    chunk = max(1, min(4, len(items) // (8 * workers)))
    with context.Pool(min(workers, len(items)), _start_worker) as pool:
        yield from progress(pool.imap(function, items, chunk))


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle; a worker ends with its parent, even if that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
