"""YAML to objects: `Config` builds what a file describes, `find_config` finds the file."""

from typing import Any

from panoptic_deeplab.config.shipped import find_config, shipped_configs

__all__ = ["Config", "find_config", "shipped_configs"]


def __getattr__(name: str) -> Any:
    """Import `Config` when it is asked for: finding a file must not wait for Paddle."""
    if name == "Config":
        from panoptic_deeplab.config.config import Config

        return Config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
