"""What a person may mistype behind a command: each is refused in three lines with exit code 2, and runs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import orchestrator
from tests.integration.cli.conftest import Typed

HUGE = "9" * 30
ROWS = "write a whole number, 1 or more, 100000 at most"
ID = "write a whole number, 1 or more, 2147483647 at most"
TIME = "write 2013-01-31 or 2013-01-31T16:00:00Z"

WRONG = [
    (("runs", "--limit", HUGE), f"'{HUGE}' is out of bounds", "agent runs --limit", ROWS),
    (("runs", "--limit", "many"), "'many' is no whole number", "agent runs --limit", ROWS),
    (("releases", "--limit", "0"), "'0' is out of bounds", "agent releases --limit", ROWS),
    (("signals", "--limit", "-5"), "'-5' is out of bounds", "agent signals --limit", ROWS),
    (("signals", "--until", "soon"), "'soon' is no day", "agent signals --until", "write 2013-01-31"),
    (("decisions", "--limit", "-1"), "'-1' is out of bounds", "agent decisions --limit", ROWS),
    (("equity", "--limit", HUGE), f"'{HUGE}' is out of bounds", "agent equity --limit", ROWS),
    (("decisions", "--since", "yesterday"), "'yesterday' is not a time", "agent decisions --since", TIME),
    (("fills", "--since", "0001-01-01T00:00+14:00"), "is not a time", "agent fills --since", TIME),
    (("export", "ticks", "--to", "x.csv", "--as-of", ""), "'' is not a time", "agent export --as-of", TIME),
    (("backtest-agent", "--from", "2013"), "'2013' is not a time", "agent backtest-agent --from", TIME),
    (("backtest-agent", "--cost-factor", "-1"), "'-1' is out of bounds", "--cost-factor", "0 or more, 1000 at most"),
    (("backtest-agent", "--cost-factor", "nan"), "'nan' is out of bounds", "--cost-factor", "write a number"),
    (("run-agent", "--max-cycles", "0"), "'0' is out of bounds", "agent run-agent --max-cycles", "1 or more"),
    (("run-agent", "--speed", "0"), "'0' is out of bounds", "agent run-agent --speed", "above 0, 1e+09 at most"),
    (("run-agent", "--speed", "1e400"), "'1e400' is out of bounds", "agent run-agent --speed", "above 0"),
    (("events", HUGE), f"'{HUGE}' is out of bounds", "agent events RUN", ID),
    (("cancel", HUGE), f"'{HUGE}' is out of bounds", "agent cancel RUN", ID),
    (("explain", "features", "--run", HUGE), f"'{HUGE}' is out of bounds", "agent explain --run", ID),
    (("locks", "--delete", HUGE), f"'{HUGE}' is out of bounds", "agent locks --delete", ID),
    (("gc", "--keep-days", "nan"), "'nan' is out of bounds", "agent gc --keep-days", "0 or more, 36500 at most"),
    (("gc", "--keep-days", "1e300"), "'1e300' is out of bounds", "agent gc --keep-days", "36500 at most"),
    (("serve", "--port", "99999"), "'99999' is out of bounds", "agent serve --port", "65535 at most"),
    (("try", "--max-runs", "few"), "invalid int value: 'few'", "agent try --max-runs", "`agent try --help`"),
    (
        ("prove", "--recompute", "200"),
        "'200' is no percentage above 0, 100 at most",
        "--recompute",
        "`agent prove --help`",
    ),
    (("mark-dirty", "one:"), "'one:' names no partition", "agent mark-dirty", "write one for all of it"),
    (("pause",), "the following arguments are required: --reason", "agent pause", "`agent pause --help`"),
    (("runs", "--project-dir", "nowhere"), "there is no folder 'nowhere'", "--project-dir", "agent.toml"),
]


@pytest.mark.parametrize(("typed", "what", "where", "fix"), WRONG, ids=lambda one: " ".join(one)[:40] if one else "")
def test_what_is_mistyped_is_refused_in_three_lines(
    project: Path, agent: Typed, typed: tuple[str, ...], what: str, where: str, fix: str
) -> None:
    lines = agent(*typed, code=2).splitlines()
    assert len(lines) == 3, lines
    for line, begins, says in zip(lines, ("error: ", "  where: ", "  fix:   "), (what, where, fix), strict=True):
        assert line.startswith(begins)
        assert says in line


def test_the_orchestrator_refuses_likewise(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        orchestrator.main(["--mode", "scheduled", "--interval-sec", "soon"])
    assert left.value.code == 2
    assert capsys.readouterr().err == (
        "error: 'soon' is no number\n"
        "  where: python -m agent.orchestrator --interval-sec\n"
        "  fix:   write a number, 0.1 or more, 3.16224e+07 at most\n"
    )
