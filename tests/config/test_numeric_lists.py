"""Lists of numbers in a configuration: whole ones are numbers, and impossible ones are refused."""

from __future__ import annotations

from typing import Any

import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import UsageError

LITE = "panoptic_deeplab_lite_scenes"
RESNET = "panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005"
EFFICIENTPS = "efficientps_b0_scenes"


def ones(count: int, *first: Any) -> str:
    return str([*first, *[1] * (count - len(first))]).replace("'", "")


def test_class_weights_of_whole_numbers() -> None:
    criterion = Config(LITE, [f"criterion.class_weights={ones(19, 2, 0)}"]).criterion
    assert criterion.class_weights.numpy().tolist() == [2, 0] + [1] * 17
    assert str(criterion.class_weights.dtype) == "paddle.float32"


FINITE = "each item a finite number"
BAD_LISTS = [
    (LITE, "criterion.class_weights", "[]", "one number for each of the 19 classes, got 0"),
    (LITE, "criterion.class_weights", "[1, 1]", "one number for each of the 19 classes, got 2"),
    (LITE, "criterion.class_weights", ones(20), "one number for each of the 19 classes, got 20"),
    (LITE, "criterion.class_weights", ones(19, -1), "finite and not negative, got -1"),
    (LITE, "criterion.class_weights", str([0] * 19), "must not all be 0"),
    (LITE, "criterion.class_weights", ones(19, ".nan"), FINITE),
    (LITE, "criterion.class_weights", ones(19, ".inf"), FINITE),
    (LITE, "criterion.class_weights", ones(19, "-.inf"), FINITE),
    (LITE, "criterion.class_weights", ones(19, "1e39"), FINITE),
    (LITE, "criterion.class_weights", ones(19, 10**60), FINITE),
    (LITE, "criterion.class_weights", ones(19, "true"), FINITE),
    (LITE, "criterion.class_weights", ones(19, '"1"'), FINITE),
    (LITE, "criterion.class_weights", ones(19, "[1]"), FINITE),
    (LITE, "criterion.class_weights", "1", f"a list, {FINITE} or null, got 1"),
    (LITE, "preprocess", "{mean: [.nan]}", FINITE),
    (LITE, "preprocess", "{std: [1, 1]}", "needs 1 or 3 numbers"),
    (LITE, "preprocess", "{std: [-1]}", "must be positive"),
    (LITE, "targets.thing_ids", "[-1]", "different class indices in 0..18, got [-1]"),
    (LITE, "targets.thing_ids", "[19]", "different class indices in 0..18, got [19]"),
    (LITE, "targets.thing_ids", "[3, 3]", "different class indices in 0..18, got [3, 3]"),
    (LITE, "postprocessor.thing_ids", "[99]", "different class indices in 0..18"),
    (EFFICIENTPS, "model.thing_ids", "[99]", "different class indices in 0.."),
    (LITE, "model.channels", "[16, 32, 64, 128, 0]", "channels: expected numbers in 1.."),
    (LITE, "model.channels", "[16, 32, 64, 128]", "needs 5 channels"),
    (LITE, "model.blocks", "[1, 2, -3, 2]", "blocks: expected numbers in 0..32768, got -3"),
    (LITE, "model.semantic_channels", "[64, 48, 40, 1000000]", "expected numbers in 1.."),
    (LITE, "model.instance_channels", "[64, 48, .inf]", "each item a whole number"),
    (LITE, "model.instance_channels", f"[64, 48, {10**20}]", "each item a whole number"),
    (RESNET, "model.aspp_ratios", "[1, 0]", "aspp_ratios: expected numbers in 1..32768, got 0"),
    (RESNET, "model.low_level_channels_projects", "[0, 1, 1]", "expected numbers in 1.."),
    (RESNET, "model.backbone_indices", "[9, 1, 0, 3]", "IndexError"),
    (RESNET, "model.instance_num_classes", "[5, 5]", "must be [center, offset] and [1, 2]"),
    (RESNET, "model.instance_num_classes", "[1]", "'model' cannot be made of these values"),
    (RESNET, "model.instance_class_key", "[offset, center]", "must be [center, offset]"),
]


@pytest.mark.parametrize(("config", "key", "value", "message"), BAD_LISTS)
def test_impossible_lists_are_one_line(config: str, key: str, value: str, message: str) -> None:
    with pytest.raises(UsageError) as failure:
        getattr(Config(config, [f"{key}={value}"]), key.partition(".")[0])
    assert message in str(failure.value)
    assert str(failure.value).startswith("--opts: '")
    assert len(str(failure.value)) < 500


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e400", str(10**40)])
def test_a_number_is_finite(value: str) -> None:
    with pytest.raises(UsageError, match=r"'postprocessor\.threshold' must be a finite number"):
        Config(LITE, [f"postprocessor.threshold={value}"])
