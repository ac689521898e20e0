"""README and docs show what works: their commands and their Python are run on small scenes."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from drawn_videos import write_video

from panoptic_deeplab.cli import predict, train, val
from panoptic_deeplab.cli.main import build_parser, main
from panoptic_deeplab.config import find_config

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SCRIPTS = {"train.py": train, "val.py": val, "predict.py": predict}
SMALLER = {
    "tools/make_scenes.py": ["--height", "64", "--width", "128", "--train", "4", "--val", "2"],
    "train": ["--iters", "2"],
}
"""What is added to a command so that it takes a second; everything else is README's."""


def code_blocks(page: Path, language: str) -> list[str]:
    """The texts of all code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The words of all commands in shell blocks, comments left out."""
    lines = "".join(code_blocks(page, "shell")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run(words: list[str]) -> None:
    """Run a command in this process, in the current folder."""
    if words[0] == "panoptic-deeplab":
        assert main([*words[1:], *SMALLER.get(words[1], [])]) == 0
        return
    assert words[0] == "python"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*words[1:], *SMALLER.get(words[1], [])])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
    assert end.value.code == 0


def test_the_chinese_readme_has_the_same_commands() -> None:
    assert commands(ROOT / "README_CN.md") == commands(ROOT / "README.md")


def test_readme_and_the_page_on_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chapters first: they make the scenes, one of which is the street."""
    monkeypatch.chdir(tmp_path)
    first, video, *chapters = (
        words for words in commands(ROOT / "README.md") if words[0] not in ("make", "source")
    )
    chapters.remove(["panoptic-deeplab", "--help"])
    run(chapters.pop(0))
    image = next(tmp_path.glob("data/scenes/leftImg8bit/val/*/*.png"))
    shutil.copyfile(image, tmp_path / "street.jpg")
    shutil.copytree(image.parent, tmp_path / "images")
    write_video(tmp_path / "drive.mp4", 2)
    for words in (*chapters, first, video):
        run(words)
    for page in (ROOT / "README.md", ROOT / "docs" / "python.md"):
        exec(compile("\n".join(code_blocks(page, "python")), str(page), "exec"), {})
    assert {"street_overlay.png", "street.json"} <= {
        p.name for p in Path("output/street").iterdir()
    }


def shown_commands(page: Path) -> list[str]:
    """Commands of this project in the page, those with a placeholder left out."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]
    indented = [line.strip() for line in text.splitlines()]
    launcher = r"(?:python -m paddle\.distributed\.launch |python )"
    command = re.compile(rf"(?:panoptic-deeplab|{launcher}(?:train|val|predict)\.py) .*")
    found = {line.partition(" #")[0] for line in [*inline, *indented] if command.fullmatch(line)}
    return sorted(
        line for line in found if len(line.split()) > 2 and not {"...", "VERB"} & {*line.split()}
    )


SHOWN = [(page.name, command) for page in PAGES for command in shown_commands(page)]


@pytest.mark.parametrize(("page", "command"), SHOWN, ids=lambda text: text[:60])
def test_every_command_that_is_shown_is_one(page: str, command: str) -> None:
    words = shlex.split(command.removeprefix("python -m paddle.distributed.launch "))
    words = words[1:] if words[0] == "python" else words
    if words[0] in SCRIPTS:
        words = ["panoptic-deeplab", words[0].removesuffix(".py"), *words[1:]]
    config = getattr(build_parser().parse_args(words[1:]), "config", None)
    is_placeholder = config == str(config).upper()
    assert config is None or is_placeholder or find_config(config).is_file()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)\)", path.read_text("utf-8"))
    missing = [t for t in targets if "://" not in t and not (path.parent / t).exists()]
    assert missing == []
