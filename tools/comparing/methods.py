"""The methods that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import UsageError


@dataclass(frozen=True)
class Method:
    """One of the methods to compare.

    Attributes:
        name: the configuration's file name, made unique.
        config: with all changes.
        opts: these changes.
        weights: where they are given.
    """

    name: str
    config: Config
    opts: tuple[str, ...]
    weights: Path | None


def read_methods(
    configs: Sequence[str],
    weights: Sequence[Path] | None,
    dataset_root: Path | None,
    opts: Sequence[str],
) -> list[Method]:
    """One method for each configuration.

    Args:
        configs: path or name of each.
        weights: of each, None where they are to be trained.
        dataset_root: the data set of all, None for their own.
        opts: changes to all, each `a.b=value`.
    """
    methods: list[Method] = []
    for path, own_weights in zip(configs, weights or [None] * len(configs), strict=True):
        changes = tuple(opts)
        if dataset_root is not None:
            present = Config(path).tree.keys() & {"train_dataset", "val_dataset"}
            changes += tuple(f"{name}.dataset_root={dataset_root}" for name in sorted(present))
        name = unique_name(Path(path).stem, [method.name for method in methods])
        methods.append(Method(name, Config(path, changes), changes, own_weights))
    return methods


def unique_name(name: str, taken: Sequence[str]) -> str:
    """`name`, or `name-2` and so on where it is taken."""
    names = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 2))]
    return next(name for name in names if name not in taken)


def refuse_other_data(methods: Sequence[Method]) -> None:
    """Refuse methods that are validated on other images or classes than the first one."""
    first = methods[0]
    for method in methods[1:]:
        for what, one, other in zip(
            ("classes", "images"), data_of(first), data_of(method), strict=True
        ):
            if one != other:
                raise UsageError(
                    f"{method.config.path}: validates on other {what} than {first.config.path}; "
                    "compare on the same data (--dataset_root, --opts val_dataset...)"
                )


def data_of(method: Method) -> tuple[list[tuple[str, bool]], list[str]]:
    """Classes and images of the validation split."""
    config = method.config
    classes = config.classes_of("val_dataset").categories
    records = config.val_dataset.records
    return [(c.name, c.is_thing) for c in classes], [record.image_id for record in records]
