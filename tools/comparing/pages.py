"""The comparison as JSON, as Markdown, and as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from comparing.errors import KINDS
from comparing.report import Table, caveats, summary, tables
from panoptic_deeplab.files import replacing, write_json

TITLE = "Panoptic segmentation: a comparison"

_DEFINITIONS = {
    "missed": "not found, and none of the following",
    "merged": "one predicted instance holds most of it, and most of another one",
    "split": "it has fallen into two or more predicted instances",
    "wrong class": "found but for its class: a segment of another class has an IoU above 0.5",
    "bad mask": "a predicted segment of its class has an IoU above 0.1, but not above 0.5",
    "false": "predicted where there is none, and no reason of a mistake above",
}


def write_pages(comparison: Mapping[str, Any], folder: Path) -> None:
    """Writes `comparison.json`, `comparison.md` and `index.html`.

    Args:
        comparison: everything; `pictures` name files below the folder.
        folder: where to.
    """
    write_json(folder / "comparison.json", comparison, indent=2)
    contents = [(folder / picture["file"]).read_bytes() for picture in comparison["pictures"]]
    for name, text in (
        ("comparison.md", markdown(comparison)),
        ("index.html", html(comparison, contents)),
    ):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, "utf-8")


def markdown(comparison: Mapping[str, Any]) -> str:
    """The comparison as Markdown, its pictures beside it."""
    parts = [f"# {TITLE}", summary(comparison)]
    for table in tables(comparison):
        parts += [f"## {table.title}", _plain(table.note), _markdown_table(table)]
    parts += ["## Kinds of mistakes", _markdown_list(f"**{k}**: {_DEFINITIONS[k]}" for k in KINDS)]
    parts.append("## What this tells, and what it does not")
    parts.append(_markdown_list(map(_plain, caveats(comparison))))
    parts.append("## Pictures")
    for picture in comparison["pictures"]:
        parts.append(f"### {_plain(picture['image_id'])}")
        parts.append(f"{_plain(picture['why'])}. {_plain(told_mistakes(picture))}")
        parts.append(f"![{_plain(picture['image_id'])}]({picture['file']})")
    return "\n\n".join(parts) + "\n"


def told_mistakes(picture: Mapping[str, Any]) -> str:
    """Of one image the quality and mistakes of each method."""
    lines = []
    for name, quality in picture["quality"].items():
        counts = picture["mistakes"][name]
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no mistake"
        lines.append(f"{name}: {100 * quality:.0f}% ({kinds})")
    return "; ".join(lines) + "."


def html(comparison: Mapping[str, Any], pictures: Sequence[bytes]) -> str:
    """The page.

    Args:
        comparison: everything.
        pictures: the JPEG of each of its pictures.
    """
    sections = [
        f"<header><h1>{TITLE}</h1><p>{escape(summary(comparison))}</p></header>",
        *(_html_table(table) for table in tables(comparison)),
        _section("Kinds of mistakes", _html_definitions()),
        _section("What this tells, and what it does not", _html_list(caveats(comparison))),
        _section("Pictures", "".join(map(_html_picture, comparison["pictures"], pictures))),
        _section("How", _html_list(_sources(comparison))),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{TITLE}</title><style>{_STYLE}</style></head><body><main>\n"
        + "\n".join(sections)
        + "\n</main></body></html>\n"
    )


def _plain(text: str) -> str:
    """A text that Markdown takes as it is."""
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in text)


def _markdown_list(items: Any) -> str:
    return "\n".join(f"- {item}" for item in items)


def _markdown_table(table: Table) -> str:
    lines = [list(map(_plain, table.header)), ["---", *["---:"] * (len(table.header) - 1)]]
    for number, row in enumerate(table.rows):
        best = table.best[number] if table.best else []
        lines.append(
            [f"**{_plain(c)}**" if place in best else _plain(c) for place, c in enumerate(row)]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in table.header)
    head += "<th></th>" if table.bars else ""
    body = "".join(_html_row(table, number) for number in range(len(table.rows)))
    return _section(
        table.title,
        f'<p class="note">{escape(table.note)}</p><div class="scroll"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>",
    )


def _html_row(table: Table, number: int) -> str:
    name, *cells = table.rows[number]
    best = table.best[number] if table.best else []
    told = "".join(
        f'<td class="best">{escape(cell)}</td>' if place in best else f"<td>{escape(cell)}</td>"
        for place, cell in enumerate(cells, start=1)
    )
    bar = _html_bar(table.bars[number]) if table.bars else ""
    return f'<tr><th scope="row">{escape(name)}</th>{told}{bar}</tr>'


def _html_bar(value: float) -> str:
    """A bar from the middle to the right, or for negative values to the left."""
    width = 50 * min(abs(value), 1)
    left, kind = (50, "ahead") if value >= 0 else (50 - width, "behind")
    return (
        '<td class="bars"><span class="axis"><span class="bar '
        f'{kind}" style="left:{left:.1f}%;width:{width:.1f}%"></span></span></td>'
    )


def _html_definitions() -> str:
    pairs = (f"<dt>{escape(kind)}</dt><dd>{escape(_DEFINITIONS[kind])}</dd>" for kind in KINDS)
    return f"<dl>{''.join(pairs)}</dl>"


def _html_list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _html_picture(picture: Mapping[str, Any], content: bytes) -> str:
    source = "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")
    name = escape(str(picture["image_id"]))
    return (
        f'<figure><figcaption><strong>{name}</strong> <span class="note">'
        f"{escape(picture['why'])}</span><br>{escape(told_mistakes(picture))}</figcaption>"
        f'<img alt="{name}: input, truth, and the result of each method" loading="lazy" '
        f'src="{source}"></figure>'
    )


def _sources(comparison: Mapping[str, Any]) -> list[str]:
    """Which files were compared, and on what."""
    files = [
        f"{method['name']}: {method['config']} with the weights {method['weights']}"
        for method in comparison["methods"]
    ]
    machine = ", ".join(f"{key} {value}" for key, value in comparison["machine"].items())
    return [*files, f"Machine: {machine}"]


_STYLE = """
:root{color-scheme:light dark;--paper:#fbfbf9;--card:#fff;--ink:#22252b;--faint:#686d76;
--line:#e2e3e0;--best:#0b6b4f;--ahead:#2f7ed8;--behind:#d2691e}
@media(prefers-color-scheme:dark){:root{--paper:#15171a;--card:#1d2024;--ink:#e6e8eb;
--faint:#9aa0a8;--line:#33373d;--best:#5fd3a8;--ahead:#6aa9f0;--behind:#f0a05a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1100px;margin:0 auto;padding:2rem 1.2rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.15rem;margin:0 0 .4rem}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:1.1rem 1.3rem;margin-top:1.2rem}
.note{color:var(--faint);font-size:.92rem;margin:.1rem 0 .7rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.32rem .7rem;text-align:right;border-bottom:1px solid var(--line)}
thead th{color:var(--faint);font-weight:600;font-size:.88rem;vertical-align:bottom}
th:first-child{text-align:left;font-weight:500}
tbody tr:last-child>*{border-bottom:0}
td.best{color:var(--best);font-weight:700}
td.bars{width:26%;min-width:120px}
.axis{position:relative;display:block;height:.8rem;
background:linear-gradient(var(--line),var(--line)) 50%/1px 100% no-repeat}
.bar{position:absolute;top:.1rem;bottom:.1rem;border-radius:2px}
.ahead{background:var(--ahead)}.behind{background:var(--behind)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:.4rem 0 0}
dt{font-weight:600}dd{margin:0}
ul{margin:.3rem 0 0;padding-left:1.2rem}li{margin:.3rem 0;overflow-wrap:anywhere}
figure{margin:1rem 0 1.6rem}figcaption{margin-bottom:.4rem;font-size:.95rem}
img{width:100%;height:auto;border-radius:6px;display:block;background:#fff}
"""
