"""`--help` of every command fits a terminal, has an example that works, and comes at once."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panoptic_deeplab import __version__
from panoptic_deeplab.cli.main import VERBS, build_parser, main
from panoptic_deeplab.cli.parser import Parser

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in (".", "tools", "tools/deploy")
    for path in (ROOT / folder).glob("*.py")
    if "__main__" in path.read_text()
)
BLOCK = (
    "import sys; sys.modules.update(dict.fromkeys(['paddle', 'paddleseg', 'numpy', 'cv2', 'onnx']))"
)
RUN = "import runpy; script = sys.argv.pop(1); sys.path.insert(0, script.rpartition('/')[0]); "
RUN_SCRIPT = f"{BLOCK}; {RUN} runpy.run_path(script, run_name='__main__')"
RUN_COMMAND = f"{BLOCK}; from panoptic_deeplab.cli.main import main; sys.exit(main())"


def all_parsers(parser: Parser) -> Iterator[Parser]:
    """The command, its verbs and their commands."""
    yield parser
    for command in parser.commands.values():
        yield from all_parsers(command)


COMMANDS = [parser.prog for parser in all_parsers(build_parser())]


def help_of(*command: str) -> str:
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", *command, "--help"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_of_a_script_is_light_and_fits_80_columns(script: str) -> None:
    lines = help_of(RUN_SCRIPT, script).splitlines()
    assert lines[0].startswith(f"usage: {Path(script).name} ")
    assert [line for line in lines if len(line) > 80] == []


def test_every_verb_has_help() -> None:
    assert COMMANDS[0] == "panoptic-deeplab"
    assert {command.split()[1] for command in COMMANDS[1:]} == set(VERBS)
    assert "panoptic-deeplab weights convert" in COMMANDS
    assert "panoptic-deeplab convert from-labelme" in COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns_and_its_example_can_be_copied(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([*command.split()[1:], "--help"])
    assert not ended.value.code
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {command} ")
    assert [line for line in text.splitlines() if len(line) > 80] == []
    example = shlex.split(re.sub(r"\\\n", "", text.partition("\nexample:\n")[2]))
    assert example[0] == "panoptic-deeplab"
    build_parser().parse_args(example[1:])


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_is_light_and_comes_at_once(verb: str) -> None:
    """Half a second on an idle core; processor time, for other tests run beside this one."""
    before, start = os.times(), time.perf_counter()
    assert "usage: panoptic-deeplab" in help_of(RUN_COMMAND, *verb.split())
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    assert min(used, time.perf_counter() - start) < 0.5


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"panoptic-deeplab {__version__}\n"


def test_the_command_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert not ended.value.code
    assert "verbs:" in capsys.readouterr().out


MISTAKES = {
    "trian --config a.yml": ("unknown command 'trian' (did you mean \"train\"?)", ""),
    "train --cofnig a.yml": ('unknown flag --cofnig (did you mean "--config"?)', " train"),
    "convert from-labelm": (
        "unknown command 'from-labelm' (did you mean \"from-labelme\"?)",
        " convert",
    ),
    "convert from-kitti --dataset-root x": (
        'unknown flag --dataset-root (did you mean "--dataset_root"?)',
        " convert from-kitti",
    ),
    "--verison": ('unknown flag --verison (did you mean "--version"?)', ""),
    "weights": ("the following arguments are required: COMMAND", " weights"),
    "convert from-bdd100k --num_workers 1000": (
        "argument --num_workers: must be a number in 1..256, got '1000'",
        " convert from-bdd100k",
    ),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_wrong_command_line_is_told_in_one_line(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    message, command = MISTAKES[words]
    told = f"error: {message}; see panoptic-deeplab{command} --help\n"
    assert capsys.readouterr().err == told


def test_a_former_flag_is_taken_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["convert", "from-bdd100k", "--folder", "a", "--output", "b", "--workers=3"]
    arguments = build_parser().parse_args(words)
    assert (arguments.save_dir, arguments.num_workers) == ("b", 3)
    notes = capsys.readouterr().err.splitlines()
    assert notes == [
        "note: --output is called --save_dir now",
        "note: --workers is called --num_workers now",
    ]
