"""Faults of a person's own source: whatever it raises is an attempt's failure, and tried again where it may pass."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import pytest

from agent import orchestrator
from agent.execution.workspace import open_workspace
from agent.store import attempts
from pipelines.sources.sample import SampleSource


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "agent.toml").write_text("[executor]\nkind = 'inline'\nretry_seconds = 0\n")
    return tmp_path


def failing(times: int, error: Exception) -> Any:
    """A method that raises `error` so often, then does its work."""
    left = [error] * times
    method = SampleSource.markets

    def markets(self: SampleSource) -> Any:
        if left:
            raise left.pop()
        return method(self)

    return markets


def tries(project: Path, run_id: int) -> list[str]:
    with open_workspace(project) as workspace, workspace.database.reading() as connections:
        return [one.status for one in attempts.list_attempts(connections.control, run_id)]


def test_a_network_fault_is_tried_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = urllib.error.URLError(ConnectionRefusedError(111, "refused"))
    monkeypatch.setattr(SampleSource, "markets", failing(2, away))
    report = orchestrator.run_once(project, targets=["markets"])
    assert report.status == "COMPLETED"
    assert sorted(tries(project, report.run_id)) == ["failed", "failed", "succeeded"]


def test_a_probe_that_raises_anything_fails_what_reads_the_source_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator.run_once(project, targets=["markets"])

    def probe(self: SampleSource) -> Any:
        raise KeyError("etag")

    monkeypatch.setattr(SampleSource, "probe", probe)
    monkeypatch.setattr(SampleSource, "markets", failing(1, KeyError("etag")))
    report = orchestrator.run_once(project, targets=["markets"])
    assert report.status == "FAILED"
    assert "KeyError: 'etag'" in str(report.components[0].error)
    assert "unreachable: KeyError: 'etag'" in str(report.components[0].step)
