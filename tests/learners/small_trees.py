"""Cityscapes and KITTI of two images, small enough to check by eye, as they are downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from panoptic_deeplab.formats.images import write_ids, write_image

ROAD, SKY, EGO_VEHICLE, CAR_GROUP, CAR, PERSON = 7, 23, 1, 26, 26000, 24000
"""Instance ids of Cityscapes: labels of stuff, of void and of a crowd; the first of two things."""

INSTANCE_IDS = np.array(
    [
        [SKY, SKY, SKY, SKY, SKY, SKY, CAR_GROUP, CAR_GROUP],
        [SKY, CAR, CAR, SKY, PERSON, SKY, CAR_GROUP, CAR_GROUP],
        [ROAD, CAR, CAR, CAR + 1, PERSON, ROAD, ROAD, ROAD],
        [ROAD, ROAD, ROAD, CAR + 1, CAR + 1, ROAD, ROAD, ROAD],
        [EGO_VEHICLE, EGO_VEHICLE, EGO_VEHICLE, EGO_VEHICLE, ROAD, ROAD, ROAD, ROAD],
    ],
    np.uint16,
)
TRAIN_IDS = np.array(
    [
        [10, 10, 10, 10, 10, 10, 13, 13],
        [10, 13, 13, 10, 11, 10, 13, 13],
        [0, 13, 13, 13, 11, 0, 0, 0],
        [0, 0, 0, 13, 13, 0, 0, 0],
        [255, 255, 255, 255, 0, 0, 0, 0],
    ],
    np.uint8,
)
STEMS = {"train": "aachen_000000_000019", "val": "lindau_000001_000019"}


def image_of(height: int, width: int) -> np.ndarray:
    """[H, W, 3] uint8 in drawn colors."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def write_cityscapes(root: Path) -> Path:
    """One image in train and one in val, with the ids above."""
    for split, stem in STEMS.items():
        image = root / "leftImg8bit" / split / stem.split("_")[0] / f"{stem}_leftImg8bit.png"
        ids = root / "gtFine" / split / stem.split("_")[0] / f"{stem}_gtFine_instanceIds.png"
        write_image(image, image_of(*INSTANCE_IDS.shape))
        write_image(ids, INSTANCE_IDS)
    return root


def write_kitti(root: Path) -> Path:
    """One image in training and one in validation, each pixel of the ids above 64 x 156 times."""
    ids = INSTANCE_IDS.astype(np.int32).repeat(64, axis=0).repeat(156, axis=1)
    for split in ("training", "validation"):
        write_image(root / split / "images" / "000000_10.png", image_of(*ids.shape))
        write_ids(root / split / "annotations" / "000000_10.png", ids)
    return root
