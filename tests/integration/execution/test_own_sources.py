"""Faults of a person's own source: an attempt's failure, tried again where it may pass and the run is to go on."""

from __future__ import annotations

import urllib.error
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent import console, orchestrator
from agent.execution.workspace import open_workspace
from agent.store.control import attempts, runs
from pipelines.plugins.discovery import load_source
from pipelines.source import Source


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "agent.toml").write_text("[executor]\nkind = 'inline'\nretry_seconds = 0\n")
    return tmp_path


@pytest.fixture
def sample() -> Any:
    """The class as it is loaded now: a test before may have had the modules of sources loaded again."""
    return load_source("sample")


def failing(times: int, error: Exception, method: Any) -> Any:
    """A method that raises `error` so often, then does the work of `method`."""
    left = [error] * times

    def markets(self: Source) -> Any:
        if left:
            raise left.pop()
        return method(self)

    return markets


def tries(project: Path, run_id: int) -> list[str]:
    with open_workspace(project) as workspace, workspace.database.reading() as connections:
        return [one.status for one in attempts.list_attempts(connections.control, run_id)]


def test_a_network_fault_is_tried_again(project: Path, sample: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    away = urllib.error.URLError(ConnectionRefusedError(111, "refused"))
    monkeypatch.setattr(sample, "markets", failing(2, away, sample.markets))
    report = orchestrator.run_once(project, targets=["markets"])
    assert report.status == "COMPLETED"
    assert sorted(tries(project, report.run_id)) == ["failed", "failed", "succeeded"]


def test_a_probe_that_raises_anything_fails_what_reads_the_source_alone(
    project: Path, sample: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator.run_once(project, targets=["markets"])

    def probe(self: Source) -> Any:
        raise KeyError("etag")

    monkeypatch.setattr(sample, "probe", probe)
    monkeypatch.setattr(sample, "markets", failing(1, KeyError("etag"), sample.markets))
    report = orchestrator.run_once(project, targets=["markets"])
    assert report.status == "FAILED"
    assert "KeyError: 'etag'" in str(report.components[0].error)
    assert "unreachable: KeyError: 'etag'" in str(report.components[0].step)


def test_told_to_stop_or_cancelled_between_two_tries_makes_no_other_one(
    project: Path, sample: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "agent.toml").write_text("[executor]\nkind = 'inline'\nretry_seconds = 600\n")
    begun: list[int] = []

    def fail(self: Source) -> Any:
        begun.append(1)
        raise ConnectionResetError(104, "reset")

    def fail_cancelled(self: Source) -> Any:
        with open_workspace(project) as workspace, workspace.database.writing() as connections:
            runs.request_cancel(connections.control, runs.list_runs(connections.control)[0].id)
        fail(self)

    monkeypatch.setattr(sample, "markets", fail)
    stopped = orchestrator.run_once(project, targets=["markets"], stop=lambda: "enough" if begun else None)
    assert (stopped.status, stopped.error) == ("CANCELLED", "enough")
    monkeypatch.setattr(sample, "markets", fail_cancelled)
    cancelled = orchestrator.run_once(project, targets=["markets"])
    assert (cancelled.status, cancelled.error) == ("CANCELLED", "the run was cancelled")
    assert tries(project, stopped.run_id) == tries(project, cancelled.run_id) == ["failed"]
    text = console.report_text(stopped, None, "", datetime(2026, 1, 1, tzinfo=UTC))
    assert text == f"Run {stopped.run_id} was ended: enough"
