"""Parts of different methods are refused before building; parts keep their declarations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.config.contracts import check_contracts
from panoptic_deeplab.engine.loading import collate
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.structures import Segment

CONFIGS = Path(__file__).parents[2] / "configs"
BOTTOM_UP = CONFIGS / "demo" / "panoptic_deeplab_lite_scenes.yml"
TOP_DOWN = CONFIGS / "efficientps" / "efficientps_b0_scenes.yml"

MIXED = {
    "the other's criterion": (
        BOTTOM_UP,
        "criterion={type: EfficientPSLoss}",
        "model PanopticDeepLabLite gives semantic, center, offset, but criterion EfficientPSLoss "
        "needs train.rpn_logits",
    ),
    "the other's postprocessor": (
        BOTTOM_UP,
        "postprocessor={type: AdaptiveFusion}",
        "model PanopticDeepLabLite gives semantic, center, offset, but postprocessor "
        "AdaptiveFusion needs boxes, scores, classes, masks, counts",
    ),
    "the other's targets": (
        BOTTOM_UP,
        "targets={type: InstanceTargets}",
        "targets InstanceTargets gives semantic, instances, boxes, classes, but criterion "
        "PanopticDeepLabLoss needs center, offset",
    ),
    "bottom-up criterion": (
        TOP_DOWN,
        "criterion={type: PanopticDeepLabLoss}",
        "model EfficientPS gives semantic, train.rpn_logits",
    ),
    "bottom-up grouping": (
        TOP_DOWN,
        "postprocessor={type: CenterGrouping}",
        "but postprocessor CenterGrouping needs center, offset; take both from one method",
    ),
    "bottom-up targets": (
        TOP_DOWN,
        "targets={type: CenterOffsetTargets}",
        "but model EfficientPS needs boxes, classes, instances",
    ),
}


@pytest.mark.parametrize("case", MIXED)
def test_two_methods_in_one_configuration_are_refused_with_both_names(case: str) -> None:
    """When the file is read: no data set is opened (there is none), nothing is built."""
    path, override, message = MIXED[case]
    with pytest.raises(UsageError) as refused:
        Config(path, [override])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_file_that_mixes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mixed.yml"
    path.write_text(
        f"_base_: {BOTTOM_UP}\nmodel:\n  type: EfficientPS\n  backbone: {{type: EfficientNet}}\n"
        "  _inherited_: false\n"
    )
    with pytest.raises(UsageError, match=r"^[^:]*mixed\.yml: model EfficientPS gives"):
        Config(path)


def test_a_class_that_declares_nothing_is_not_checked() -> None:
    class Unknown:
        pass

    check_contracts({"model": Unknown, "postprocessor": Unknown}, str)


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*_scenes.yml")), ids=lambda path: path.stem)
def test_parts_provide_what_they_declare(path: Path) -> None:
    """One step of each small network: the names are exactly the declared ones."""
    paddle.seed(0)
    config = Config(path)
    ids = np.ones((64, 64), np.int32)
    ids[10:40, 10:40] = 2
    segments = [Segment(1, config.info.stuff_ids[0]), Segment(2, config.info.thing_ids[0])]
    sample = config.targets({"panoptic": ids, "segments": segments})
    del sample["segments"], sample["panoptic"]
    assert set(sample) == set(config.targets.target_names)

    model, batch = config.model, {n: paddle.to_tensor(v) for n, v in collate([sample]).items()}
    trained = model(paddle.rand([1, 3, 64, 64]), batch)
    nested = {f"train.{name}" for name in trained.pop("train", {})}
    assert nested | set(trained) == set(getattr(model, "training_output_names", model.output_names))
    model.eval()
    with paddle.no_grad():
        assert set(model(paddle.rand([1, 3, 64, 64]))) == set(model.output_names)
