"""Classes that weights were trained for: the file beside them, and the check against others."""

from __future__ import annotations

from pathlib import Path

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.structures import DatasetInfo

INFO_FILE = "dataset_info.json"
_MAX_BYTES = 16 << 20


def read_info_beside(weights: str | Path) -> DatasetInfo | None:
    """Read the classes that a checkpoint was trained for, None where no file names them.

    Raises:
        DataError: the file is larger than any list of classes, or none.
    """
    weights = Path(weights)
    path = (weights if weights.is_dir() else weights.parent) / INFO_FILE
    if not path.exists():
        return None
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(f"{path}: expected a list of classes, of at most {_MAX_BYTES >> 20} MB")
    return DatasetInfo.from_dict(read_json(path), str(path))


def refuse_other_classes(weights: str | Path, info: DatasetInfo, hint: str) -> None:
    """Refuse to use a checkpoint for other classes than it was trained for.

    Args:
        weights: a file of weights or the folder of a checkpoint; nothing is refused where no file
            beside it names its classes.
        info: the classes wanted.
        hint: what the user can do, for the message.

    Raises:
        DataError: number or names of the classes differ.
    """
    trained = read_info_beside(weights)
    if trained is not None:
        refuse_difference(str(weights), trained, info, hint)


def refuse_difference(what: str, trained: DatasetInfo, info: DatasetInfo, hint: str) -> None:
    """Refuse classes that differ in number or names from those of a data set.

    Args:
        what: name of the trained model, for the message.
        trained: the classes it was trained for.
        info: the classes wanted.
        hint: what the user can do, for the message.

    Raises:
        DataError: they differ.
    """
    there, here = (
        [category.name for category in classes.categories] for classes in (trained, info)
    )
    if there == here:
        return
    if len(there) != len(here):
        difference = f"{len(there)} classes ({trained.name}), the data set here has {len(here)}"
    else:
        index = next(
            i for i, (one, other) in enumerate(zip(there, here, strict=True)) if one != other
        )
        difference = (
            f"other classes: class {index} is {there[index]!r} there and {here[index]!r} in "
            f"{info.name}"
        )
    raise DataError(f"{what}: was trained for {difference}; {hint}")
