"""Registries of the parts that the `type:` of a configuration names.

They are component managers of PaddleSeg. Backbones share PaddleSeg's own, so that a configuration
can name all its backbones; the other parts follow this project's contracts and have their own.
"""

from __future__ import annotations

from paddleseg.cvlibs.manager import BACKBONES, ComponentManager

DATASETS = ComponentManager("datasets")
TRANSFORMS = ComponentManager("transforms")
TARGETS = ComponentManager("targets")
MODELS = ComponentManager("models")
INSTANCE_FINDERS = ComponentManager("instance_finders")
CRITERIA = ComponentManager("criteria")
POSTPROCESSORS = ComponentManager("postprocessors")
EVALUATORS = ComponentManager("evaluators")

__all__ = [
    "BACKBONES",
    "CRITERIA",
    "DATASETS",
    "EVALUATORS",
    "INSTANCE_FINDERS",
    "MODELS",
    "POSTPROCESSORS",
    "TARGETS",
    "TRANSFORMS",
    "ComponentManager",
]
