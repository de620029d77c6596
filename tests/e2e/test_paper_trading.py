"""From files to a trade on paper, as typed: a release, a cycle, more data, the fill; and the release's own history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.cli.main import main
from agent.execution.workspace import open_workspace
from agent.store.published import predictions
from agent.store.tables import releases
from agent.trading.feeds.reading import ReleasedFeed, read_like_simulation, read_out_of_fold
from tests.small import small_project, write_bars

DAYS = 45


def let_it_have_an_edge(folder: Path, market: str) -> None:
    """Publish what a model with an edge would have: the sample has none, and says so."""
    with open_workspace(folder) as workspace, workspace.database.writing() as connections:
        conn = connections.project
        newest = sa.select(sa.func.max(predictions.c.ts)).where(predictions.c.market_id == market).scalar_subquery()
        its = sa.and_(predictions.c.market_id == market, predictions.c.ts == newest)
        conn.execute(sa.update(predictions).where(its).values(action="buy", confidence=0.9, net_edge=0.01))
        current = conn.execute(sa.select(releases.c.id, releases.c.metrics).where(releases.c.is_current)).one()
        metrics = {**current.metrics, "assessment": {**current.metrics["assessment"], "tradable": True}}
        conn.execute(sa.update(releases).where(releases.c.id == current.id).values(metrics=metrics))


def slip(fill: dict[str, Any]) -> float:
    """What a purchase cost beside the mid, in basis points of it."""
    assert fill["side"] == "buy"
    return (float(fill["price"]) / float(fill["mid"]) - 1) * 10_000


def test_a_release_is_traded_over_restarts_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One story, since each step needs what the one before left."""
    folder = small_project(tmp_path, DAYS)
    monkeypatch.chdir(folder)

    said = list[str]()

    def typed(*arguments: str) -> Any:
        capsys.readouterr()
        assert main((*arguments, "--json")) == 0
        out, err = capsys.readouterr()
        said.append(err)
        return json.loads(out) if out.strip() else None

    trade = ("run-agent", "--asset-pair", "ABC", "--take-profit", "0.05", "--stop-loss", "0.02", "--once")
    typed("run")
    typed(*trade)
    cost = "note: a round trip costs 0.28 % of what is traded in files:ABC, 0.084 % of equity in the largest position"
    assert cost in said[-1]
    assert [one["action"] for one in typed("decisions")] == ["hold"]
    assert typed("decisions", "--why-not", "ABC")[0]["why"]
    let_it_have_an_edge(folder, "files:ABC")
    typed(*trade, "--test-mode")
    assert typed("orders") == []
    typed(*trade)
    (order,) = typed("orders")
    assert (order["status"], order["purpose"], order["market_id"]) == ("open", "open", "files:ABC")
    assert typed("fills") == []

    with open_workspace(folder) as workspace:
        before = ReleasedFeed(workspace.database, workspace.lake)
        assert not before.is_outdated()
    write_bars(folder, "ABC", DAYS + 1)
    write_bars(folder, "XYZ", DAYS + 1)
    typed("run")
    with open_workspace(folder) as workspace:
        waiting = ReleasedFeed(workspace.database, workspace.lake)
        waiting._tables = before._tables  # a trader that has waited since
        assert waiting.is_outdated()
        waiting.refresh()
        assert not waiting.is_outdated()
    typed(*trade)
    orders = typed("orders")
    assert orders[0]["status"] == "filled"
    fills = typed("fills")
    assert {one["client_order_id"] for one in fills} <= {one["client_order_id"] for one in orders}
    drift, costs = typed("slippage"), waiting.listing("files:ABC").costs
    assert [one["platform_fill_id"] for one in drift["fills"]] == [one["platform_fill_id"] for one in fills]
    assert drift["total"]["expected_bps"] == pytest.approx(costs.distance(1.0) * 10_000)
    assert drift["total"]["cost_bps"] == pytest.approx(sum(slip(one) for one in drift["fills"]))
    assert typed("portfolio", "--rebuild")["differences"] == []
    assert [one["kind"] for one in typed("reconcile")] == ["opening"]
    proof = typed("export-decision", orders[0]["decision_id"])
    assert proof["release"]["id"] == proof["decision"]["release_id"]
    assert proof["published"]["model_version"] == proof["decision"]["model_version"]
    assert proof["release"]["versions"]["model"]["version"]
    assert {"ticks", "features"} <= set(proof["release"]["versions"])
    assert proof["published"]["action"] == "buy"

    found = typed("backtest-agent", "--cost-factor", "0", "--until", "2024-02-01", "--kill-switch-gain", "off")
    assert found["cycles"] == found["bars"] > 20
    assert sum(found["actions"].values()) == 2 * found["cycles"]
    assert [one["purpose"] for one in typed("orders")] == [one["purpose"] for one in orders]  # it left nothing behind

    usual = typed("backtest-agent", "--kill-switch-gain", "off")
    assert usual["sent"] == 0
    assert set(usual["refused"]) <= {"release_age"}
    with open_workspace(folder) as workspace:
        where = (workspace.database, workspace.lake)
        released = [
            read_out_of_fold(*where).release,
            read_out_of_fold(*where, untradable=True).release,
            read_out_of_fold(*where, 0.5).release,
            read_like_simulation(*where).tables.release,
        ]
    assert len({one.untradable for one in released} - {""}) == 1
    assert [one.is_tradable for one in released] == [False, True, True, True]

    same = typed("backtest-agent", "--like-simulation", "--cost-factor", "0")["likeness"]
    assert same["simulated"] == same["traded"] > 0
    assert (same["different"], same["worst"] < 1e-9, set(same["changed"].values())) == ([], True, {0})

    span = ("--asset-pair", "ABC", "--from", found["first"])
    played = typed("backtest-agent", *span)
    begun = typed("run-agent", *span, "--max-cycles", "5", "--speed", "1e9")
    assert begun["cycles"] == 5
    assert cost in said[-1]
    rest = typed("run-agent", *span)  # goes on where it stopped
    assert rest["first"] > begun["last"]
    whole = ("actions", "refused", "sent", "trades", "pnl", "fees", "equity", "drawdown", "killed")
    assert [rest[name] for name in whole] == [played[name] for name in whole]
    account = f"replay-{found['first'][:10].replace('-', '')}T000000"
    assert typed("portfolio", "--account", account, "--rebuild")["differences"] == []
