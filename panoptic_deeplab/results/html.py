"""One page of all images, to be opened in any browser: no server, no network."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import cv2
import numpy as np
from zlib_ng import zlib_ng

from panoptic_deeplab import viewer
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.file_names import readable
from panoptic_deeplab.files import as_json, replacing
from panoptic_deeplab.formats.images import encode_image
from panoptic_deeplab.id_maps import measure_ids
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import Rendered, ResultFormat
from panoptic_deeplab.results.journal import Record
from panoptic_deeplab.results.panoptic_files import listed_name
from panoptic_deeplab.structures import DatasetInfo, PanopticMap

if TYPE_CHECKING:
    from jinja2 import Template

MAX_EMBEDDED_BYTES = 64_000_000
"""Up to this size of all images the page holds them; else it reads the files beside it."""

MAX_SIDE = 4096
"""Pixels; of a larger image the page shows every second pixel, or every third and so on."""

_JPEG_QUALITY = 85
_CALL = b"receiveImage(", b");\n"
"""Around an image's JSON, to make a script of it: a page on a disk may run files, not read them."""


class Html(ResultFormat):
    """`html/index.html`, and what it shows of each image in `html/images/NAME.js`.

    Up to `MAX_EMBEDDED_BYTES` of images the page needs no other file; those beside it are what the
    next prediction makes the page of. Beyond, the page reads an image's file when it is shown.
    """

    lists = ("html/index.html",)

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        super().__init__(folder, info)
        self.categories = info.to_dict()["categories"]

    def files(self, key: str) -> list[str]:
        return [f"html/images/{key}.js"]

    def render(self, name: str, result: Result) -> Rendered:
        (path,) = self.files(name)
        content = _in_script(_shown(result)).encode().join(_CALL)
        return Rendered(
            {path: content}, {"title": listed_name(name, result), "bytes": len(content)}
        )

    def write_lists(self, records: Mapping[str, Record]) -> None:
        size = sum(record.entry["bytes"] for record in records.values())
        files = [self._file(record) for record in records.values()]
        paths = [self.folder / file for file in files]
        page = {
            "categories": self.categories,
            "images": [
                {"title": record.entry["title"], "file": quote(file.removeprefix("html/"))}
                for file, record in zip(files, records.values(), strict=True)
            ],
        }
        pieces = _template().generate(
            name=readable(self.info.name),
            count=len(records),
            page=_in_script(page),
            images=_contents(paths) if size <= MAX_EMBEDDED_BYTES else [],
        )
        with (
            replacing(self.folder / self.lists[0]) as temporary,
            temporary.open("w", encoding="utf-8") as file,
        ):
            file.writelines(pieces)

    def _file(self, record: Record) -> str:
        """Return an image's file, by the journal, which knows of none outside the folder."""
        if len(record.files) != 1:
            raise DataError(
                f"{self.folder}: the journal is damaged (expected one file of an image, got "
                f"{record.files!r:.100}); move it away or choose another --save_dir"
            )
        return record.files[0]


def _shown(result: Result) -> dict[str, Any]:
    """What the page shows of an image, in plain types."""
    step = -(-max(result.ids.shape) // MAX_SIDE)
    height, width = result.ids[::step, ::step].shape
    image = cv2.resize(
        np.ascontiguousarray(result.image),  # OpenCV takes no mirrored views
        (width, height),
        interpolation=cv2.INTER_AREA,
    )
    truth = result.ground_truth
    return {
        "width": width,
        "height": height,
        "image": f"data:image/jpeg;base64,{_base64(encode_image(image, '.jpg', _JPEG_QUALITY))}",
        **_map(result.prediction, step),
        "groundTruth": None if truth is None else _map(truth, step),
    }


def _map(panoptic: PanopticMap, step: int) -> dict[str, Any]:
    """Every `step`-th id, and the segments that have pixels, measured in all ids.

    The ids are 32-bit, least byte first, each row the exclusive or of itself and the row above,
    deflated: smaller than a PNG, written five times as fast, and read by a browser without a
    canvas, whose pixels some browsers blur for privacy.
    """
    rows = np.ascontiguousarray(panoptic.ids[::step, ::step], "<u4")
    changes = rows.copy()
    changes[1:] ^= rows[:-1]
    measures = measure_ids(panoptic.ids)
    areas = dict(zip(measures.ids.tolist(), measures.areas.tolist(), strict=True))
    segments = [
        {
            "id": segment.id,
            "category": segment.category,
            "score": segment.score,
            "area": areas[segment.id],
            "track_id": segment.track_id,
            "iscrowd": int(segment.iscrowd),
        }
        for segment in panoptic.segments
        if segment.id in areas
    ]
    return {"ids": _base64(zlib_ng.compress(changes)), "segments": segments}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _contents(paths: list[Path]) -> Iterator[str]:
    """Read the JSON of one image after the other from their scripts."""
    before, after = _CALL
    for path in paths:
        content = path.read_bytes().removeprefix(before).removesuffix(after)
        yield _without_tags(content.decode("utf-8", "replace"))


def _in_script(content: Any) -> str:
    """Make JSON that ends no `<script>`, whatever names it holds."""
    return _without_tags(as_json(content))


def _without_tags(json: str) -> str:
    return json.replace("<", "\\u003c")


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # here: few write a page

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    here = Path(__file__).parent
    environment.globals |= {
        "style": _text(viewer.FOLDER / "viewer.css", here / "page.css"),
        "script": _text(viewer.FOLDER / "viewer.js", here / "page.js"),
    }
    return environment.get_template("page.html")


def _text(*paths: Path) -> str:
    return "\n".join(path.read_text("utf-8") for path in paths)
