"""The house keeps its order: each room imports only what it may know of.

sample -> transforms -> targets -> Preprocess -> model -> criterion (training)
                                                       -> postprocessor -> evaluators, pictures
"""

from __future__ import annotations

import ast
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "panoptic_deeplab"

MAY_IMPORT = {
    "addresses": {"errors"},
    "errors": set(),
    "id_maps": set(),
    "file_kinds": set(),
    "file_names": {"errors"},
    "files": {"file_kinds", "errors", "file_names", "progress"},
    "yaml_files": {"errors", "files"},
    "folder_lock": {"errors", "files"},
    "structures": {"errors", "file_names"},
    "environment": {"errors"},
    "late_imports": set(),
    "process": set(),
    "device": set(),
    "parallel": {"progress"},
    "batching": set(),
    "progress": set(),
    "text_table": set(),
    "stopwatch": {"text_table"},
    "registry": set(),
    "notices": set(),
    "formats": {
        "errors",
        "file_kinds",
        "file_names",
        "files",
        "id_maps",
        "notices",
        "progress",
        "structures",
    },
    "datasets": {
        "errors",
        "file_names",
        "files",
        "formats",
        "id_maps",
        "notices",
        "progress",
        "registry",
        "structures",
    },
    "transforms": {"errors", "registry", "structures"},
    "targets": {"errors", "registry", "id_maps", "structures"},
    "normalization": {"errors"},
    "preprocess": {"normalization", "structures"},
    "resample": set(),
    "models": {"device", "errors", "registry", "resample"},
    "losses": {"device", "errors", "registry", "resample"},
    "fusion": {"errors", "structures", "tiles"},
    "grouping_settings": {"errors"},
    "deployment": {
        "errors",
        "files",
        "grouping_settings",
        "normalization",
        "structures",
        "yaml_files",
    },
    "tiles": {"errors"},
    "views": {"errors", "structures"},
    "postprocess": {
        "errors",
        "fusion",
        "grouping_settings",
        "registry",
        "resample",
        "structures",
        "views",
    },
    "evaluation": {
        "errors",
        "file_names",
        "files",
        "formats",
        "notices",
        "parallel",
        "progress",
        "registry",
        "id_maps",
        "structures",
        "text_table",
    },
    "tracking": {"errors", "id_maps", "structures"},
    "visualization": {"errors", "id_maps", "structures"},
    "viewer": set(),
    "result": {"errors", "files", "formats", "structures", "text_table", "visualization"},
    "results": {
        "errors",
        "file_names",
        "files",
        "folder_lock",
        "formats",
        "id_maps",
        "process",
        "progress",
        "result",
        "stopwatch",
        "structures",
        "viewer",
        "visualization",
    },
    "video": {"addresses", "errors"},
    "weights": {
        "addresses",
        "errors",
        "file_kinds",
        "files",
        "folder_lock",
        "formats",
        "progress",
        "structures",
    },
    "convert": {
        "errors",
        "file_names",
        "files",
        "folder_lock",
        "formats",
        "parallel",
        "progress",
        "id_maps",
        "structures",
        "yaml_files",
    },
    "check": {
        "config",
        "datasets",
        "errors",
        "files",
        "formats",
        "parallel",
        "progress",
        "registry",
        "id_maps",
        "structures",
        "text_table",
        "visualization",
    },
    "engine": {
        "batching",
        "device",
        "environment",
        "errors",
        "evaluation.report",  # the shape of results, no measure
        "files",
        "folder_lock",
        "formats",
        "fusion.tile_joining",  # any method's predictions
        "parallel",
        "preprocess",
        "process",
        "progress",
        "stopwatch",
        "structures",
        "tiles",
        "tracking",
        "views",
        "visualization",
        "weights",
        "yaml_files",
    },
    "runtimes": {
        "deployment",
        "errors",
        "files",
        "postprocess.tensor_grouping",
        "preprocess",
        "process",
        "structures",
        "weights",
    },
    "export": {
        "deployment",
        "engine.predictor",
        "errors",
        "files",
        "folder_lock",
        "formats",
        "grouping_settings",
        "inference.exported",
        "inference.exported_network",
        "inference.options",
        "inference.sources",
        "normalization",
        "preprocess",
        "progress",
        "runtimes",
        "structures",
        "web_page",
        "weights",
    },
    "web_page": {"structures", "viewer"},
    "serving": {
        "deployment",
        "errors",
        "files",
        "formats",
        "inference.memory",
        "structures",
        "web_page",
    },
    "inference": {
        "registry",
        "addresses",
        "batching",
        "config",
        "deployment",
        "device",
        "engine",
        "environment",
        "errors",
        "file_kinds",
        "file_names",
        "files",
        "folder_lock",
        "formats",
        "fusion.tile_joining",
        "parallel",
        "postprocess",
        "preprocess",
        "process",
        "progress",
        "result",
        "results",
        "runtimes",
        "stopwatch",
        "structures",
        "tiles",
        "tracking",
        "transforms",
        "video",
        "views",
        "visualization",
        "weights",
    },
    "many_machines": {
        "batching",
        "engine.interruption",
        "errors",
        "file_names",
        "files",
        "folder_lock",
        "formats",
        "inference",
        "parallel",
        "progress",
        "results",
        "stopwatch",
        "structures",
    },
    "ros": {
        "engine.interruption",
        "errors",
        "files",
        "formats",
        "inference.memory",
        "progress",
        "result",
        "structures",
        "tracking",
        "visualization",
    },
    "learners": {
        "config",
        "convert.prepare_opendr",
        "datasets",
        "device",
        "engine",
        "errors",
        "evaluation",
        "files",
        "formats",
        "id_maps",
        "inference",
        "result",
        "structures",
        "visualization",
        "weights",
    },
    "config": {
        "datasets",
        "errors",
        "evaluation",
        "losses",
        "models",
        "postprocess",
        "preprocess",
        "registry",
        "structures",
        "targets",
        "transforms",
        "yaml_files",
    },
}
"""The command line, in `cli` and `__main__`, may import everything."""


def test_no_arrow_runs_upward() -> None:
    """The rooms can be stacked so that each imports only from below: the table has no circle."""
    below = {room: {name.split(".")[0] for name in rooms} for room, rooms in MAY_IMPORT.items()}
    list(TopologicalSorter(below).static_order())


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms of ours that a file imports, dotted where it names a part of one."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= (
                {f"panoptic_deeplab.{alias.name}" for alias in node.names}
                if node.module == "panoptic_deeplab"
                else {node.module}
            )
    ours = {name.removeprefix("panoptic_deeplab.") for name in names if "panoptic_deeplab." in name}
    return {name for name in ours if name.split(".")[0] != room_of(path)}


FILES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if room_of(path) not in ("__init__", "__main__", "cli")
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    allowed = MAY_IMPORT[room_of(path)]
    too_much = {
        name
        for name in imported_rooms(path)
        if name not in allowed and name.split(".")[0] not in allowed
    }
    assert not too_much


def test_every_room_is_in_the_table() -> None:
    assert {room_of(path) for path in FILES} == set(MAY_IMPORT)


ENGINE_WORDS = ("center", "offset", "semantic_loss", "cityscapes", "coco_panoptic", "deeplab(")


@pytest.mark.parametrize("path", sorted((PACKAGE / "engine").glob("*.py")), ids=lambda p: p.name)
def test_the_engine_knows_no_method_and_no_data_set(path: Path) -> None:
    text = path.read_text("utf-8").lower()
    assert not [word for word in ENGINE_WORDS if word in text]


def test_no_two_files_of_tests_have_one_name() -> None:
    """Pytest imports them by name and collects none where two are equal."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]
