"""BDD100K: its panoptic classes and its RGBA bitmasks.

Following https://doc.bdd100k.com/format.html#bitmask: R is the category, G = truncated << 3 |
occluded << 2 | crowd << 1 | ignored, and the instance is (B << 8) + A, 0 for background.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from panoptic_deeplab.errors import DataError, collect, nearest
from panoptic_deeplab.formats.annotations import measured
from panoptic_deeplab.formats.decoding import array_of, decoded
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.formats.scalabel import Label, decode_mask
from panoptic_deeplab.id_maps import distinct_ids
from panoptic_deeplab.structures import VOID_ID, Category, DatasetInfo, PanopticMap, Segment

_STUFF = {
    "dynamic": (111, 74, 0),
    "ego vehicle": (0, 0, 0),
    "ground": (81, 0, 81),
    "static": (0, 0, 0),
    "parking": (250, 170, 160),
    "rail track": (230, 150, 140),
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "bridge": (150, 100, 100),
    "building": (70, 70, 70),
    "fence": (190, 153, 153),
    "garage": (180, 100, 180),
    "guard rail": (180, 165, 180),
    "tunnel": (150, 120, 90),
    "wall": (102, 102, 156),
    "banner": (250, 170, 100),
    "billboard": (220, 220, 250),
    "lane divider": (255, 165, 0),
    "parking sign": (220, 20, 60),
    "pole": (153, 153, 153),
    "polegroup": (153, 153, 153),
    "street light": (220, 220, 100),
    "traffic cone": (255, 70, 0),
    "traffic device": (220, 220, 220),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "traffic sign frame": (250, 170, 250),
    "terrain": (152, 251, 152),
    "vegetation": (107, 142, 35),
    "sky": (70, 130, 180),
}
_THINGS = {
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "bicycle": (119, 11, 32),
    "bus": (0, 60, 100),
    "car": (0, 0, 142),
    "caravan": (0, 0, 90),
    "motorcycle": (0, 0, 230),
    "trailer": (0, 0, 110),
    "train": (0, 80, 100),
    "truck": (0, 0, 70),
}

BDD100K = DatasetInfo(
    name="BDD100K",
    categories=tuple(
        Category(name, name in _THINGS, color, number)
        for number, (name, color) in enumerate((_STUFF | _THINGS).items(), 1)
    ),
)
"""The 40 panoptic classes, all of them evaluated; the official id is the R of a bitmask."""

IMAGE_SIZE = (720, 1280)
"""(height, width) of every image."""

NO_CATEGORY = -1
CROWD = 0b10
IGNORED_OR_CROWD = 0b11
FIRST_THING = 31
"""The lowest instance number that the official writer gives to a thing."""

UNLABELED = "unlabeled"
HIGHEST_INSTANCE = (1 << 16) - 1


def read_bitmask(path: str | Path) -> PanopticMap:
    """Read the instances of a bitmask.

    Returns:
        ids [H, W] int32, the instances as they are numbered there; segments by ascending id, a
        crowd being what is marked as crowd or as ignored, and the category -1 where R is none of
        1..40.

    Raises:
        DataError: the file is missing, not an RGBA image, or gives one instance several
            categories or attributes.
    """
    with decoded(path) as image:
        if image.mode != "RGBA":
            raise DataError(
                f"{path}: expected an RGBA bitmask of BDD100K, got an image of mode {image.mode}"
            )
        category, attributes, high, low = np.moveaxis(array_of(image), -1, 0)
    ids = high.astype(np.uint32) << 8 | low
    values = category.astype(np.uint32) << 8 | attributes
    values |= ids << 16
    segments = [_segment(value) for value in distinct_ids(values) if value >> 16]
    for one, other in itertools.pairwise(segments):
        if one.id == other.id:
            raise DataError(
                f"{path}: instance {one.id} has several categories or attributes",
                kind="duplicate segment",
                file=path,
                segment_id=one.id,
            )
    return PanopticMap(ids.astype(np.int32), segments)


def read_annotation(path: str | Path) -> PanopticMap:
    """Read the ground truth of a bitmask: its instances of the 40 classes with their areas.

    An instance of category 0 is void. Several instances of one stuff class stay several segments,
    crowds and what is ignored are crowds.

    Raises:
        DataError: as `read_bitmask`; or a category is above 40.
    """
    bitmask = read_bitmask(path)
    known = [segment for segment in bitmask.segments if segment.category != NO_CATEGORY]
    if len(known) < len(bitmask.segments):
        _refuse_high_categories(path)
    return measured(bitmask.ids, known)


def _refuse_high_categories(path: str | Path) -> None:
    with decoded(path) as image:
        category = np.asarray(image)[..., 0]
    highest = BDD100K.num_classes
    if category.max() > highest:
        y, x = np.argwhere(category > highest)[0].tolist()
        raise DataError(
            f"{path}: category {category[y, x]} at pixel (y {y}, x {x}) is none of BDD100K's "
            f"1..{highest} (R of a bitmask; 0 is void)",
            kind="unknown category",
            file=path,
            pixel=(y, x),
        )


def painted_annotation(labels: Iterable[Label], size: tuple[int, int]) -> PanopticMap:
    """Paint the ground truth that Scalabel labels describe, in their order, the later on top.

    Numbered as in official bitmasks: the pieces of a stuff class share its category as id, things
    and crowds have ids from 31 on. Labels without a mask and `unlabeled` ones are void.

    Args:
        labels: of one image.
        size: its (height, width).

    Raises:
        DataError: a category is unknown, or a mask is broken or of another size.
    """
    ids = np.zeros(size, np.int32)
    segments: dict[int, Segment] = {}
    for number, label in enumerate(labels, FIRST_THING):
        if not label.has_mask or label.category == UNLABELED:
            continue
        category = _category_named(label)
        is_own = label.iscrowd or BDD100K.categories[category].is_thing
        segment = Segment(number if is_own else category + 1, category, label.iscrowd)
        mask = decode_mask(label, size)
        if mask.shape != size:
            raise DataError(
                f"label {label.id}: its mask is {mask.shape[1]} x {mask.shape[0]} pixels, the "
                f"image {size[1]} x {size[0]}",
                kind="size mismatch",
            )
        _collect_oddities(label, mask, ids, segment.id)
        ids[mask] = segment.id
        segments[segment.id] = segment
    return measured(ids, segments.values())


def _collect_oddities(label: Label, mask: np.ndarray, ids: np.ndarray, own_id: int) -> None:
    """Collect a fault for a label without pixels, or one that covers pixels of other labels."""
    before = ids[mask]
    covered = np.flatnonzero((before != VOID_ID) & (before != own_id))
    if not before.size:
        message = f"label {label.id} ({label.category}) has no pixel"
        collect(DataError(message, kind="empty mask"))
    elif covered.size:
        y, x = np.argwhere(mask)[covered[0]].tolist()
        message = (
            f"label {label.id} ({label.category}) covers {covered.size} pixels of labels before "
            f"it, first at pixel (y {y}, x {x})"
        )
        collect(DataError(message, kind="overlap", pixel=(y, x)))


def _category_named(label: Label) -> int:
    index = BDD100K.index_of_name.get(label.category)
    if index is None:
        raise DataError(
            f"label {label.id}: {label.category!r:.80} is no class of BDD100K's panoptic "
            f"segmentation{nearest(label.category, BDD100K.index_of_name)}",
            kind="unknown category",
        )
    return index


def _segment(value: int) -> Segment:
    instance, official_id, attributes = value >> 16, value >> 8 & 0xFF, value & 0xFF
    category = BDD100K.index_of_official_id.get(official_id, NO_CATEGORY)
    return Segment(instance, category, iscrowd=bool(attributes & IGNORED_OR_CROWD))


def write_bitmask(path: str | Path, panoptic: PanopticMap) -> None:
    """Write the RGBA bitmask of an image, the inverse of `read_bitmask`; see `bitmask`."""
    write_image(path, bitmask(panoptic, path))


def bitmask(panoptic: PanopticMap, name: str | Path) -> np.ndarray:
    """Make the bitmask of an image, [H, W, 4] uint8 RGBA.

    Stuff takes its category as instance number, so that several segments of one class become one;
    things, and stuff that is a crowd, are numbered from 31 upwards in the order of the segments.

    Args:
        panoptic: ids [H, W]; categories are class indices of `BDD100K`. Ids that no segment has
            become background.
        name: of its file, for errors.

    Raises:
        DataError: there are more things than 16 bits can number, or a category is none of
            BDD100K's.
    """
    words = np.zeros(int(panoptic.ids.max(initial=0)) + 1, np.uint32)
    for segment, instance in zip(
        panoptic.segments, _instance_numbers(panoptic.segments, name), strict=True
    ):
        if segment.id < len(words):
            words[segment.id] = _word(segment, instance)
    return words.astype("<u4")[panoptic.ids][..., np.newaxis].view(np.uint8)


def _instance_numbers(segments: Sequence[Segment], name: str | Path) -> list[int]:
    numbers, next_thing = [], FIRST_THING
    for segment in segments:
        if not 0 <= segment.category < BDD100K.num_classes:
            raise DataError(
                f"{name}: segment {segment.id} has class {segment.category}; BDD100K has "
                f"0..{BDD100K.num_classes - 1}"
            )
        category = BDD100K.categories[segment.category]
        own = category.is_thing or segment.iscrowd
        numbers.append(next_thing if own else category.official_id)
        next_thing += own
    if next_thing - 1 > HIGHEST_INSTANCE:
        raise DataError(
            f"{name}: {next_thing - FIRST_THING} instances, but a bitmask of BDD100K numbers at "
            f"most {HIGHEST_INSTANCE - FIRST_THING + 1}"
        )
    return numbers


def _word(segment: Segment, instance: int) -> int:
    """Pack the four bytes R, G, B, A as a little-endian number."""
    red = BDD100K.categories[segment.category].official_id
    green = CROWD if segment.iscrowd else 0
    return red | green << 8 | (instance >> 8) << 16 | (instance & 0xFF) << 24
