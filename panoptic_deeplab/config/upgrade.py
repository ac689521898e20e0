"""Configurations of PaddleSeg's contrib/PanopticDeepLab in today's form."""

from __future__ import annotations

from typing import Any

from panoptic_deeplab.config.files import Override, Tree
from panoptic_deeplab.errors import UsageError

_TARGET_KEYS = ("ignore_stuff_in_offset", "small_instance_area", "small_instance_weight")
_DATASETS = ("train_dataset", "val_dataset")
_RENAMED = {"hardest_share": "top_k_percent_pixels"}
_PROCESSES = 8  # of the published trainings
_OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}
_KEYS = {
    "loss.coef.0": "criterion.semantic_weight",
    "loss.coef.1": "criterion.center_weight",
    "loss.coef.2": "criterion.offset_weight",
    "loss.types.0.top_k_percent_pixels": "criterion.top_k_percent_pixels",
    "learning_rate.value": "lr_scheduler.learning_rate",
    "learning_rate.decay.power": "lr_scheduler.power",
    "learning_rate.decay.end_lr": "lr_scheduler.end_lr",
    "val_dataset.stuff_area": "postprocessor.min_stuff_area",
    **{f"train_dataset.{key}": f"targets.{key}" for key in _TARGET_KEYS},
    **{f"criterion.{old}": f"criterion.{new}" for old, new in _RENAMED.items()},
}
"""Dotted key of the old form -> key of today's."""


def upgrade(tree: Tree, source: str) -> Tree:
    """Return a configuration of the old form in today's form.

    - target keys of the data sets become the `targets` section;
    - `stuff_area` becomes the postprocessor's `min_stuff_area`;
    - the transform Normalize becomes `preprocess`, padding values go (padding is always void, and
      0 after normalization);
    - `loss` with its three types and coefficients becomes one `criterion`;
    - `learning_rate` with a poly decay becomes an `lr_scheduler`;
    - the optimizers' old names become the registered ones;
    - former names of the criterion's keys become today's;
    - `recipe_batch_size` becomes the published training's, on eight processes.

    A tree in today's form is returned equal. `tree` is not changed.

    Raises:
        UsageError: an old section has content that today's form cannot express.
    """
    tree = dict(tree)
    old_form = "loss" in tree
    for name in _DATASETS:
        if isinstance(tree.get(name), dict):
            tree |= _split_dataset(tree, name, source)
    if old_form:
        tree.setdefault("recipe_batch_size", _PROCESSES * tree.get("batch_size", 1))
        tree["criterion"] = _criterion(tree.pop("loss"), source)
        tree.setdefault("targets", {"type": "CenterOffsetTargets"})
        tree.setdefault("postprocessor", {"type": "CenterGrouping"})
    if "learning_rate" in tree:
        tree["lr_scheduler"] = _lr_scheduler(tree.pop("learning_rate"), source)
    if isinstance(tree.get("optimizer"), dict):
        tree["optimizer"] = _optimizer(tree["optimizer"])
    if isinstance(tree.get("criterion"), dict):
        tree["criterion"] = {_RENAMED.get(key, key): v for key, v in tree["criterion"].items()}
    return tree


def upgrade_override(override: Override) -> list[Override]:
    """Return an override that names a key of the old form as overrides of today's keys.

    >>> upgrade_override((["loss", "coef"], [1, 200, 0.1]))[2]
    (['criterion', 'offset_weight'], 0.1)
    """
    keys, value = override
    if keys == ["loss", "coef"] and isinstance(value, list):
        items = [([*keys, str(i)], item) for i, item in enumerate(value)]
        return [upgraded for item in items for upgraded in upgrade_override(item)]
    return [(_KEYS.get(".".join(keys), ".".join(keys)).split("."), value)]


def _split_dataset(tree: Tree, name: str, source: str) -> Tree:
    """Return the sections that the keys of a data set belong to today, the data set among them.

    The training split decides the targets, the validation split the post-processing.
    """
    dataset = dict(tree[name])
    changed: Tree = {name: dataset}
    target_keys = {key: dataset.pop(key) for key in _TARGET_KEYS if key in dataset}
    if target_keys and (name == "train_dataset" or "targets" not in tree):
        old_defaults = {
            "ignore_stuff_in_offset": False,
            "small_instance_area": 0,
            "small_instance_weight": 1,
        }
        given = tree.get("targets", {"type": "CenterOffsetTargets"})
        changed["targets"] = {"type": "CenterOffsetTargets"} | old_defaults | target_keys | given
    if "stuff_area" in dataset:
        area = dataset.pop("stuff_area")
        postprocessor = {"type": "CenterGrouping"} | tree.get("postprocessor", {})
        changed["postprocessor"] = postprocessor | {"min_stuff_area": area}
    if isinstance(dataset.get("transforms"), list):
        dataset["transforms"] = [
            _without_padding_values(item, source)
            for item in dataset["transforms"]
            if not _is(item, "Normalize")
        ]
        normalize = [item for item in tree[name]["transforms"] if _is(item, "Normalize")]
        for item in normalize:
            mean_std = {key: value for key, value in item.items() if key != "type"}
            changed["preprocess"] = tree.get("preprocess", {}) | mean_std
    return changed


def _is(item: Any, name: str) -> bool:
    return isinstance(item, dict) and item.get("type") == name


def _without_padding_values(item: Any, source: str) -> Any:
    if not (_is(item, "RandomPaddingCrop") or _is(item, "Padding")):
        return item
    label = item.get("label_padding_value", 0)
    if label not in (0, [0, 0, 0]):
        raise UsageError(
            f"{source}: label_padding_value must be [0, 0, 0], which is void; got {label!r:.100}"
        )
    values = ("label_padding_value", "im_padding_value")
    return {key: value for key, value in item.items() if key not in values}


def _criterion(loss: Any, source: str) -> Tree:
    """Return the three losses of the old form as one; other types or orders are refused."""
    try:
        semantic, center, offset = loss["types"]
        weights = [float(value) for value in loss["coef"]]
        kinds = (semantic["type"], center["type"], offset["type"])
        top_k = semantic.get("top_k_percent_pixels", 1.0)
        extra = {*semantic} - {"type", "top_k_percent_pixels", "ignore_index"}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{source}: 'loss' needs three 'types' and three numbers under 'coef', got "
            f"{loss!r:.200}"
        ) from error
    if kinds != ("CrossEntropyLoss", "MSELoss", "L1Loss") or len(weights) != 3 or extra:
        raise UsageError(
            f"{source}: 'loss' must have the types CrossEntropyLoss (top_k_percent_pixels), "
            f"MSELoss, L1Loss and three coef; got {loss!r:.200}. Other losses: write 'criterion'"
        )
    return {
        "type": "PanopticDeepLabLoss",
        "top_k_percent_pixels": top_k,
        "semantic_weight": weights[0],
        "center_weight": weights[1],
        "offset_weight": weights[2],
    }


def _lr_scheduler(learning_rate: Any, source: str) -> Tree:
    try:
        value, decay = learning_rate["value"], dict(learning_rate["decay"])
        kind = decay.pop("type")
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{source}: 'learning_rate' needs 'value' and 'decay' with a 'type', got "
            f"{learning_rate!r:.200}"
        ) from error
    if kind != "poly":
        raise UsageError(
            f"{source}: decay type '{kind}' is not supported in this old form, only 'poly'; write "
            "'lr_scheduler' with a class of paddle.optimizer.lr"
        )
    return {"type": "PolynomialDecay", "learning_rate": value} | decay


def _optimizer(optimizer: Tree) -> Tree:
    name = optimizer.get("type")
    optimizer = optimizer | {"type": _OPTIMIZERS.get(str(name), name)}
    if optimizer["type"] == "SGD" and "momentum" in optimizer:
        optimizer["type"] = "Momentum"
    return optimizer
