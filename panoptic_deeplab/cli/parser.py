"""The parser behind every command line: help with an example, and errors in one line."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from panoptic_deeplab.errors import nearest, one_line
from panoptic_deeplab.parallel import MAX_WORKERS

HELP_WIDTH = 80


class Parser(argparse.ArgumentParser):
    """argparse's parser, which also names the flag or command nearest to an unknown one.

    Attributes:
        commands: name -> parser of each subcommand; empty where there are none.
        former_names: former flag -> present flag. Former flags are taken, with a note; the help
            shows the present ones alone.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)
        self.commands: Mapping[str, argparse.ArgumentParser] = {}
        self.former_names: dict[str, str] = {}

    def describe(self, description: str, example: str) -> None:
        """Set what `--help` says before and after the flags.

        Args:
            description: what the command does; a blank line begins a new paragraph, and a
                paragraph that is indented keeps its lines.
            example: a command that can be copied as it stands; a long one is continued behind a
                backslash.
        """
        self.description = "\n\n".join(map(_filled, description.strip("\n").split("\n\n")))
        self.epilog = f"example:\n  {_broken(example)}"

    def add_subparsers(self, **settings: Any) -> argparse._SubParsersAction:
        """As argparse's; remembers the commands."""
        action = super().add_subparsers(**settings)
        self.commands = action.choices
        return action

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, once every flag and command is known; an unknown one ends the program."""
        return super().parse_known_args(
            self._known_words(sys.argv[1:] if args is None else args), namespace
        )

    def error(self, message: str) -> NoReturn:
        """Tell a wrong command line in one line and exit with code 2."""
        self.exit(2, f"error: {one_line(message)}; see {self.prog} --help\n")

    def _known_words(self, words: Iterable[str]) -> list[str]:
        """The words under the present names of their flags, up to the name of a subcommand."""
        known = list(words)
        takes_the_rest = {
            option
            for action in self._actions
            if action.nargs == argparse.REMAINDER
            for option in action.option_strings
        }
        for place, word in enumerate(known):
            if word == "--" or word in takes_the_rest:
                break
            if word.startswith("--"):
                known[place] = self._present_flag(word)
            elif self.commands and not word.startswith("-"):
                if word not in self.commands:
                    self.error(f"unknown command {word!r}{nearest(word, self.commands)}")
                break
        return known

    def _present_flag(self, word: str) -> str:
        flag, equals, value = word.partition("=")
        if flag in self.former_names:
            print(f"note: {flag} is called {self.former_names[flag]} now", file=sys.stderr)
            flag = self.former_names[flag]
        flags = [option for action in self._actions for option in action.option_strings]
        if not any(known.startswith(flag) for known in flags):
            # The dashes, which all have, would make any two flags look alike.
            hint = nearest(flag[2:], (known[2:] for known in flags)).replace('"', '"--', 1)
            self.error(f"unknown flag {flag}{hint}")
        return flag + equals + value


def _filled(paragraph: str) -> str:
    if paragraph.startswith(" "):
        return paragraph
    return textwrap.fill(" ".join(paragraph.split()), HELP_WIDTH - 2)


def _broken(command: str) -> str:
    """The command in lines that fit, each but the last with a backslash; options keep values."""
    lines = [""]
    first, *options = command.split(" --")
    for part in [*first.split(" "), *(f"--{option}" for option in options)]:
        if lines[-1] and len(lines[-1]) + len(part) > HELP_WIDTH - 10:
            lines.append("")
        lines[-1] += f" {part}" if lines[-1] else part
    return " \\\n      ".join(lines)


def positive(text: str) -> int:
    """An argument that is a whole number of at least 1."""
    return _number(text, 1, int)


def not_negative(text: str) -> int:
    """An argument that is a whole number of at least 0 and fits into 31 bits."""
    return _number(text, 0, int)


def processes(text: str) -> int:
    """An argument that is a number of worker processes."""
    return _number(text, 1, int, MAX_WORKERS)


def odd(text: str) -> int:
    """An argument that is an odd whole number of at least 1."""
    number = positive(text)
    if number % 2 == 0:
        raise argparse.ArgumentTypeError(f"must be an odd number, got '{text}'")
    return number


def file_here(text: str) -> Path:
    """An argument that is a file on this machine."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"must be a file here, not an address; download '{text}'")
    return Path(text)


def fraction(text: str) -> float:
    """An argument in 0..1."""
    return _number(text, 0, float, maximum=1)


def _number(
    text: str, minimum: int, kind: Callable[[str], Any], maximum: int = (1 << 31) - 1
) -> Any:
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or not minimum <= number <= maximum:
        raise argparse.ArgumentTypeError(f"must be a number in {minimum}..{maximum}, got '{text}'")
    return number
