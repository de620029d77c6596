"""Rows that break a rule, as a person at the terminal meets them: one readable line, then one that says what was left
out and where that is listed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.terminal import Terminal

TICKS = ("python", "-m", "agent.orchestrator", "--target", "ticks")
TOML = """
[executor]
kind = "inline"
[[sources.files.datasets]]
path = "prices.csv"
kind = "spot"
interval_seconds = 3600
market = "A"
"""
ROWS = ["ts,open,high,low,close,volume", *(f"2024-01-01T{hour:02}:00:00Z,1,2,1,1.5,10" for hour in range(20))]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a file whose fourth and fifth line are wrong."""
    rows = list(ROWS)
    rows[3] = "2024-01-01T02:00:00Z,-1,2,1,1.5,10"
    rows[4] = "2024-01-01T03:00:00Z,1,2,1,NaN,10"
    (tmp_path / "prices.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "agent.toml").write_text(TOML, encoding="utf-8")
    return tmp_path


def test_the_one_line_that_is_kept_names_row_and_rule(project: Path, terminal: Terminal) -> None:
    done = terminal.type(*TICKS)
    assert done.returncode == 1
    first = "2 rows break a rule, the first: line 4 of prices.csv: open is not above zero"
    assert f"ticks failed: {first}\n" in done.stdout
    assert [line for line in done.stderr.splitlines() if line.endswith(f" s: {first}")]
    assert f"its last attempt failed ({first})" in terminal.type(*TICKS).stdout


def test_what_is_left_out_is_said_with_the_file_that_lists_it(project: Path, terminal: Terminal) -> None:
    with (project / "agent.toml").open("a", encoding="utf-8") as file:
        file.write('[ticks]\non_bad_rows = "quarantine"\n')
    done = terminal.type(*TICKS)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    said = lines.index("ticks left out 2 rows that break a rule; file, line and rule are in")
    listed = pl.read_parquet(project / lines[said + 1].strip())
    assert listed.get_column("row").to_list() == ["line 4 of prices.csv", "line 5 of prices.csv"]
    again = terminal.type(*TICKS)
    assert "left out" not in again.stdout
