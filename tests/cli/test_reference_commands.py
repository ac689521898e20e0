"""The commands of the README of PaddleSeg's contrib/PanopticDeepLab work word for word.

Two processes instead of eight: the number is set as required, as the comments there ask.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY_CONFIG

ROOT = Path(__file__).parents[2]
CONFIG = (
    "configs/panoptic_deeplab/"
    "panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005.yml"
)
TRAINING = f"""
export CUDA_VISIBLE_DEVICES=0,1 # 根据实际情况进行显卡数量的设置
python -m paddle.distributed.launch train.py \\
       --config {CONFIG} \\
       --do_eval \\
       --use_vdl \\
       --save_interval 5000 \\
       --save_dir output
"""
EVALUATION = f"""
python val.py \\
       --config {CONFIG} \\
       --model_path output/iter_90000/model.pdparams
"""
PREDICTION = f"""
export CUDA_VISIBLE_DEVICES=0,1 # Set the number of GPUs as required.
python -m paddle.distributed.launch predict.py \\
    --config {CONFIG} \\
    --model_path output/iter_90000/model.pdparams \\
    --image_path data/cityscapes/leftImg8bit/val/ \\
    --save_dir ./output/result
"""


@pytest.fixture(scope="module")
def clone(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose data set and configuration are small ones under the names of the large."""
    folder = tmp_path_factory.mktemp("clone")
    for script in ("train.py", "val.py", "predict.py"):
        shutil.copy(ROOT / script, folder)
    (folder / "data").mkdir()
    (folder / "data" / "cityscapes").symlink_to(scenes)
    (folder / CONFIG).parent.mkdir(parents=True)
    (folder / CONFIG).write_text(TINY_CONFIG.format(root="data/cityscapes"))
    return folder


def run(command: str, clone: Path) -> str:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=clone, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_training_evaluation_and_prediction(clone: Path) -> None:
    run(TRAINING, clone)
    output = clone / "output"
    assert (output / "best_model" / "model.pdparams").exists()
    assert list(output.glob("vdlrecords.*.log"))
    (output / "iter_3").rename(output / "iter_90000")  # the large configuration's length

    assert "motorcycle" in run(EVALUATION, clone)

    run(PREDICTION, clone)
    images = (clone / "data" / "cityscapes" / "leftImg8bit" / "val").rglob("*.png")
    names = sorted(path.stem for path in images)
    assert len(names) == 3
    overlays = sorted((output / "result" / "panoptic").rglob("*_overlay.png"))
    assert [path.stem.removesuffix("_overlay") for path in overlays] == names
    for part in ("semantic", "instance"):
        assert [p.stem for p in sorted((output / "result" / part).rglob("*.png"))] == names


@pytest.mark.parametrize("script", ["train.py", "val.py", "predict.py"])
def test_help(script: str, clone: Path) -> None:
    assert run(f"python {script} --help", clone).startswith(f"usage: {script} ")
