"""Making the panoptic annotations of Cityscapes for training, as cityscapesscripts does."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cityscapesscripts.helpers.labels import labels
from cityscapesscripts.preparation.json2labelImg import json2labelImg

from panoptic_deeplab.convert.manifest import files_of, replacing_conversion
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import replacing, usable_folder
from panoptic_deeplab.folder_lock import sole_writer
from panoptic_deeplab.formats.cityscapes import (
    CITYSCAPES,
    panoptic_of_instance_ids,
    read_instance_ids,
)
from panoptic_deeplab.formats.coco import segments_info
from panoptic_deeplab.formats.images import write_ids
from panoptic_deeplab.formats.label_colors import FILE_NAME, are_cityscapes, read_label_colors
from panoptic_deeplab.parallel import ending_on_sigterm, in_parallel

_INSTANCES = "_gtFine_instanceIds.png"
_POLYGONS = "_gtFine_polygons.json"
_OFFICIAL_KEYS = ("id", "category_id", "area", "bbox", "iscrowd")


def prepare_cityscapes(
    root: Path,
    splits: Sequence[str],
    num_workers: int = 0,
    overwrite: bool = False,
    output: Path | None = None,
) -> dict[Path, bool]:
    """Write the panoptic files and the missing train ids of the splits.

    Each file appears whole or not at all, a split's JSON last.

    Args:
        root: the folder that holds leftImg8bit and gtFine.
        splits: folders below gtFine.
        num_workers: processes; 0 and 1 mean none beside this one.
        overwrite: make splits again that are done.
        output: the folder to write to instead of `root`; it gets a link to leftImg8bit, so that
            it can take the place of `root` in a training.

    Returns:
        The JSON of each split, and whether it was written: False for one that was already done.

    Raises:
        DataError: annotations are missing or broken.
        UsageError: a folder to be replaced holds something else, or another process writes it.
    """
    source = find_gt_fine(root, splits)
    if output is None and not os.access(source, os.W_OK):
        raise DataError(
            f"{source}: cannot be written to; --save_dir DIR makes in DIR what a training needs, "
            "with a link to leftImg8bit: DIR is then the dataset_root"
        )
    target = source if output is None else _linked_root(root, output) / "gtFine"
    written = {}
    for split in splits:
        path = panoptic_json(target, split)
        with ending_on_sigterm(), sole_writer(path.with_suffix(""), "preparation"):
            make_train_ids(source, split, num_workers, target)
            written[path] = overwrite or not is_done(source, split, target)
            if written[path]:
                _refuse_foreign(path, instance_files(source, split))
                make_panoptic(source, split, num_workers, target)
    return written


def _refuse_foreign(target: Path, sources: Sequence[Path]) -> None:
    """Refuse to replace a folder that holds something else than the panoptic PNGs of the split.

    Raises:
        UsageError: it does.
    """
    folder = target.with_suffix("")
    foreign = sorted(files_of(folder) - {_panoptic_name(source) for source in sources})
    if foreign:
        raise UsageError(
            f"{folder}: is to be replaced, but holds {foreign[0]}, which is no panoptic PNG of "
            "this split; move it away, or write elsewhere (--save_dir)"
        )


def _panoptic_name(instances: Path) -> str:
    return instances.name.replace("_instanceIds", "_panoptic")


def _linked_root(root: Path, output: Path) -> Path:
    """Make the folder `output` with a link to the images of `root`."""
    usable_folder(output)
    images, link = (root / "leftImg8bit").resolve(), output / "leftImg8bit"
    if images.exists() and not link.exists():
        link.symlink_to(images)
    return output


def find_gt_fine(root: Path, splits: Iterable[str]) -> Path:
    """Find `root`/gtFine and check that it holds annotations of all the splits.

    Raises:
        DataError: a folder or all of its annotations are missing.
    """
    gt_fine = root / "gtFine"
    labels = root / FILE_NAME
    if labels.exists() and not are_cityscapes(read_label_colors(labels)):
        raise DataError(
            f"{labels}: the labels are not Cityscapes' but one's own, as CVAT exports them; use "
            f"panoptic-deeplab convert from-cityscapes --dataset_root {root} --split NAME"
        )
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
    """List the split's `*_instanceIds.png`, in the converter's order."""
    return sorted((gt_fine / split).glob(f"*/*{_INSTANCES}"), key=str)


def panoptic_json(gt_fine: Path, split: str) -> Path:
    """The path that `csCreatePanopticImgs --use-train-id` writes to; the folder has its stem."""
    return gt_fine / f"cityscapes_panoptic_{split}_trainId.json"


def is_done(gt_fine: Path, split: str, output: Path) -> bool:
    """Whether a split's panoptic files in `output` are complete and newer than their sources."""
    target, sources = panoptic_json(output, split), instance_files(gt_fine, split)
    try:
        annotations = json.loads(target.read_text("utf-8"))["annotations"]
        written = target.stat().st_mtime_ns
        names = [annotation["file_name"] for annotation in annotations]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return (
        names == [_panoptic_name(source) for source in sources]
        and all((target.with_suffix("") / name).is_file() for name in names)
        and all(source.stat().st_mtime_ns <= written for source in sources)
    )


def make_train_ids(gt_fine: Path, split: str, num_workers: int, output: Path) -> None:
    """Write below `output` the `*_labelTrainIds.png` that `gt_fine` and it lack.

    Raises:
        DataError: a polygons file cannot be converted.
    """
    polygons = sorted((gt_fine / split).glob(f"*/*{_POLYGONS}"))
    jobs = []
    for path in polygons:
        train_ids = path.with_name(path.name.replace("_polygons.json", "_labelTrainIds.png"))
        target = output / train_ids.relative_to(gt_fine)
        if not train_ids.is_file() and not target.is_file():
            jobs.append((path, target))
    for _ in in_parallel(_make_train_ids_of, jobs, num_workers, f"{split}: train ids"):
        pass


def _make_train_ids_of(job: tuple[Path, Path]) -> None:
    polygons, target = job
    target.parent.mkdir(parents=True, exist_ok=True)
    with converter_errors(polygons), replacing(target) as temporary:
        json2labelImg(str(polygons), str(temporary), "trainIds")


def make_panoptic(gt_fine: Path, split: str, num_workers: int, output: Path | None = None) -> None:
    """Write a split's panoptic PNGs and JSON, exactly as cityscapesscripts would.

    Args:
        gt_fine: where the split's annotations lie.
        split: the folder below it.
        num_workers: processes.
        output: where to write, if not to `gt_fine`.

    Raises:
        DataError: an annotation cannot be converted.
    """
    target = panoptic_json(output or gt_fine, split)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_conversion(target.with_suffix(""), target) as draft:
        convert = partial(convert_one, folder=draft.folder)
        sources = instance_files(gt_fine, split)
        parts = list(in_parallel(convert, sources, num_workers, f"{split}: panoptic"))
        content = {
            "images": [image for image, _ in parts],
            "annotations": [annotation for _, annotation in parts],
            "categories": _official_categories(),
        }
        with open(draft.summary, "w", encoding="utf-8") as file:
            json.dump(content, file, sort_keys=True, indent=4)


def convert_one(instances: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Convert one `*_instanceIds.png` to a PNG in `folder`.

    Returns:
        The image's entries of `images` and `annotations`, as cityscapesscripts writes them; there
        too the `file_name` of an image is not the name of a file.

    Raises:
        DataError: the file cannot be read, or holds no instance ids.
    """
    panoptic = panoptic_of_instance_ids(read_instance_ids(instances), instances)
    name = _panoptic_name(instances)
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
def converter_errors(path: Path) -> Iterator[None]:
    """Silence a converter and raise its failures as a DataError that names the file."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}"
        if isinstance(error, SystemExit):
            cause = next((line for line in said.getvalue().splitlines() if "ERROR" in line), cause)
        raise DataError(f"{path}: cityscapesscripts cannot convert it ({cause})") from error
