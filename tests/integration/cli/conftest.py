"""A tiny project that has run, and `agent …` typed in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from tests.tiny import run, tiny_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny project that has run once, as the current folder."""
    folder = tiny_project(tmp_path / "project")
    run(folder)
    monkeypatch.chdir(folder)
    return folder


class Typed:
    """Types `agent …` and reads what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        self._capsys.readouterr()
        found: Any
        try:
            found = main(arguments)
        except SystemExit as left:  # what cannot be understood ends before a command begins
            found = left.code
        out, error = self._capsys.readouterr()
        assert found == code, out + error
        return out if code in (0, 1) and out else error

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture
def agent(capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(capsys)
