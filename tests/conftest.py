"""Fixtures that several test files share: small scenes, small configurations and a browser."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from make_scenes import main as make_scenes

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TINY_CONFIG = """
batch_size: 2
iters: 3
train_dataset: {{type: CityscapesPanoptic, dataset_root: {root}, mode: train, transforms: [
  {{type: RandomPaddingCrop, crop_size: [128, 64]}}, {{type: RandomHorizontalFlip}}]}}
val_dataset: {{type: CityscapesPanoptic, dataset_root: {root}, mode: val, transforms: [
  {{type: Padding, target_size: [144, 80]}}]}}
targets: {{type: CenterOffsetTargets, sigma: 3, small_instance_area: 100}}
model: {{type: PanopticDeepLabLite, channels: [4, 4, 4, 4, 4], blocks: [0, 0, 1, 1],
  semantic_channels: [4, 4, 4, 4], instance_channels: [4, 4, 4]}}
criterion: {{type: PanopticDeepLabLoss, stride: 2}}
optimizer: {{type: Adam}}
lr_scheduler: {{type: PolynomialDecay, learning_rate: 1e-3, power: 0.9, end_lr: 0.0}}
postprocessor: {{type: CenterGrouping, min_stuff_area: 16}}
"""

TINY_TOP_DOWN_CONFIG = """
_base_: {base}
batch_size: 1
iters: 3
train_dataset: {{dataset_root: {root}, transforms: [
  {{type: RandomPaddingCrop, crop_size: [96, 64]}}, {{type: RandomHorizontalFlip}}]}}
val_dataset: {{dataset_root: {root}}}
model: {{backbone: {{width: 0.25, depth: 0.3}}, channels: 16, semantic_channels: 8,
  box_channels: 32, train_proposals: 64, test_proposals: 256, rpn_samples: 64, region_samples: 32}}
postprocessor: {{min_stuff_area: 16}}
"""

TINY_PANOPTIC_FPN_CONFIG = """
_base_: {base}
batch_size: 1
iters: 3
train_dataset: {{dataset_root: {root}, transforms: [
  {{type: RandomPaddingCrop, crop_size: [96, 64]}}, {{type: RandomHorizontalFlip}}]}}
val_dataset: {{dataset_root: {root}, transforms: [{{type: PaddingToMultiple}}]}}
model: {{backbone: {{width: 8}}, channels: 16, semantic_channels: 32, box_channels: 32,
  train_candidates: 128, train_proposals: 64, test_candidates: 256, test_proposals: 256,
  rpn_samples: 64, region_samples: 32}}
postprocessor: {{min_stuff_area: 16}}
"""


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    """A command line that ran in this process set up the package's log for itself alone."""
    log = logging.getLogger("panoptic_deeplab")
    log.handlers.clear()
    log.propagate = True
    log.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Street scenes of 64 x 128 pixels: five to train on, three to validate. Not to be changed."""
    root = tmp_path_factory.mktemp("scenes") / "scenes"
    sizes = ["--train", "5", "--val", "3", "--height", "64", "--width", "128"]
    assert make_scenes(["--output", str(root), *sizes, "--num_workers", "1"]) == 0
    return root


@pytest.fixture
def tiny_config(scenes: Path, tmp_path: Path) -> Path:
    """A configuration that trains in a second on `scenes`."""
    path = tmp_path / "tiny.yml"
    path.write_text(TINY_CONFIG.format(root=scenes))
    return path


@pytest.fixture
def tiny_top_down_config(scenes: Path, tmp_path: Path) -> Path:
    """The same for EfficientPS."""
    base = Path(__file__).parents[1] / "configs" / "efficientps" / "efficientps_b0_scenes.yml"
    path = tmp_path / "tiny_top_down.yml"
    path.write_text(TINY_TOP_DOWN_CONFIG.format(root=scenes, base=base))
    return path


@pytest.fixture
def tiny_panoptic_fpn_config(scenes: Path, tmp_path: Path) -> Path:
    """The same for Panoptic FPN."""
    base = Path(__file__).parents[1] / "configs" / "panoptic_fpn" / "panoptic_fpn_r18_scenes.yml"
    path = tmp_path / "tiny_panoptic_fpn.yml"
    path.write_text(TINY_PANOPTIC_FPN_CONFIG.format(root=scenes, base=base))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; a file's tests that take it are skipped where there is none, but in CI.

    One for each file, not for the session: while it runs, this thread has an event loop.
    """
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        missing = f"needs one of {', '.join(_BROWSERS)}: sudo apt install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    from playwright.sync_api import sync_playwright  # takes a second

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FAKE_CAMERA)
        yield browser
        browser.close()


_FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of 1280 x 720 pixels; what its scripts raise without catching fails the test.

    It has a profile of its own, so that nothing of an earlier page is left.
    """
    context = browser.new_context()
    context.set_default_timeout(30_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors
