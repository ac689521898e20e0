"""What a part takes, as far as it can be known without building it."""

from __future__ import annotations

import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.config.checking import takes
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.registry import BACKBONES

SHIPPED = "panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005"


@pytest.mark.parametrize("name", BACKBONES.components_dict)
def test_the_arguments_of_each_backbone_are_known(name: str) -> None:
    """PaddleSeg's are functions of **kwargs; a table gives each module's class."""
    assert takes(BACKBONES[name])


def test_an_argument_that_the_class_takes_and_one_that_it_does_not() -> None:
    backbone = "model.backbone={type: MobileNetV3_large_x1_0, %s: 3}"
    Config(SHIPPED, [backbone % "in_channels"])
    with pytest.raises(
        UsageError, match=r"'model\.backbone\.in_chanels' .*\"in_channels\""
    ) as failure:
        Config(SHIPPED, [backbone % "in_chanels"])
    assert "--opts" in str(failure.value)
