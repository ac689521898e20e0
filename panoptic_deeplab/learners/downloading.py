"""Published weights in a folder of the user's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from panoptic_deeplab.files import replacing, usable_folder
from panoptic_deeplab.weights import head_of, is_torch, zoo_model


def download(published: Mapping[str, str], path: str, mode: str, trained_on: str) -> str:
    """Fetch weights of the zoo; see `PanopticLearner.download`.

    Args:
        published: what a model was trained on -> its name in the zoo.
        path: the folder; it is made.
        mode: `model`.
        trained_on: a key of `published`.

    Raises:
        ValueError: there is no such mode or model.
        DataError: it cannot be fetched, or only by hand.
    """
    if mode == "test_data":
        raise ValueError("test_data are OpenDR's own images, which it alone publishes")
    if mode != "model":
        raise ValueError('Invalid mode. Valid options are ["model", "test_data"]')
    if trained_on not in published:
        raise ValueError(
            f"Could not find model weights pre-trained on {trained_on}. "
            f"Valid options are {list(published)}"
        )
    folder = usable_folder(os.path.expanduser(path))
    found = [file for file in sorted(folder.glob(f"model_{trained_on}.p*")) if file.is_file()]
    if found:
        print(f"File already downloaded: {found[0]}")
        return str(found[0])
    weights = zoo_model(published[trained_on]).fetch()
    target = folder / f"model_{trained_on}{_suffix_of(weights)}"
    with replacing(target) as temporary:
        shutil.copyfile(weights, temporary)
    return str(target)


def _suffix_of(weights: Path) -> str:
    """Return the suffix by which others know a file of weights."""
    return ".pth" if is_torch(head_of(weights)) else weights.suffix
