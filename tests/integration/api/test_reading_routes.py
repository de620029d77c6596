"""State, plan, releases, readings, health and metrics of a project that has published once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent.cli.main import main
from agent.store.published import predictions
from tests.integration.api.conftest import MakeClient
from tests.tiny import opened

SEVEN = ["backtest", "features", "inference", "markets", "model", "publish", "ticks"]


def test_everything_of_a_published_project_can_be_read(make_client: MakeClient, published: Path) -> None:
    client = make_client()
    states = client.get("/api/state").json()
    assert [one["component"] for one in states] == SEVEN
    assert {one["run_count"] for one in states} == {1}
    release = client.get("/api/releases/current").json()
    assert release["is_current"]
    assert release["as_of"] == "2013-03-02T00:00:00Z"  # the end of the newest bar
    assert client.get("/api/releases").json()[0]["id"] == release["id"]
    markets = client.get("/markets/latest", params={"limit": 3}).json()
    assert len(markets) == 3
    signals = client.get("/signals/latest").json()
    assert {one["market_id"] for one in signals} >= {one["market_id"] for one in markets}
    assert all(0 <= one["probability"] <= 1 for one in signals)
    (backtest,) = client.get("/backtests/runs").json()
    assert client.get(f"/backtests/runs/{backtest['snapshot_id']}").json() == backtest
    assert {"buy_and_hold"} < set(backtest["metrics"])
    assert client.get("/diagnostics/calibration").json() == {"count": 0, "brier": None, "bins": []}


def test_signals_are_the_current_releases_decisions_alone(
    make_client: MakeClient, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same rows by API, page and command; a prediction of a market that has expired is of no release."""
    client = make_client()
    shown = client.get("/signals/latest", params={"limit": 1000}).json()
    with opened(published) as workspace, workspace.database.writing() as connections:
        row = dict(connections.project.execute(sa.select(predictions).limit(1)).mappings().one())
        expired = {**row, "id": None, "market_id": "sample:GONE", "snapshot_id": 0, "last_snapshot_id": 0}
        del expired["id"]
        connections.project.execute(sa.insert(predictions).values(expired))
    assert client.get("/signals/latest", params={"limit": 1000}).json() == shown
    assert {row["action"] for row in shown} <= {"buy", "sell", "hold"}
    assert all(row["reason"] and row["net_edge"] is not None for row in shown)
    assert client.get("/signals/latest", params={"until": "2001-01-01"}).json() == []
    page = client.get("/").text
    assert all(row["market_id"] in page for row in shown)
    assert "sample:GONE" not in page
    assert "There was no release on that day" in client.get("/", params={"until": "2001-01-01"}).text
    capsys.readouterr()
    assert main(("signals", "--json", "--project-dir", str(published))) == 0
    assert [row["market_id"] for row in json.loads(capsys.readouterr().out)] == [row["market_id"] for row in shown]
    assert main(("signals", "--project-dir", str(published), "--until", "2001-01-01")) == 0
    assert "There was none yet" in capsys.readouterr().out


def test_plan_mark_and_explain(make_client: MakeClient, published: Path) -> None:
    client = make_client()
    assert {step["step"] for step in client.get("/api/plan").json()["steps"]} == {"skip"}
    marked = client.post("/api/state/inference/mark-dirty", json={"reason": "prices were corrected"})
    assert marked.json()["is_dirty"] is True
    plan = client.get("/api/plan", params={"target": "inference"}).json()
    assert [step["step"] for step in plan["steps"]][-1] == "compute"
    explained = client.get("/api/explain/inference").json()
    assert explained["step"] == "compute"
    assert "prices were corrected" in explained["sentences"][-1]
    for address in ("/api/explain/nothing", "/api/state?project_id=7"):
        assert client.get(address).status_code == 404, address
    assert client.post("/api/state/nothing/mark-dirty").status_code == 404
    assert client.get("/api/plan", params={"target": "nothing"}).status_code == 422


def test_nothing_released_yet_is_404(make_client: MakeClient) -> None:
    assert make_client().get("/api/releases/current").status_code == 404


def test_health_and_metrics(make_client: MakeClient, published: Path) -> None:
    client = make_client()
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"ready": True, "database": "ok", "migrations": "ok", "lake": "ok"}
    client.get("/runs/1")
    text = client.get("/metrics").text
    assert 'tidemill_component_seconds{component="model"}' in text
    assert 'tidemill_runs{status="COMPLETED"} 1.0' in text
    assert "tidemill_queue_depth 0.0" in text
    assert "tidemill_release_age_seconds" in text
    assert 'tidemill_source_rows{fate="kept",source="' in text
    assert 'tidemill_source_rows{fate="quarantined",source="' in text
    assert 'route="/runs/{run_id}"' in text


def test_a_broken_settings_file_is_told_and_does_not_end_the_server(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    (tmp_path / "agent.toml").write_text("[featurs]\n", encoding="utf-8")
    answer = client.get("/api/plan")
    assert answer.status_code == 409
    assert "did you mean [features]" in answer.json()["detail"]
    assert client.get("/api/agent/status").status_code == 200


@pytest.mark.parametrize("page", ["/", "/ui/runs", "/ui/release", "/ui/reference"])
def test_pages_can_be_read_without_javascript(make_client: MakeClient, published: Path, page: str) -> None:
    """Also where an address without a name leads: to the release in force."""
    answer = make_client().get(page, follow_redirects=True)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "<h1>" in answer.text
