"""Objects from a YAML file, each part built on first access.

`_base_` names files to build upon (dictionaries are merged, lists replaced, `_inherited_: false`
stops the merging), `type:` names a registered class and the keys beside it are its arguments.
Arguments that follow from the classes or the model (num_classes, thing_ids, align_corners, ...)
are filled in where a part takes them and the file does not set them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from paddleseg.cvlibs import manager
from paddleseg.utils import logger as paddleseg_log

from panoptic_deeplab import (  # noqa: F401  (importing a room registers its parts)
    datasets,
    evaluation,
    losses,
    models,
    postprocess,
    targets,
    transforms,
)
from panoptic_deeplab.config.checking import Checker, is_part, takes
from panoptic_deeplab.config.contracts import check_contracts
from panoptic_deeplab.config.files import (
    KeyPath,
    Tree,
    apply_override,
    dotted,
    merge,
    origin,
    override_layer,
    parse_override,
    read_layers,
)
from panoptic_deeplab.config.schedule import (
    LENGTHS,
    SCHEDULES,
    build_lr_scheduler,
    scaled,
    stretched,
    without_warmup,
)
from panoptic_deeplab.config.shipped import find_config
from panoptic_deeplab.config.upgrade import upgrade, upgrade_override
from panoptic_deeplab.errors import UsageError, reason_of
from panoptic_deeplab.preprocess import Preprocess
from panoptic_deeplab.registry import (
    BACKBONES,
    CRITERIA,
    DATASETS,
    EVALUATORS,
    MODELS,
    POSTPROCESSORS,
    TARGETS,
    TRANSFORMS,
)
from panoptic_deeplab.structures import DatasetInfo

_SECTIONS = {
    "batch_size": int,
    "iters": int,
    "recipe_batch_size": int,
    "name": str,
    "ignore_index": int,
    "categories": list,
    "train_dataset": dict,
    "val_dataset": dict,
    "preprocess": dict,
    "targets": dict,
    "model": dict,
    "criterion": dict,
    "optimizer": dict,
    "lr_scheduler": dict,
    "postprocessor": dict,
    "evaluators": list,
}

_KINDS = {
    "train_dataset": DATASETS.components_dict,
    "val_dataset": DATASETS.components_dict,
    "transforms": TRANSFORMS.components_dict,
    "targets": TARGETS.components_dict,
    "model": MODELS.components_dict,
    "backbone": BACKBONES.components_dict,
    "criterion": CRITERIA.components_dict,
    "optimizer": manager.OPTIMIZERS.components_dict,
    "lr_scheduler": SCHEDULES,
    "postprocessor": POSTPROCESSORS.components_dict,
    "evaluators": EVALUATORS.components_dict,
}

# What constructors, ours and Paddle's, raise for values they cannot work with.
_BAD_VALUES = (ArithmeticError, AssertionError, LookupError, MemoryError, TypeError, ValueError)

_DEFAULT_EVALUATORS = [{"type": "PanopticQuality"}, {"type": "SemanticIoU"}, {"type": "InstanceAP"}]


class Config:
    """The parts that one YAML file describes.

    Args:
        path: the file, or the name of a shipped configuration.
        opts: changes, each `a.b=value`; a number in the path is a place in a list.

    Raises:
        UsageError: the file is missing or not valid YAML, a key is unknown or a value of the wrong
            type; the message names the key, the file and the nearest known key.
    """

    def __init__(self, path: str | Path, opts: Sequence[str] = ()) -> None:
        path = find_config(path)
        self.path = str(path)
        layers = read_layers(path)
        overrides = [new for text in opts for new in upgrade_override(parse_override(text))]
        self._layers = [override_layer(overrides), *layers]
        self._checker = Checker(self._layers, _KINDS, filled={*self._facts, *LENGTHS.values()})
        written = merge(layers)
        self._checker.check_types(written, _SECTIONS)  # the upgrade moves keys between sections
        self.tree: Tree = upgrade(written, self.path)
        for override in overrides:
            apply_override(self.tree, override)
        self._check()

    @property
    def batch_size(self) -> int:
        """Samples of one forward pass on each process."""
        return self.tree.get("batch_size", 1)

    @property
    def iters(self) -> int:
        """Steps of the whole training."""
        return self.tree.get("iters", 1000)

    def recipe_factor(self, effective_batch_size: int) -> float:
        """Return the ratio of an effective batch size to the recipe's.

        The recipe's, `recipe_batch_size`, is what learning rate and iterations were set for; 1
        where the configuration does not say.
        """
        return effective_batch_size / self.tree.get("recipe_batch_size", effective_batch_size)

    def scale_recipe(self, factor: float) -> None:
        """Multiply the learning rate and divide the iterations by `factor`.

        The linear scaling rule of https://arxiv.org/abs/1706.02677.
        """
        self.tree["iters"] = max(1, round(self.iters / factor))
        self.tree["lr_scheduler"] = scaled(self._section("lr_scheduler"), factor)

    def for_iters(self, iters: int, rate_factor: float = 1) -> Config:
        """Return the same recipe for another number of steps, as a configuration of its own.

        Warm-up, milestones and decay of the learning rate keep their fraction of the training. No
        part of the new configuration is built yet.

        Args:
            iters: steps of the whole training.
            rate_factor: multiplies the learning rate.
        """
        twin = self._unbuilt()
        schedule = stretched(self._section("lr_scheduler"), iters / self.iters)
        if rate_factor != 1:
            schedule["learning_rate"] *= rate_factor
        twin.tree = copy.deepcopy(self.tree) | {"iters": iters, "lr_scheduler": schedule}
        return twin

    def for_classes(self, info: DatasetInfo) -> Config:
        """Return the same recipe for other classes, as a configuration of its own.

        No part of the new configuration is built yet.
        """
        twin = self._unbuilt()
        twin.info = info
        return twin

    def _unbuilt(self) -> Config:
        """Return a copy without the parts that are built already."""
        twin = copy.copy(self)
        for name, item in vars(Config).items():
            if isinstance(item, cached_property) and name != "info":  # may have been assigned
                vars(twin).pop(name, None)
        return twin

    @cached_property
    def info(self) -> DatasetInfo:
        """The classes of `categories:`, else of the training split.

        The classes of a checkpoint can be assigned before anything is built.
        """
        return self.classes_of("train_dataset" if "train_dataset" in self.tree else "val_dataset")

    def classes_of(self, split: str) -> DatasetInfo:
        """Return the classes of `categories:`, else of the data set that a section describes."""
        if "categories" in self.tree:
            own = {
                key: self.tree[key] for key in ("categories", "ignore_index") if key in self.tree
            }
            name = self.tree.get("name", Path(self.path).stem)
            return DatasetInfo.from_dict({"name": name} | own, f"{self.path}: categories")
        node = self._section(split)
        arguments = {key: value for key, value in node.items() if key != "type"}
        return DATASETS[node["type"]].describe(**arguments)

    @cached_property
    def model(self) -> Any:
        """The network with random weights; `pretrained` says where trained ones lie."""
        paddleseg_log.log_level = 1  # its backbones tell that nothing is loaded, which may be yet
        return self._build("model")

    @property
    def pretrained(self) -> dict[str, str]:
        """Weights to start from: attribute of the model ('' for the whole model) -> file or URL."""
        node = self._section("model")
        parts = {"": node} | {name: value for name, value in node.items() if is_part(value)}
        return {name: p["pretrained"] for name, p in parts.items() if p.get("pretrained")}

    @cached_property
    def preprocess(self) -> Preprocess:
        """The normalization that training, evaluation and export share."""
        with self._errors_at(("preprocess",)):
            return Preprocess(**self.tree.get("preprocess", {}))

    @cached_property
    def train_dataset(self) -> Any:
        """The training split, its samples transformed."""
        return self._build("train_dataset")

    @cached_property
    def val_dataset(self) -> Any:
        """The validation split, its samples transformed."""
        return self._build("val_dataset")

    @cached_property
    def val_transforms(self) -> list[Callable[..., Any]]:
        """The validation split's transforms, which prediction uses without the data set."""
        return self._value(
            self._section("val_dataset").get("transforms", []),
            "transforms",
            ("val_dataset", "transforms"),
        )

    @cached_property
    def targets(self) -> Callable[..., Any]:
        """The callable that adds the training targets to a sample."""
        return self._build("targets")

    @cached_property
    def criterion(self) -> Callable[..., Any]:
        """The callable from outputs and targets to named losses."""
        return self._build("criterion")

    @cached_property
    def postprocessor(self) -> Callable[..., Any]:
        """The callable from outputs and frames to predictions."""
        return self._build("postprocessor")

    @cached_property
    def evaluators(self) -> list[Any]:
        """The evaluators of a validation."""
        nodes = self.tree.get("evaluators", _DEFAULT_EVALUATORS)
        return self._value(nodes, "evaluators", ("evaluators",))

    @cached_property
    def lr_scheduler(self) -> Any:
        """The learning rate schedule over the iterations."""
        with self._errors_at(("lr_scheduler",)):
            return build_lr_scheduler(self._section("lr_scheduler"), self.iters)

    @cached_property
    def optimizer(self) -> Any:
        """The optimizer of the model's parameters."""
        factory = self._build("optimizer")
        model, schedule = self.model, self.lr_scheduler
        with self._errors_at(("optimizer",)):
            return factory(model, schedule)

    def to_yaml(self) -> str:
        """Return the whole configuration as one YAML text without `_base_`."""
        return yaml.safe_dump(self.tree, sort_keys=False, allow_unicode=True)

    def _section(self, name: str) -> Tree:
        if name not in self.tree:
            raise UsageError(f"{self.path}: has no section '{name}', which is needed here")
        return self.tree[name]

    def _build(self, section: str) -> Any:
        return self._make(self._section(section), section, (section,))

    def _make(self, node: Tree, kind: str, path: KeyPath) -> Any:
        """Build the object that a part's dictionary describes."""
        part = self._checker.part_class(node, kind, path)
        if len(path) == 1:
            self._check_class_count(node, path)
            self._check_thing_ids(node, path)
        arguments = {
            key: self._value(value, key, (*path, key))
            for key, value in node.items()
            if key not in ("type", "pretrained")
        }
        for name in takes(part):
            if name in self._facts and name not in arguments:
                arguments[name] = self._facts[name]()
        with self._errors_at(path):
            return part(**arguments)

    def _check_class_count(self, node: Tree, path: KeyPath) -> None:
        """Refuse a part made for another number of classes than the data set has."""
        given = node.get("num_classes")
        if given is not None and given != self.info.num_classes:
            where = (*path, "num_classes")
            raise UsageError(
                f"{origin(self._layers, where)}: '{dotted(where)}' is {given}, but the data set "
                f"{self.info.name} has {self.info.num_classes} classes; leave the key out"
            )

    def _check_thing_ids(self, node: Tree, path: KeyPath) -> None:
        """Refuse things that are no classes of the data set."""
        given = node.get("thing_ids", [])
        if len(set(given)) < len(given) or not set(given) <= set(range(self.info.num_classes)):
            where = (*path, "thing_ids")
            raise UsageError(
                f"{origin(self._layers, where)}: '{dotted(where)}' must be different class indices "
                f"in 0..{self.info.num_classes - 1}, got {given!r:.100}; leave the key out to take "
                f"the things of {self.info.name}"
            )

    @contextmanager
    def _errors_at(self, path: KeyPath) -> Iterator[None]:
        """Name the key whose values a part's constructor refuses."""
        where = f"{origin(self._layers, path)}: '{dotted(path)}'"
        try:
            yield
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        except _BAD_VALUES as error:
            reason = f"{type(error).__name__}: {reason_of(error, 300)}"
            raise UsageError(f"{where} cannot be made of these values ({reason})") from error

    def _value(self, value: Any, kind: str, path: KeyPath) -> Any:
        if is_part(value):
            return self._make(value, kind, path)
        if isinstance(value, list):
            return [self._value(item, kind, (*path, i)) for i, item in enumerate(value)]
        return value

    @cached_property
    def _facts(self) -> dict[str, Callable[[], Any]]:
        """Arguments that follow from the classes or from the model."""
        return {
            "info": lambda: self.info,
            "num_classes": lambda: self.info.num_classes,
            "thing_ids": lambda: self.info.thing_ids,
            "ignore_index": lambda: self.info.ignore_index,
            "align_corners": lambda: self._setting_of_model("align_corners"),
            "legacy_boxes": lambda: self._setting_of_model("legacy_boxes"),
        }

    def _setting_of_model(self, name: str) -> bool:
        """Return the model's own setting, which losses and post-processing have to share."""
        node = self._section("model")
        argument = takes(MODELS[node["type"]]).get(name)
        return node.get(name, argument.default if argument else False)

    def _check(self) -> None:
        check = self._checker
        check.check_sections(self.tree, _SECTIONS)
        for section, node in self.tree.items():
            if section == "evaluators":
                check.check_parts(node, section, (section,))
            elif section == "lr_scheduler":
                check.check_part(without_warmup(node), section, (section,))
            elif section == "preprocess":
                check.check_arguments(node, Preprocess, (section,))
            elif section in _KINDS:
                check.check_part(node, section, (section,))
        self._check_method()
        for key in ("batch_size", "iters", "recipe_batch_size"):
            if self.tree.get(key, 1) < 1:
                where = origin(self._layers, (key,))
                raise UsageError(f"{where}: '{key}' must be at least 1, got {self.tree[key]}")

    def _check_method(self) -> None:
        """Refuse a model with another method's targets, criterion or postprocessor."""
        parts = {
            section: self._checker.part_class(self.tree[section], section, (section,))
            for section in ("model", "targets", "criterion", "postprocessor")
            if section in self.tree
        }
        files = [layer.source for layer in self._layers]

        def later_of(*sections: str) -> str:
            return min((origin(self._layers, (name, "type")) for name in sections), key=files.index)

        check_contracts(parts, later_of)
