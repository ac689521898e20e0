"""Makes the panoptic annotations of Cityscapes ready for training.

    panoptic-deeplab convert prepare-cityscapes --dataset_root data/cityscapes

For each split it writes, beside what the download holds,

    gtFine/cityscapes_panoptic_{split}_trainId.json
    gtFine/cityscapes_panoptic_{split}_trainId/*.png
        as csCreatePanopticImgs --use-train-id: the JSON byte for byte, the
        PNGs pixel for pixel;
    gtFine/{split}/{city}/*_gtFine_labelTrainIds.png
        where polygons lie and they are missing.

Each file appears whole or not at all, the JSON last; a split that is already
done is left alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from panoptic_deeplab.cli.command_line import run
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.parallel import MOST_WORKERS, ending_on_sigterm, in_parallel

_INSTANCES = "_gtFine_instanceIds.png"
_POLYGONS = "_gtFine_polygons.json"
_OFFICIAL_KEYS = ("id", "category_id", "area", "bbox", "iscrowd")


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
            with ending_on_sigterm():
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

    with told_as_data_error(polygons), replacing(_train_ids_of(polygons)) as temporary:
        json2labelImg(str(polygons), str(temporary), "trainIds")


def make_panoptic(gt_fine: Path, split: str, workers: int) -> None:
    """Writes the split's panoptic PNGs and JSON, exactly as cityscapesscripts would.

    Raises:
        DataError: an annotation cannot be converted.
    """
    from panoptic_deeplab.files import replacing, replacing_folder

    target = panoptic_json(gt_fine, split)
    with replacing_folder(target.with_suffix("")) as folder:
        convert = partial(convert_one, folder=folder)
        sources = instance_files(gt_fine, split)
        parts = list(in_parallel(convert, sources, workers, f"{split}: panoptic"))
    content = {
        "images": [image for image, _ in parts],
        "annotations": [annotation for _, annotation in parts],
        "categories": _official_categories(),
    }
    with replacing(target) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(content, file, sort_keys=True, indent=4)


def convert_one(instances: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Converts one `*_instanceIds.png`: the PNG goes to `folder`.

    Returns:
        The image's entries of `images` and `annotations`, as cityscapesscripts has them; the
        `file_name` of a picture is that of no file there either.

    Raises:
        DataError: the file cannot be read, or holds no instance ids.
    """
    from panoptic_deeplab.formats.cityscapes import (
        CITYSCAPES,
        panoptic_of_instance_ids,
        read_instance_ids,
    )
    from panoptic_deeplab.formats.coco import segments_info
    from panoptic_deeplab.formats.images import write_ids

    panoptic = panoptic_of_instance_ids(read_instance_ids(instances), instances)
    name = instances.name.replace("_instanceIds.png", "_panoptic.png")
    write_ids(folder / name, panoptic.ids)
    image_id = instances.name.removesuffix(_INSTANCES)
    height, width = panoptic.ids.shape
    image = {
        "id": image_id,
        "file_name": instances.name.replace("_instanceIds.png", "_leftImg8bit.png"),
        "height": height,
        "width": width,
    }
    entries = segments_info(panoptic.ids, panoptic.segments, CITYSCAPES)
    segments = [{key: entry[key] for key in _OFFICIAL_KEYS} for entry in entries]
    return image, {"image_id": image_id, "file_name": name, "segments_info": segments}


def _official_categories() -> list[dict[str, Any]]:
    from cityscapesscripts.helpers.labels import labels

    return [
        {
            "id": label.trainId,
            "name": label.name,
            "color": label.color,
            "supercategory": label.category,
            "isthing": int(label.hasInstances),
        }
        for label in labels
        if not label.ignoreInEval
    ]


@contextlib.contextmanager
def told_as_data_error(path: Path) -> Iterator[None]:
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


if __name__ == "__main__":
    sys.exit(main())
