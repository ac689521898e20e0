"""What the user is told when another process is lost."""

from __future__ import annotations

import argparse

import pytest

from panoptic_deeplab.cli import command_line

GLOO = "[/paddle/third_party/gloo/gloo/transport/tcp/"
PADDLES_WORDS = {
    f"{GLOO}unbound_buffer.cc:133] TIMEOUT self_rank = -1": "did not answer for 30",
    f"{GLOO}pair.cc:598] Connection closed by peer [127.0.0.1]:4000": "did not answer for 30",
    "an igloo": "unexpected RuntimeError: an igloo (run again with --debug)",
}


@pytest.mark.parametrize("words", PADDLES_WORDS)
def test_a_lost_process_is_told_in_one_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    def body(arguments: argparse.Namespace) -> None:
        raise RuntimeError(words)

    assert command_line.run(body, argparse.Namespace()) == 1
    error = capsys.readouterr().err
    assert PADDLES_WORDS[words] in error
    assert error.count("\n") == 1
