"""Beginning with the weights of a network that was trained for other classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import Category, DatasetInfo, usual_ignore_index
from panoptic_deeplab.weights.classes import INFO_FILE, read_info_beside
from panoptic_deeplab.weights.loading import (
    compare,
    listed,
    refuse_not_finite,
    set_weights,
)
from panoptic_deeplab.weights.reading import read_weights

_log = logging.getLogger(__name__)


class ClassAxis(NamedTuple):
    """Where the shape of a weight depends on the classes.

    Attributes:
        axis: of the weight.
        is_row_per_class: whether it has a row for each class, in their order; else the rows count
            things alone, or a background too.
    """

    axis: int
    is_row_per_class: bool

    def fits(self, there: tuple[int, ...], here: tuple[int, ...]) -> bool:
        """Whether two shapes are equal along the other axes."""
        return np.delete(there, self.axis).tolist() == np.delete(here, self.axis).tolist()


def load_for_other_classes(config: Any, source: str, path: Path) -> None:
    """Load the weights of the same network, which may have been trained for other classes.

    Weights that do not depend on the classes are loaded. Of those that do, a class takes the row of
    the class of the same name, where a file beside the weights names the classes and there is a row
    for each; all other rows keep their random numbers, and the log names them.

    Args:
        config: a `panoptic_deeplab.config.Config`, or anything that has its parts.
        source: what the user gave, for messages.
        path: the file of weights, or the folder of a checkpoint.

    Raises:
        DataError: the file cannot be read, or is of another network.
    """
    weights = read_weights(path)
    trained = read_info_beside(path)
    same_classes = trained is None or _names(trained) == _names(config.info)
    complete = compare(weights, config.model.state_dict()).complete
    axes = {} if complete and same_classes else class_axes(config)
    _refuse_another_network(config, source, weights, axes)
    refuse_not_finite(weights, path)
    rows = {} if trained is None else _rows_by_name(trained, config.info)
    whole = {name: weights[name] for name in weights if name not in axes}
    state = config.model.state_dict()
    parts = {}
    for name, axis in axes.items():
        if axis.is_row_per_class and trained is not None:
            _check_rows(source, name, weights[name].shape[axis.axis], trained)
            parts[name] = _with_rows(weights[name], state[name].numpy(), axis.axis, rows)
    set_weights(config.model, whole | parts)
    whose = "" if trained is None else f", trained for {trained.num_classes} classes"
    _log.info("Begins with %s%s: %d weights loaded", source, whose, len(whole))
    if axes:
        _tell(config.info, axes, rows)


def class_axes(config: Any) -> dict[str, ClassAxis]:
    """Find the weights that depend on the classes: those of another shape with more of these.

    For that the network is built a second time, for one thing and one kind of stuff more.
    """
    import paddle

    with paddle.utils.unique_name.guard():  # names of layers then count as without it
        larger = config.for_classes(_with_two_more(config.info)).model.state_dict()
    axes = {}
    for name, value in config.model.state_dict().items():
        growth = np.subtract(larger[name].shape, value.shape)
        for axis in np.flatnonzero(growth).tolist():
            axes[name] = ClassAxis(axis, growth[axis] == 2)
    return axes


def _with_two_more(info: DatasetInfo) -> DatasetInfo:
    number = max(category.official_id for category in info.categories)
    categories = (
        *info.categories,
        Category("one more kind of stuff", False, (0, 0, 0), number + 1),
        Category("one more thing", True, (0, 0, 0), number + 2),
    )
    return DatasetInfo(info.name, categories, usual_ignore_index(len(categories)))


def _names(info: DatasetInfo) -> list[str]:
    return [category.name for category in info.categories]


def _rows_by_name(trained: DatasetInfo, info: DatasetInfo) -> dict[int, int]:
    """Class index here -> class index there, of the classes that both have."""
    return {
        index: trained.index_of_name[name]
        for name, index in info.index_of_name.items()
        if name in trained.index_of_name
    }


def _check_rows(source: str, name: str, count: int, trained: DatasetInfo) -> None:
    if count != trained.num_classes:
        raise DataError(
            f"{source}: {name} is for {count} classes, but {INFO_FILE} beside it names "
            f"{trained.num_classes}; take the file of the same training, or remove it"
        )


def _with_rows(
    there: np.ndarray, here: np.ndarray, axis: int, rows: Mapping[int, int]
) -> np.ndarray:
    """The fresh weight with the rows of another one in the places of their classes."""
    fresh = np.moveaxis(here.copy(), axis, 0)
    fresh[list(rows)] = np.moveaxis(there, axis, 0)[list(rows.values())]
    return np.moveaxis(fresh, 0, axis)


def _refuse_another_network(
    config: Any, source: str, weights: Mapping[str, np.ndarray], axes: Mapping[str, ClassAxis]
) -> None:
    """Refuse weights that differ in more than what depends on the classes."""
    report = compare(weights, config.model.state_dict())
    report = replace(
        report,
        misshapen=tuple(
            misfit
            for misfit in report.misshapen
            if misfit.name not in axes or not axes[misfit.name].fits(misfit.there, misfit.here)
        ),
    )
    if not report.complete:
        raise DataError(
            f"{source}: these weights are not of the network of {Path(config.path).stem}: "
            f"{report.differences(2)}; choose the configuration that they were trained with, or "
            "add --allow_partial to load what fits"
        )


def _tell(info: DatasetInfo, axes: Mapping[str, ClassAxis], rows: Mapping[int, int]) -> None:
    """Log what begins anew."""
    whole = [name for name, axis in axes.items() if not axis.is_row_per_class]
    names = _names(info)
    anew = [name for index, name in enumerate(names) if index not in rows]
    kept = [names[index] for index in rows]
    if len(whole) < len(axes):
        by_name = f"; the weights of {listed(kept, 5)} are loaded by name" if kept else ""
        told = listed(anew, 5) if anew else "no class"
        _log.warning("Classes to be trained anew: %s%s", told, by_name)
    if whole:
        _log.warning("Heads to be trained anew, for all classes: %s", listed(whole))
