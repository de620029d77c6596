"""/api/agent: shapes, refusals and counts of the background runner over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.api.conftest import MakeClient
from tests.served import FAILING

STATUS = {
    "state": "stopped",
    "running": False,
    "last_run": None,
    "next_run": None,
    "interval_minutes": 60,
    "run_count": 0,
    "error_count": 0,
    "last_error": None,
    "total_forecasts": 0,
    "total_trades": 0,
}


def test_status_of_a_new_database_is_the_seed_s(make_client: MakeClient) -> None:
    assert make_client().get("/api/agent/status").json() == STATUS


def test_start_pause_resume_stop(make_client: MakeClient) -> None:
    client = make_client()
    before = datetime.now(UTC)
    started = client.post("/api/agent/start").json()
    assert started["status"] == "started"
    assert started["message"] == "Agent started with 60 minute interval"
    next_run = datetime.fromisoformat(started["next_run"])
    assert timedelta(minutes=59, seconds=59) < next_run - before < timedelta(minutes=61)
    status = client.get("/api/agent/status").json()
    assert (status["state"], status["running"], status["next_run"]) == ("running", True, started["next_run"])
    assert client.post("/api/agent/pause").json() == {"status": "paused", "message": "Agent paused"}
    status = client.get("/api/agent/status").json()
    assert (status["state"], status["running"], status["next_run"]) == ("paused", False, None)
    assert client.post("/api/agent/resume").json() == {"status": "resumed", "message": "Agent resumed"}
    assert client.get("/api/agent/status").json()["next_run"] is not None
    stopped = client.post("/api/agent/stop").json()
    assert stopped == {"status": "stopped", "message": "Agent stopped successfully"}
    assert client.get("/api/agent/status").json() == STATUS


def test_what_the_state_does_not_allow_is_409_with_the_state(make_client: MakeClient) -> None:
    client = make_client()
    for action in ("stop", "pause", "resume"):
        refused = client.post(f"/api/agent/{action}")
        assert (refused.status_code, refused.json()["state"]) == (409, "stopped"), action
        assert refused.json()["fix"]
    client.post("/api/agent/start")
    for action in ("start", "resume"):
        refused = client.post(f"/api/agent/{action}")
        assert (refused.status_code, refused.json()["state"]) == (409, "running"), action


def test_interval(make_client: MakeClient) -> None:
    client = make_client()
    updated = client.put("/api/agent/interval", json={"interval_minutes": 30})
    assert updated.json() == {
        "status": "updated",
        "interval_minutes": 30,
        "message": "Interval updated to 30 minutes",
    }
    client.post("/api/agent/start")
    client.put("/api/agent/interval", json={"interval_minutes": 15})
    status = client.get("/api/agent/status").json()
    due = datetime.fromisoformat(status["next_run"]) - datetime.now(UTC)
    assert status["interval_minutes"] == 15
    assert timedelta(minutes=14) < due <= timedelta(minutes=15)


@pytest.mark.parametrize("minutes", [0, 10081, -5, 1.5, "ten", None])
def test_interval_out_of_bounds_is_422(make_client: MakeClient, minutes: object) -> None:
    refused = make_client().put("/api/agent/interval", json={"interval_minutes": minutes})
    assert refused.status_code == 422
    assert "interval_minutes" in refused.json()["detail"]


def test_a_cycle_is_counted_and_keeps_the_schedule(make_client: MakeClient, published: Path) -> None:
    client = make_client()
    due = client.post("/api/agent/start").json()["next_run"]
    result = client.post("/api/agent/run-once").json()
    assert result["success"] is True
    assert result["error"] is None
    assert datetime.fromisoformat(result["started_at"]) < datetime.fromisoformat(result["completed_at"])
    status = client.get("/api/agent/status").json()
    assert (status["run_count"], status["error_count"], status["next_run"]) == (1, 0, due)
    assert status["last_run"] == result["started_at"]


def test_a_failed_cycle_is_told_and_counted_and_the_runner_goes_on(make_client: MakeClient) -> None:
    client = make_client(FAILING)
    client.post("/api/agent/start")
    answer = client.post("/api/agent/run-once")
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert "markets" in answer.json()["error"]
    status = client.get("/api/agent/status").json()
    assert (status["state"], status["run_count"], status["error_count"]) == ("running", 1, 1)
    assert status["last_error"] == answer.json()["error"]


def test_counts_and_interval_survive_a_restart_and_nothing_starts_by_itself(make_client: MakeClient) -> None:
    first = make_client(FAILING)
    first.put("/api/agent/interval", json={"interval_minutes": 7})
    first.post("/api/agent/start")
    first.post("/api/agent/run-once")
    first.__exit__(None, None, None)
    second = make_client(FAILING)
    status = second.get("/api/agent/status").json()
    assert (status["state"], status["run_count"], status["error_count"]) == ("stopped", 1, 1)
    assert status["interval_minutes"] == 7
