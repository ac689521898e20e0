"""Ground truth in place of an output: on small maps, on scenes, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from panoptic_deeplab.cli import val
from panoptic_deeplab.config import Config
from panoptic_deeplab.engine.evaluator import evaluate
from panoptic_deeplab.engine.oracle import Oracle
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.postprocess import CenterGrouping
from panoptic_deeplab.structures import Frame, Segment
from panoptic_deeplab.targets import CenterOffsetTargets
from panoptic_deeplab.views import Augmentation

ROAD, CAR = 0, 1
ALL = ("semantic", "center", "offset")


def two_cars() -> dict[str, object]:
    """A road with two cars of 3 x 3 side by side, and a void column at the right. 7 x 12."""
    ids = np.full((7, 12), 1, np.int32)
    ids[2:5, 2:5], ids[2:5, 5:8], ids[:, 11] = 2, 3, 0
    return {"panoptic": ids, "segments": [Segment(1, ROAD), Segment(2, CAR), Segment(3, CAR)]}


def blind_outputs(height: int, width: int) -> dict[str, paddle.Tensor]:
    """A network that sees a car everywhere, no center, and every offset pointing far away."""
    return {
        "semantic": paddle.to_tensor([1.0, 3.0]).reshape([1, 2, 1, 1]).expand([1, 2, 4, 6]),
        "center": paddle.zeros([1, 1, 4, 6]),
        "offset": paddle.full([1, 2, 4, 6], 99.0),
    }


def grouping() -> CenterGrouping:
    return CenterGrouping(2, (CAR,), nms_kernel=3, min_stuff_area=1)


def corrected(*names: str) -> dict[str, paddle.Tensor]:
    oracle = Oracle(names, CenterOffsetTargets((CAR,), sigma=1), grouping())
    return oracle.correct(blind_outputs(7, 12), oracle.add_truth(two_cars()))


def test_all_oracles_together_are_the_truth() -> None:
    truth = two_cars()["panoptic"]
    (prediction,) = grouping()(corrected(*ALL), [Frame.whole(7, 12)])
    expected = np.array([3, 3, 1, 2])[truth]  # the cars come first, and void is the only stuff
    np.testing.assert_array_equal(prediction.ids, expected)
    assert [segment.category for segment in prediction.segments] == [CAR, CAR, ROAD]
    assert prediction.segments[2].score == 1


def test_in_void_the_network_chooses_among_the_stuff() -> None:
    """It says car (3) rather than road (1); as cars such pixels would vote in the car nearby."""
    semantic = corrected("semantic")["semantic"].numpy()[0]
    assert semantic.shape == (2, 7, 12)
    np.testing.assert_allclose(semantic[:, 0, 11], [1, 3 - 100], rtol=1e-6)
    assert semantic[:, 0, 0].tolist() == [100, 0]
    assert semantic[:, 2, 2].tolist() == [0, 100]


@pytest.mark.parametrize("name", ALL)
def test_an_oracle_replaces_its_output_alone(name: str) -> None:
    """Centers: two peaks; offsets: from the first car's corner one pixel down and right."""
    replaced, untouched = corrected(name), corrected()
    for other in set(ALL) - {name}:
        np.testing.assert_array_equal(replaced[other].numpy(), untouched[other].numpy())
    assert replaced[name].shape == untouched[name].shape
    if name == "center":
        assert np.argwhere(replaced[name].numpy()[0, 0] == 1).tolist() == [[3, 3], [3, 6]]
    elif name == "offset":
        assert replaced[name].numpy()[0, :, 2, 2].tolist() == [1, 1]
        assert replaced[name].numpy()[0, :, 0, 0].tolist() == [0, 0]  # the road points nowhere


def test_without_true_centers_the_true_offsets_find_nothing() -> None:
    (prediction,) = grouping()(corrected("semantic", "offset"), [Frame.whole(7, 12)])
    assert [segment.category for segment in prediction.segments] == [ROAD]


class Ungrouped:
    """A method without an oracle."""


def test_unknown_names_and_methods_without_oracle_are_refused() -> None:
    with pytest.raises(
        UsageError,
        match=r"^--oracle centers: CenterGrouping knows semantic, center, offset$",
    ):
        Oracle(["semantic", "centers"], lambda sample: sample, grouping())
    with pytest.raises(UsageError, match=r"^Ungrouped has no oracle; leave out --oracle$"):
        Oracle(["semantic"], lambda sample: sample, Ungrouped())


# --- on scenes, with a network that has learnt nothing ---


@pytest.fixture
def config(tiny_config: Path) -> Config:
    paddle.seed(0)
    return Config(tiny_config, ["postprocessor.nms_kernel=3", "postprocessor.min_stuff_area=1"])


@pytest.mark.parametrize(
    "augmentation",
    [None, Augmentation((1.0, 1.5), flip_horizontal=True)],
    ids=["as it is", "in views"],
)
def test_scenes_are_solved_by_all_oracles(
    config: Config, augmentation: Augmentation | None
) -> None:
    """The images are padded from 64 x 128 to 80 x 144; the ground truth covers all of them."""
    oracle = Oracle(ALL, config.targets, config.postprocessor)
    predictor = Predictor(
        config.model, config.preprocess, (), config.postprocessor, config.info, augmentation
    )
    results = evaluate(predictor, config.val_dataset, config.evaluators, 1, oracle)
    assert results["Things"]["pq"] == 1
    assert results["Stuff"]["pq"] == 1
    assert results["miou"] == results["ap"] == 1


def test_evaluation_names_the_oracle(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "model.pdparams"
    paddle.save(Config(tiny_config).model.state_dict(), str(weights))
    flags = ["--config", str(tiny_config), "--device", "cpu", "--model_path", str(weights)]
    assert val.main([*flags, "--oracle", "semantic", "--json", str(tmp_path / "r.json")]) == 0
    assert "Oracle: the ground truth in place of the network's semantic" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["miou"] == 1


def test_a_wrong_oracle_is_one_line(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "model.pdparams"
    weights.write_bytes(b"x")
    flags = ["--config", str(tiny_config), "--device", "cpu", "--model_path", str(weights)]
    assert val.main([*flags, "--oracle", "heat"]) == 2
    error = capsys.readouterr().err
    assert error == "error: --oracle heat: CenterGrouping knows semantic, center, offset\n"
