"""What other people wrote cannot steer a terminal or forge a line of a log."""

from __future__ import annotations

import io
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import console
from agent.console import TextLines, fitted, table, visible


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


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_fits_the_terminal_and_says_good_and_bad_in_colour(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr("sys.stdout", _Screen())
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.delenv("NO_COLOR", raising=False)
    rows = [("ticks", "failed", "1", "a row breaks a rule " * 4), ("model", "up to date", "12", "")]
    shown = table(rows, ("component", "status", "rows", "why"), right={2})
    plain = re.sub("\x1b\\[[0-9]*m", "", shown)
    assert max(len(line) for line in plain.splitlines()) <= columns
    assert "\x1b[31mfailed" in shown
    assert "\x1b[32mup to date" in shown
    assert ("…" in shown) == (columns < 200)
    monkeypatch.setenv("NO_COLOR", "1")
    assert table(rows, ("component", "status", "rows", "why"), right={2}) == plain


def test_what_is_piped_is_whole_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    shown = table([("ticks", "failed", "x" * 300)], ("component", "status", "why"))
    assert "x" * 300 in shown
    assert "\x1b" not in shown


@given(st.lists(st.integers(0, 300), min_size=1, max_size=9), st.integers(1, 300))
def test_columns_give_way_the_widest_first(widths: list[int], total: int) -> None:
    found = fitted(widths, total)
    assert all(0 <= new <= old for new, old in zip(found, widths, strict=True))
    cut = [new for new, old in zip(found, widths, strict=True) if new < old]
    assert all(new >= 8 for new in cut)
    room = sum(found) + 2 * (len(found) - 1)
    assert room <= total or max(found) <= 8
    if cut:
        assert max(found) <= min(cut) + 1, "no other one is wider than those that were cut"
