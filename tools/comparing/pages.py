"""The comparison as JSON, as Markdown, and as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from comparing.errors import KINDS
from comparing.report import caveats, summary, tables
from panoptic_deeplab.files import replacing, write_json

TITLE = "Panoptic segmentation: a comparison"

_TEMPLATES = Path(__file__).parent / "templates"
_DEFINITIONS = {
    "missed": "not found, and none of the following",
    "merged": "one predicted instance holds most of it, and most of another one",
    "split": "it has fallen into two or more predicted instances",
    "wrong class": "found but for its class: a segment of another class has an IoU above 0.5",
    "bad mask": "a predicted segment of its class has an IoU above 0.1, but not above 0.5",
    "false": "predicted where there is none, and not the cause of a mistake above",
}


def write_pages(comparison: Mapping[str, Any], folder: Path) -> None:
    """Write `comparison.json`, `comparison.md` and `index.html`.

    Args:
        comparison: all results; `pictures` names files below the folder.
        folder: where to.
    """
    write_json(folder / "comparison.json", comparison, indent=2)
    for name in ("comparison.md", "index.html"):
        text = render(name, comparison, folder)
        with replacing(folder / name) as temporary:
            temporary.write_text(text, "utf-8")


def render(name: str, comparison: Mapping[str, Any], folder: Path) -> str:
    """Render a page.

    Args:
        name: of the template.
        comparison: all results.
        folder: holds the images that the comparison names.
    """
    return (
        _environment()
        .get_template(name)
        .render(
            title=TITLE,
            summary=summary(comparison),
            tables=tables(comparison),
            definitions={kind: _DEFINITIONS[kind] for kind in KINDS},
            caveats=caveats(comparison),
            images=[_shown(image, folder) for image in comparison["pictures"]],
            sources=_sources(comparison),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = _plain
    return environment


def _shown(image: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What a template shows of an image, its JPEG included."""
    content = base64.b64encode((folder / image["file"]).read_bytes()).decode("ascii")
    return {
        "image_id": str(image["image_id"]),
        "file": image["file"],
        "why": image["why"],
        "mistakes": _mistakes_text(image),
        "content": content,
    }


def _mistakes_text(image: Mapping[str, Any]) -> str:
    """Describe the quality and mistakes of each method on one image."""
    lines = []
    for name, quality in image["quality"].items():
        counts = image["mistakes"][name]
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no mistake"
        lines.append(f"{name}: {100 * quality:.0f}% ({kinds})")
    return "; ".join(lines) + "."


def _sources(comparison: Mapping[str, Any]) -> list[str]:
    """List the files that were compared, and the machine."""
    files = [
        f"{method['name']}: {method['config']} with the weights {method['weights']}"
        for method in comparison["methods"]
    ]
    machine = ", ".join(f"{key} {value}" for key, value in comparison["machine"].items())
    return [*files, f"Machine: {machine}"]


def _plain(text: str) -> str:
    """Escape a text for Markdown."""
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in text)
