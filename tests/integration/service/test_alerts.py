"""Alerts arrive at a real address, once a cause a period, and say when it is over."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent import settings as agent_settings
from agent.clock import AsOfClock
from agent.runtime.alerts import Alerts
from agent.runtime.around import Around
from agent.service.goals import Intent
from agent.service.queue import enqueue
from agent.service.worker import Worker
from agent.settings import Settings
from agent.store.control import runs
from agent.store.database.engine import Database, open_engine
from tests.served import FAILING, INLINE

# apprise imports a module that Python 3.13 removed, where it is still there.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

START = datetime(2026, 1, 1, tzinfo=UTC)


def run_once(settings: Settings, database: Database, at: datetime) -> None:
    intent = Intent(("markets",), (), "x")
    run, _ = enqueue(database, project_id=0, goal="markets", intent=intent, now=datetime.now(UTC))
    Worker(settings, database, Around(after=(Alerts(AsOfClock(at)),))).process()
    with database.reading() as connections:
        assert runs.load_run(connections.control, run.id).status in ("COMPLETED", "FAILED")


def test_failures_are_told_once_a_period_and_recovery_once(
    tmp_path: Path, inbox: tuple[str, list[str]], sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, titles = inbox
    monkeypatch.setenv("AGENT_DATABASE_URL", sqlite_url)
    alerts = f"[alerts]\nurls = [{json.dumps(url)}]\nfailures = 2\nperiod_minutes = 60\n"
    (tmp_path / "agent.toml").write_text(FAILING + alerts, encoding="utf-8")
    settings = agent_settings.load(tmp_path)
    own = open_engine(sqlite_url)
    database = Database(control=own, project=own)
    run_once(settings, database, START)
    assert titles == ["Tidemill: run 1 failed"]
    run_once(settings, database, START + timedelta(minutes=1))
    assert titles[1:] == ["Tidemill: markets failed 2 times in a row"]
    run_once(settings, database, START + timedelta(minutes=2))
    assert len(titles) == 2
    run_once(settings, database, START + timedelta(minutes=62))
    assert sorted(titles[2:]) == ["Tidemill: markets failed 4 times in a row", "Tidemill: run 4 failed"]
    (tmp_path / "agent.toml").write_text(INLINE + alerts, encoding="utf-8")
    run_once(settings, database, START + timedelta(minutes=63))
    assert titles[4:] == ["Tidemill: recovered: markets of project 0, project 0"]
    run_once(settings, database, START + timedelta(minutes=64))
    assert len(titles) == 5
    database.close()


def test_an_address_that_is_none_is_logged_without_showing_it(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AGENT_DATABASE_URL", sqlite_url)
    (tmp_path / "agent.toml").write_text(FAILING + '[alerts]\nurls = ["no://secret-of-mine@host"]\n', encoding="utf-8")
    settings = agent_settings.load(tmp_path)
    own = open_engine(sqlite_url)
    database = Database(control=own, project=own)
    run_once(settings, database, START)
    database.close()
    assert "number 1" in caplog.text
    assert "secret-of-mine" not in "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("tidemill"))
