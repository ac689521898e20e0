"""Tiles cover an image once, and tile by tile a local network predicts what it does at once."""

from __future__ import annotations

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion.tile_joining import join_tiles
from panoptic_deeplab.postprocess import CenterGrouping
from panoptic_deeplab.preprocess import Preprocess
from panoptic_deeplab.structures import Category, DatasetInfo, Frame, Prediction, Segment
from panoptic_deeplab.tiles import Tiling, spans
from panoptic_deeplab.transforms import Padding, Resize

SKY, CAR, BUS = range(3)
INFO = DatasetInfo(
    "toys",
    tuple(Category(n, n != "sky", (i, 9, 9), i) for i, n in enumerate(["sky", "car", "bus"])),
)


# --- where tiles lie ---


def test_spans_overlap_and_own_what_lies_between_the_middles_of_the_overlaps() -> None:
    found = [(s.start, s.stop, s.own, s.own_stop) for s in spans(100, 50, 10)]
    assert found == [(0, 50, 0, 45), (40, 90, 45, 70), (50, 100, 70, 100)]
    assert [(s.start, s.stop) for s in spans(40, 50, 10)] == [(0, 40)]
    aligned = [(s.start, s.stop, s.own, s.own_stop) for s in spans(201, 97, 32, step=32)]
    assert aligned == [(0, 97, 0, 80), (64, 161, 80, 144), (128, 201, 144, 201)]


@pytest.mark.parametrize("step", [1, 32])
@pytest.mark.parametrize("size", [(64, 64), (65, 300), (200, 129), (1000, 333), (63, 5)])
def test_every_pixel_has_one_owner_that_sees_it(size: tuple[int, int], step: int) -> None:
    owners = np.zeros(size, int)
    for tile in Tiling((64, 96), 16).tiles(size, step):
        (top, left, bottom, right), own = tile.box, tile.own
        assert bottom - top <= 64
        assert right - left <= 96
        assert top <= own[0] < own[2] <= bottom
        assert left <= own[1] < own[3] <= right
        assert top % step == left % step == 0
        owners[own[0] : own[2], own[1] : own[3]] += 1
    assert (owners == 1).all()


@pytest.mark.parametrize(
    ("size", "overlap", "message"),
    [
        ((63, 200), 0, "sides of at least 64 pixels, got 200 x 63"),
        ((64, 200), 33, "can overlap by 0..32 pixels, got 33"),
        ((64, 200), -1, "can overlap by 0..32 pixels, got -1"),
    ],
)
def test_tiles_that_cannot_be(size: tuple[int, int], overlap: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tiling(size, overlap)


# --- outputs stitched ---


class Local(nn.Layer):
    """A network at stride 4 that sees 8 pixels: classes, heatmap and offsets are its colors."""

    largest = 0

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        self.largest = max(self.largest, images.shape[2] * images.shape[3])
        seen = F.avg_pool2d(images, 8, 4, padding=2, ceil_mode=True)
        return {"semantic": 20 * seen, "center": seen[:, 1:2], "offset": 40 * seen[:, :2] - 20}


def predictor_of(tiling: Tiling | None, transforms: tuple[object, ...] = ()) -> Predictor:
    postprocessor = CenterGrouping(3, (CAR, BUS), threshold=0.6, min_stuff_area=400)
    preprocess = Preprocess([0.0], [1.0])
    return Predictor(Local(), preprocess, transforms, postprocessor, INFO, tiling=tiling)


def drawn_image(size: tuple[int, int]) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (-(-size[0] // 16), -(-size[1] // 16), 3))
    return np.kron(coarse, np.ones((16, 16, 1)))[: size[0], : size[1]].astype(np.uint8)


@pytest.mark.parametrize("size", [(200, 300), (201, 301), (200, 90), (90, 60)])
@pytest.mark.parametrize("transforms", [(), (Padding([320, 240]),), (Resize([260, 180]),)],
                         ids=["as it is", "padded", "resized"])  # fmt: skip
def test_stitched_tiles_give_the_prediction_of_the_whole(
    size: tuple[int, int], transforms: tuple[object, ...]
) -> None:
    image = drawn_image(size)
    whole, tiled = predictor_of(None, transforms), predictor_of(Tiling((96, 128), 32), transforms)
    (expected,), (found,) = whole.predict([image]), tiled.predict([image])
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.segments == expected.segments
    assert sum(segment.is_thing for segment in found.segments) > 1
    assert tiled.model.largest <= 96 * 128


def test_a_stride_that_does_not_divide_the_step_of_the_tiles_is_refused() -> None:
    predictor = predictor_of(Tiling((96, 128), 32))
    predictor.model.forward = lambda x: {"center": F.avg_pool2d(x, 3, 3)}
    with pytest.raises(UsageError, match="their stride 3 does not divide 32; leave out --tile"):
        predictor.predict([drawn_image((200, 300))])


# --- predictions joined ---


def colored_parts(image: np.ndarray) -> Prediction:
    """Each connected part of one red value is a thing of that class; black is sky."""
    ids, segments = np.zeros(image.shape[:2], np.int32), []
    for category in (CAR, BUS):
        count, parts = cv2.connectedComponents((image[..., 0] == category).astype(np.uint8))
        for part in range(1, count):
            number = len(segments) + 1
            ids[parts == part] = number
            area = int((parts == part).sum())
            segments.append(Segment(number, category, area=area, is_thing=True, score=0.5))
    sky = ids == 0
    if sky.any():
        ids[sky] = len(segments) + 1
        segments.append(Segment(len(segments) + 1, SKY, area=int(sky.sum()), is_thing=False))
    return Prediction(ids, segments, image[..., 0])


def scene() -> np.ndarray:
    """A bus through all tiles, small cars on and off their borders, two cars that nearly touch."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[90:120, 10:290] = BUS
    image[150:170, 50:75], image[150:170, 77:110] = CAR, CAR
    image[20:40, 60:70], image[50:60, 200:290], image[0:80, 130:140] = CAR, CAR, CAR
    return image


@pytest.mark.parametrize("overlap", [16, 32])
def test_joined_tiles_give_the_prediction_of_the_whole(overlap: int) -> None:
    image, expected = scene(), colored_parts(scene())
    tiles = Tiling((64, 96), overlap).tiles(image.shape[:2])
    assert len(tiles) > 9
    found = join_tiles(image, tiles, colored_parts)
    pairs = set(zip(found.ids.ravel().tolist(), expected.ids.ravel().tolist(), strict=True))
    assert len(pairs) == len(expected.segments) == len(found.segments) == 7
    classes = {segment.id: segment.category for segment in expected.segments}
    other = dict(pairs)
    for segment in found.segments:
        assert segment.category == classes[other[segment.id]]
        assert segment.area == (found.ids == segment.id).sum()
        assert segment.score == (0.5 if segment.is_thing else None)
    assert [s.id for s in found.segments] == [*range(1, 8)]
    assert [s.is_thing for s in found.segments] == [True] * 6 + [False]
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_what_shares_less_than_half_of_the_overlap_stays_apart() -> None:
    """The tiles share the columns 48..64: of the 10 of each car there, only 4 are the other's."""
    image = np.zeros((64, 112, 3), np.uint8)
    shifts = iter([48, 54 - 48])

    def predict(tile: np.ndarray) -> Prediction:
        tile = np.zeros_like(tile)
        left = next(shifts)
        tile[10:20, left : left + 10] = CAR
        return colored_parts(tile)

    tiles = Tiling((64, 64), 16).tiles((64, 112))
    assert [tile.box[1] for tile in tiles] == [0, 48]
    found = join_tiles(image, tiles, predict)
    assert [s.category for s in found.segments if s.is_thing] == [CAR, CAR]


class Joining:
    """A postprocessor of instances: its outputs are no maps."""

    def __call__(self, outputs: dict[str, paddle.Tensor], frames: list[Frame]) -> list[Prediction]:
        image = np.rint(outputs["image"][0].numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
        top, left, bottom, right = frames[0].valid_box
        return [colored_parts(image[top:bottom, left:right])]


class Echo(nn.Layer):
    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        return {"image": images}


def test_other_methods_have_their_predictions_joined() -> None:
    parts = Echo(), Preprocess([0.0], [1.0]), (Padding([320, 240]),), Joining(), INFO
    (found,) = Predictor(*parts, tiling=Tiling((64, 96), 16)).predict([scene()])
    (expected,) = Predictor(*parts).predict([scene()])
    assert found.ids.shape == (200, 300)
    assert [(s.category, s.area) for s in sorted(found.segments, key=lambda s: s.area)] == [
        (s.category, s.area) for s in sorted(expected.segments, key=lambda s: s.area)
    ]


def test_resized_images_are_not_joined() -> None:
    parts = Echo(), Preprocess([0.0], [1.0]), (Resize([150, 100]),), Joining(), INFO
    with pytest.raises(UsageError, match="--tile: Joining joins tiles of images as they are"):
        Predictor(*parts, tiling=Tiling((64, 96), 16)).predict([scene()])
