"""The calls that OpenDR's document on panoptic segmentation shows, with other imports alone.

A tiny network that trains for one epoch stands for the default of 43 million parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from small_learners import VALIDATION, write_raw_scenes, write_small_config
from torch_files import write_pth

from panoptic_deeplab import learners
from panoptic_deeplab.learners import EfficientPsLearner
from panoptic_deeplab.learners.efficient_ps import known_config

PREPARE = """
from panoptic_deeplab.learners import CityscapesDataset
DOWNLOAD_PATH = '~/data/cityscapes_raw'
DATA_ROOT = '~/data/cityscapes'
CityscapesDataset.prepare_data(DOWNLOAD_PATH, DATA_ROOT)
"""

INFER = """
from panoptic_deeplab.learners import images as mmcv
from panoptic_deeplab.learners import Image
from panoptic_deeplab.learners import EfficientPsLearner
DATA_ROOT = '~/data/cityscapes'
image_filenames = [
    f'{DATA_ROOT}/val/images/lindau_000001_000019.png',
    f'{DATA_ROOT}/val/images/lindau_000002_000019.png',
    f'{DATA_ROOT}/val/images/lindau_000003_000019.png',
]
images = [Image(mmcv.imread(f)) for f in image_filenames]
learner = EfficientPsLearner()
learner.load('model.pth')
predictions = learner.infer(images)
"""

INFER_OF_THE_LATEST = """
from panoptic_deeplab.learners import EfficientPsLearner, Image
DATA_ROOT = '~/data/cityscapes'
images = [Image.open(f'{DATA_ROOT}/val/images/lindau_000001_000019.png')]
config_file = 'singlegpu_cityscapes.py'
learner = EfficientPsLearner(config_file)
learner.load('model.pth')
predictions = learner.infer(images)
for image, prediction in zip(images, predictions):
    EfficientPsLearner.visualize(image, prediction)
"""

EVALUATE = """
from panoptic_deeplab.learners import CityscapesDataset
from panoptic_deeplab.learners import EfficientPsLearner
DATA_ROOT = '~/data/cityscapes'
val_dataset = CityscapesDataset(path=f'{DATA_ROOT}/val')
learner = EfficientPsLearner()
learner.load('model.pth')
results = learner.eval(val_dataset, print_results=True)
"""

TRAIN = """
from panoptic_deeplab.learners import CityscapesDataset
from panoptic_deeplab.learners import EfficientPsLearner
DATA_ROOT = '~/data/cityscapes'
train_dataset = CityscapesDataset(path=f'{DATA_ROOT}/training')
val_dataset = CityscapesDataset(path=f'{DATA_ROOT}/val')
learner = EfficientPsLearner()
history = learner.fit(train_dataset, val_dataset)
"""


def run(code: str) -> dict[str, Any]:
    """Run a block and return what it names."""
    names: dict[str, Any] = {}
    exec(code, names)
    return names


@pytest.fixture
def small_learner(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> type[EfficientPsLearner]:
    """What the blocks import as EfficientPsLearner."""
    config = write_small_config(scenes, tmp_path / "small.yml")

    class SmallLearner(EfficientPsLearner):
        def __init__(self, config_file: str = "singlegpu_cityscapes.py") -> None:
            assert known_config(config_file) == self.default_config
            super().__init__(config, lr=0.001, iters=1)

    monkeypatch.setattr(learners, "EfficientPsLearner", SmallLearner)
    return SmallLearner


def test_the_blocks_run_one_after_the_other(
    scenes: Path,
    small_learner: type[EfficientPsLearner],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_raw_scenes(scenes, tmp_path / "data" / "cityscapes_raw")
    state = small_learner().model.state_dict()
    write_pth(
        tmp_path / "model.pth",
        {
            name: value.numpy().T.copy() if _is_linear(name) else value.numpy()
            for name, value in state.items()
        },
    )

    run(PREPARE)
    images = tmp_path / "data" / "cityscapes" / "val" / "images"
    assert sorted(path.stem for path in images.iterdir()) == VALIDATION
    predictions = run(INFER)["predictions"]
    assert [pair.instance.data.shape for pair in predictions] == [(64, 128)] * 3
    shown: list[PillowImage.Image] = []
    monkeypatch.setattr(PillowImage.Image, "show", lambda image: shown.append(image))
    run(INFER_OF_THE_LATEST)
    assert len(shown) == 1
    results = run(EVALUATE)["results"]
    assert len(results["per_class"]) == 19
    assert "traffic sign" in capsys.readouterr().out
    history = run(TRAIN)["history"]
    assert len(history["train"]) == 5
    assert len(history["val"]) == 1


def _is_linear(name: str) -> bool:
    """PyTorch keeps the weights of these as [out, in]."""
    return name.startswith("bbox_head.") and name.endswith("weight")
