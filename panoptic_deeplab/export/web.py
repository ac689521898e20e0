"""A folder that any web server can serve: the page, the model it runs, and what runs the model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from panoptic_deeplab.deployment import SETTINGS, Deployment
from panoptic_deeplab.export.ort_web import unpack
from panoptic_deeplab.files import write_json
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.web_page.files import (
    DESCRIPTION_FILE,
    PAGE_FILES,
    SAMPLE_FILE,
    describe,
    page_file,
)


def write_page(folder: Path, package: Path, deployment: Deployment, sample: np.ndarray) -> None:
    """Complete the folder of an ONNX export to one for a web server.

    Args:
        folder: has `model.onnx`.
        package: of ONNX Runtime Web.
        deployment: the model's description.
        sample: [H, W, 3] uint8 RGB, an image to try.
    """
    unpack(package, folder)
    for name in PAGE_FILES:
        shutil.copyfile(page_file(name), folder / name)
    write_image(folder / SAMPLE_FILE, sample)
    settings = {name: getattr(deployment.grouping, name) for name in SETTINGS}
    page = describe(deployment.info, settings, in_browser=True, on_server=False, sample=SAMPLE_FILE)
    write_json(folder / DESCRIPTION_FILE, page)
