"""A report replaces an earlier report, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.cli import check, evaluate, val
from panoptic_deeplab.cli.parser import Parser

VERBS = {
    check: ["--config", "x"],
    evaluate: ["panoptic", "gt.json", "pred.json"],
    val: ["--config", "x", "--model_path", "y"],
}


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__.split(".")[-1])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"All": {"pq": 0.5}}', None),
        ('{"images": [], "annotations": []}', "which holds something else"),
        ("[1, 2]", "which holds something else"),
        ("no JSON", "which holds something else"),
    ],
)
def test_a_report_replaces_no_annotations(
    verb: object, text: str, message: str | None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    parser = Parser()
    verb.add_arguments(parser)
    words = [*VERBS[verb], "--json", str(path)]
    if message is None:
        assert parser.parse_args(words).json == path
        return
    with pytest.raises(SystemExit) as end:
        parser.parse_args(words)
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert path.read_text() == text
