"""SOLOv2's masks in the pixels of the image, and the map of those on top."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.postprocess import SoloInstances
from panoptic_deeplab.structures import Frame
from panoptic_deeplab.views import Augmentation

CAR, PERSON = 1, 2


def outputs(
    size: tuple[int, int], *instances: tuple[int, float, tuple[slice, slice]]
) -> dict[str, paddle.Tensor]:
    """Boxes of (class, score, where) at the network's stride."""
    masks = np.full((len(instances), *size), -6, np.float32)
    for mask, (_, _, where) in zip(masks, instances, strict=True):
        mask[where] = 6
    return {
        "scores": paddle.to_tensor([score for _, score, _ in instances], "float32"),
        "classes": paddle.to_tensor([category for category, *_ in instances], "int64"),
        "masks": paddle.to_tensor(masks),
        "counts": paddle.to_tensor([len(instances)], "int64"),
    }


def test_instances_overlap_and_the_map_has_those_on_top() -> None:
    low, high = (slice(2, 6), slice(1, 5)), (slice(3, 5), slice(4, 8))
    given = outputs((8, 10), (CAR, 0.6, low), (PERSON, 0.9, high), (CAR, 0.1, high))
    (prediction,) = SoloInstances()(given, [Frame.whole(8, 10)])
    found = [(i.category, i.corner, i.mask.shape) for i in prediction.instances]
    assert found == [(PERSON, (3, 4), (2, 4)), (CAR, (2, 1), (4, 4)), (CAR, (3, 4), (2, 4))]
    assert all(instance.mask.all() for instance in prediction.instances)
    expected = np.zeros((8, 10), np.int32)
    expected[low], expected[high] = 2, 1
    np.testing.assert_array_equal(prediction.ids, expected)
    assert [(s.category, s.area, s.is_thing) for s in prediction.segments] == [
        (PERSON, 8, True),
        (CAR, 14, True),
    ]
    assert prediction.labels is None


def test_padding_is_cut_before_the_image_gets_its_own_size() -> None:
    given = outputs((8, 10), (CAR, 0.9, (slice(0, 8), slice(4, 10))))
    frame = Frame((12, 10), (32, 40), valid_box=(0, 0, 24, 20))
    (prediction,) = SoloInstances()(given, [frame])
    (instance,) = prediction.instances
    assert (instance.corner, instance.mask.shape) == ((0, 8), (12, 2))


@pytest.mark.parametrize("where", [(slice(0, 0), slice(0, 0)), (slice(7, 8), slice(9, 10))])
def test_no_instance_and_one_in_the_padding_give_an_empty_map(where: tuple[slice, slice]) -> None:
    frame = Frame((24, 20), (32, 40), valid_box=(0, 0, 24, 20))
    for given in (outputs((8, 10), (CAR, 0.9, where)), outputs((8, 10))):
        (prediction,) = SoloInstances()(given, [frame])
        assert not prediction.instances
        assert not prediction.segments
        assert not prediction.ids.any()


def test_a_batch_is_its_images_one_by_one() -> None:
    left, right = (slice(2, 6), slice(1, 5)), (slice(3, 5), slice(6, 9))
    first, second = outputs((8, 10), (CAR, 0.9, left)), outputs((8, 10), (PERSON, 0.8, right))
    both = {name: paddle.concat([first[name], second[name]]) for name in first}
    frames = [Frame.whole(8, 10)] * 2
    one_by_one = [SoloInstances()(given, frames[:1])[0] for given in (first, second)]
    for found, expected in zip(SoloInstances()(both, frames), one_by_one, strict=True):
        np.testing.assert_array_equal(found.ids, expected.ids)


def test_views_of_one_instance_are_one() -> None:
    frame = Frame.whole(16, 20)
    view, mirrored = Augmentation(scales=(1.0,), flip_horizontal=True).views(frame)
    left, right = (slice(1, 3), slice(0, 2)), (slice(1, 3), slice(3, 5))
    seen = [outputs((4, 5), (CAR, 0.9, left)), outputs((4, 5), (CAR, 0.8, right))]
    merged = SoloInstances().merge_views(seen, [view, mirrored])
    (prediction,) = SoloInstances()(merged, [frame])
    assert [round(i.score, 3) for i in prediction.instances] == [0.9]


def test_fractions_are_fractions() -> None:
    with pytest.raises(UsageError, match=r"score_threshold must be in 0\.\.1, got 2"):
        SoloInstances(score_threshold=2)
