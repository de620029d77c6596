"""Commands as they are typed, carried out in this process: what they print, and the facts of `--json`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.cli.main import main


def typed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert main(arguments) == code
    return tuple(capsys.readouterr())  # type: ignore[return-value]  # out and err


def facts(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    return json.loads(typed(capsys, *arguments, "--json", code=code)[0])
