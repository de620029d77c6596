"""What README.md shows works as written: one fresh project for all of its blocks.

Left to other tests: the lines that set up a machine or do not end (NOT_HERE). The project has one share and a quick
model, so that this takes seconds.
"""

from __future__ import annotations

import re
import shlex
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

from pipelines.settings import Faults, build
from pipelines.sources.files import Settings as FilesSettings
from tests.docs.pages import Block, blocks
from tests.paths import PROJECT
from tests.terminal import Terminal

README = PROJECT / "README.md"
NOT_HERE = {
    "make run": "tests/e2e/test_main_job.py",
    "make test": "this is it",
    ". .venv/bin/activate": "the environment is active",
    "python -m agent.orchestrator --mode scheduled --interval-sec 3600": "runs until it is stopped",
    "agent serve": "runs until it is stopped: tests/e2e",
    "make dashboard": "runs until it is stopped: tests/browser",
    "make start": "runs until it is stopped",
}
QUICK = '[executor]\nkind = "inline"\n[sources.sample]\nsymbols = ["AAPL"]\n[model]\nkind = "logistic"\n'
QUICK += "[publish]\nmax_brier_excess = 1.0\n"


def blocks_in(language: str) -> list[Block]:
    return [block for block in blocks(README) if block.language == language]


def lines_to_run() -> list[str]:
    lines = [re.split(r"\s{2,}#", line)[0].strip() for block in blocks_in("sh") for line in block.text.splitlines()]
    assert set(NOT_HERE) <= set(lines), "README.md has changed: adapt NOT_HERE"
    return [line for line in lines if line and line not in NOT_HERE]


def test_the_blocks_work_one_after_the_other(tmp_path: Path, terminal: Terminal) -> None:
    (tmp_path / "agent.toml").write_text(QUICK, encoding="utf-8")
    shown = {line: terminal.run(*shlex.split(line)) for line in lines_to_run()}
    assert "report.html" in shown["python -m agent.orchestrator --mode once"]
    assert shown["agent plan"].endswith("Nothing would run.\n")
    assert (tmp_path / ".tidemill" / "releases" / "current" / "report.html").is_file()

    (sql,) = blocks_in("sql")
    select, update = (part.strip() for part in re.sub(r"--.*", "", sql.text).split(";") if part.strip())
    with closing(sqlite3.connect(tmp_path / ".tidemill" / "state.sqlite")) as connection, connection:
        rows = connection.execute(select).fetchall()
        assert [(row[0], *row[2:]) for row in rows] == [
            (name, 0, 1, 0) for name in ("backtest", "features", "inference", "markets", "model", "publish", "ticks")
        ]
        connection.execute(update)
    assert "features runs because it was marked by a person" in terminal.run("agent", "explain", "features")

    (python,) = blocks_in("python")
    check = "\nassert features.height > 2000 and features.get_column('ts').max().year == 2012, features"
    terminal.run("python", "-c", python.text + check)


def test_the_settings_are_settings() -> None:
    (toml,) = blocks_in("toml")
    faults = Faults(str(README))
    made = build(FilesSettings, tomllib.loads(toml.text)["sources"]["files"], "sources.files", faults)
    faults.raise_if_any()
    assert [one.path for one in made.datasets] == ["candles/*.feather"]
