"""What other people wrote cannot steer a terminal or forge a line of a log."""

from __future__ import annotations

import logging

import pytest

from agent import console
from agent.console import TextLines, table, visible


@pytest.mark.parametrize("bad", ["\x1b[2J", "\x07", "\r", "\x7f", "\x9b31m", "\u202e", "\u2066", "\x00", "\u2028"])
def test_control_characters_are_seen_and_do_nothing(bad: str) -> None:
    shown = visible(f"a{bad}b\tc\nd")
    assert not set(bad[0]) & set(shown)
    assert f"\\u{ord(bad[0]):04x}" in shown
    assert shown.endswith("b\tc\nd")
    record = logging.LogRecord("x", logging.INFO, "", 0, "run %s", (f"goal{bad}",), None)
    assert bad[0] not in TextLines("%(message)s").format(record)


def test_a_cell_of_a_table_is_one_line() -> None:
    lines = table([("1", "publish\n2  COMPLETED")], ("run", "goal")).splitlines()
    assert len(lines) == 3


def test_an_error_on_the_terminal_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise ValueError("\x1b]0;mine\x07")

    assert console.exit_code_of(fail, debug=False) == 1
    assert "\x1b" not in capsys.readouterr().err
