"""The quickstart, block by block: commands print what the page shows, but for times, versions and seconds.

In this process and without children, since processes are not its subject.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from agent.cli.main import main
from tests.paths import PROJECT

PAGE = PROJECT / "docs" / "quickstart.md"
_BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run or between versions of libraries; a backtest's rows follow from the fitted model.
_DIFFERS = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}(?:[0-9a-f]{4})?\b"), "VERSION"),
    (re.compile(r"\b\d+\.\d(?= s\b|  )"), "SECONDS"),
    (re.compile(r"(?m)^(backtest .*?)[\d,]+(?= rows|  VERSION)"), r"\1ROWS"),
    (re.compile(r"-{20,}"), "----"),
    (re.compile(r" +"), " "),
)


def same(text: str) -> str:
    for pattern, word in _DIFFERS:
        text = pattern.sub(word, text)
    return text.strip()


def test_every_block_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "ann")
    for name in ("AGENT_HOME", "AGENT_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    counts = {"file": 0, "command": 0, "run": 0}
    toml = tmp_path / "agent.toml"
    for _, info, body in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if info.endswith("=agent.toml"):
            before = toml.read_text(encoding="utf-8") if info.startswith("append") else '[executor]\nkind = "inline"\n'
            toml.write_text(before + body, encoding="utf-8")
            counts["file"] += 1
        elif info == "run":
            exec(compile(body, str(PAGE), "exec"), {})
            assert "sample:AAPL" in capsys.readouterr().out
            counts["run"] += 1
        for command, _, shown in (part.partition("\n") for part in re.split(r"(?m)^\$ ", body)[1:]):
            program, *arguments = shlex.split(command)
            assert program == "agent"
            assert main(arguments) == 0, capsys.readouterr().err
            assert same(capsys.readouterr().out) == same(shown), command
            counts["command"] += 1
    assert counts == {"file": 2, "command": 7, "run": 1}


def test_another_output_would_be_found() -> None:
    line = "features   computed      0.5  13,080  74a43127  it has never run"
    assert same(line) == "features computed SECONDS 13,080 VERSION it has never run"
    assert same(line) != same(line.replace("13,080", "13,081"))
    assert same(line) != same(line.replace("computed", "same"))
