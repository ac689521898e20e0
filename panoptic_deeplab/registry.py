"""Where the parts of a method are found by the `type:` of a configuration.

The managers are PaddleSeg's kind. Backbones share PaddleSeg's own manager, so that all its
backbones can be named; the other parts follow this project's contracts and have their own.
"""

from __future__ import annotations

from paddleseg.cvlibs.manager import BACKBONES, ComponentManager

DATASETS = ComponentManager("datasets")
TRANSFORMS = ComponentManager("transforms")
TARGETS = ComponentManager("targets")
MODELS = ComponentManager("models")
CRITERIA = ComponentManager("criteria")
POSTPROCESSORS = ComponentManager("postprocessors")
EVALUATORS = ComponentManager("evaluators")

__all__ = [
    "BACKBONES",
    "CRITERIA",
    "DATASETS",
    "EVALUATORS",
    "MODELS",
    "POSTPROCESSORS",
    "TARGETS",
    "TRANSFORMS",
    "ComponentManager",
]
