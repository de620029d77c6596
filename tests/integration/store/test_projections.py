"""The tables that people query: markets, predictions with their outcomes, backtests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from agent.core.record import Promise, promise_text
from agent.errors import NotFound
from agent.store.database.engine import writing
from agent.store.outputs import catalog, projections, promises
from agent.store.outputs.releases import Release
from agent.store.published import predictions
from pipelines.component import Outcome
from pipelines.snapshot import Snapshot
from pipelines.source import MARKET_COLUMNS
from tests.integration.store.conftest import NOW

TS = datetime(2013, 3, 1, 21, tzinfo=UTC)


@pytest.fixture
def conn(engine: sa.Engine) -> Iterator[sa.Connection]:
    with writing(engine) as conn:
        yield conn


def market(name: str, **other: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(MARKET_COLUMNS)
    row |= {"market_id": f"sample:{name}", "source": "sample", "external_id": name, "symbol": name}
    return {**row, "kind": "equity", "status": "open", "volume": 1.0, **other}


def prediction(market_id: str, **other: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"market_id": market_id, "ts": TS, "model_version": "m1", "price": 10.0, "probability": 0.75}
    row |= {"confidence": 0.5, "edge": 0.01, "horizon_bars": 5, "horizon_end_at": TS + timedelta(days=7)}
    row |= {"net_edge": 0.01, "threshold": 0.6, "distance": 0.15, "weight": 0.0, "action": "hold", "reason": "why"}
    return {**row, **other}


def test_the_markets_table_shows_the_snapshot_and_nothing_else(conn: sa.Connection) -> None:
    projections.upsert_markets(conn, [market("AAPL"), market("FB"), market("GONE")], NOW)
    later = NOW + timedelta(hours=1)
    projections.upsert_markets(conn, [market("AAPL"), market("FB", volume=2.0, resolved_at=TS)], later)
    rows = projections.latest_markets(conn, 10)
    assert [(row["external_id"], row["volume"], row["updated_at"]) for row in rows] == [
        ("FB", 2.0, later),
        ("AAPL", 1.0, NOW),
    ]
    assert rows[0]["resolved_at"] == TS
    assert len(projections.latest_markets(conn, 1)) == 1
    projections.upsert_markets(conn, [], later)
    assert projections.latest_markets(conn, 10) == []


def everything(conn: sa.Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in conn.execute(sa.select(predictions)).mappings()]


def release_of(snapshot_id: int) -> Release:
    versions = {"inference": {"snapshot_id": snapshot_id}}
    return Release(1, "r", "v", 9, True, False, NOW, versions, {}, None, None, None, NOW)


def test_the_decisions_of_a_release_are_its_own_alone(conn: sa.Connection) -> None:
    """An expired market's row, one that was superseded, and one made since the release are of other releases."""
    later = TS + timedelta(days=1)
    first = [prediction("expired"), prediction("held", net_edge=-0.1), prediction("changed"), prediction("again")]
    second = [
        prediction("held", net_edge=-0.1),
        prediction("changed", ts=later, action="buy", net_edge=0.1),
        prediction("again", probability=0.1),
    ]
    projections.insert_predictions(conn, first, 1, NOW)
    projections.insert_predictions(conn, second, 2, NOW)
    projections.insert_predictions(conn, [prediction("new")], 3, NOW)

    def shown(snapshot_id: int) -> list[tuple[str, datetime, float]]:
        rows = projections.decisions_of(conn, release_of(snapshot_id), 10)
        return [(row["market_id"], row["ts"], row["probability"]) for row in rows]

    assert sorted(name for name, _, _ in shown(1)) == ["again", "changed", "expired", "held"]
    assert shown(2)[0] == ("changed", later, 0.75)  # what is to be entered leads
    assert sorted(shown(2)) == [("again", TS, 0.1), ("changed", later, 0.75), ("held", TS, 0.75)]
    assert shown(3) == [("new", TS, 0.75)]
    assert projections.decisions_of(conn, None, 10) == []


def test_predictions_are_kept_as_history(conn: sa.Connection) -> None:
    projections.insert_predictions(conn, [prediction("a"), prediction("b")], 1, NOW)
    changed = [prediction("a", probability=0.1), prediction("a", model_version="m2"), prediction("c")]
    projections.insert_predictions(conn, changed, 2, NOW)
    projections.insert_predictions(conn, [], 3, NOW)
    rows = everything(conn)
    assert len(rows) == 5
    assert [row["snapshot_id"] for row in projections.predictions_of(conn, "a", 2)] == [2, 2]
    ids = {(row["market_id"], row["model_version"], row["snapshot_id"]): row["id"] for row in rows}
    first, newer = ids["a", "m1", 1], ids["a", "m2", 2]
    by = {row["id"]: row["superseded_by"] for row in rows}
    assert by[first] == newer, "what was said of a's bar before counts no more"
    assert {one for one, other in by.items() if other is None} >= {newer, ids["b", "m1", 1], ids["c", "m1", 2]}


def test_a_prediction_made_again_supersedes_the_earlier_one_and_is_settled_itself(conn: sa.Connection) -> None:
    projections.insert_predictions(conn, [prediction("a"), prediction("b")], 1, NOW)
    projections.insert_predictions(conn, [prediction("a", probability=0.25), prediction("b")], 2, NOW)
    projections.insert_predictions(conn, [prediction("a", probability=0.25), prediction("b")], 3, NOW)
    projections.insert_predictions(conn, [prediction("a", probability=0.25), prediction("b")], 3, NOW)
    rows = everything(conn)
    assert sorted((row["market_id"], row["probability"], row["snapshot_id"]) for row in rows) == [
        ("a", 0.25, 2),
        ("a", 0.75, 1),
        ("b", 0.75, 1),
    ]
    pending = projections.pending_predictions(conn, 10)
    assert sorted(one.id for one in pending) == sorted(row["id"] for row in rows), (
        "the forward record has superseded ones too"
    )
    newest = {row["market_id"]: row["id"] for row in rows if row["superseded_by"] is None}
    assert promises.load_promise(conn) is None
    projections.settle_predictions(conn, [Outcome(one.id, 0.02, 1) for one in pending if one.market_id == "a"], NOW)
    assert projections.live_score(conn)[:2] == (pytest.approx(0.75**2), 1)
    assert [row["id"] for row in projections.predictions_with_outcome(conn, 10)] == [newest["a"]]
    kept = promises.load_promise(conn)
    assert kept == Promise(None, pytest.approx((0.75**2 + 0.25**2) / 2), 2, NOW)
    assert promise_text(kept) == f"promised no Brier score, kept 0.3125 on 2 outcomes, since {NOW:%Y-%m-%d}"


def test_outcomes_are_written_once(conn: sa.Connection) -> None:
    projections.insert_predictions(conn, [prediction("a"), prediction("b", probability=0.5)], 1, NOW)
    pending = projections.pending_predictions(conn, 10)
    assert [(one.market_id, one.ts, one.horizon_bars) for one in pending] == [("a", TS, 5), ("b", TS, 5)]
    assert projections.live_score(conn) == (None, 0, None, None)
    projections.settle_predictions(conn, [Outcome(pending[0].id, 0.02, 1)], NOW)
    projections.settle_predictions(conn, [Outcome(pending[0].id, -0.5, 0), Outcome(pending[1].id, -0.1, 0)], NOW)
    projections.settle_predictions(conn, [], NOW)
    settled = {row["market_id"]: row for row in projections.predictions_with_outcome(conn, 10)}
    assert (settled["a"]["outcome"], settled["a"]["realized_return"], settled["a"]["settled_at"]) == (1, 0.02, NOW)
    assert settled["b"]["outcome"] == 0
    assert projections.pending_predictions(conn, 10) == []
    live = projections.live_score(conn)
    assert live.settled == 2
    assert live.brier == pytest.approx((0.25**2 + 0.5**2) / 2)
    assert (live.rate, live.base_brier) == (0.5, 0.25)


def test_backtests_are_listed_with_their_metrics(conn: sa.Connection) -> None:
    ids = [
        catalog.save_snapshot(
            conn,
            Snapshot("backtest", ()),
            attempt_id=None,
            token=1,
            inputs={},
            code_version="c",
            settings_hash="s",
            settings={},
            now=NOW,
        )
        for _ in range(3)
    ]
    for snapshot_id in ids[:2]:
        projections.replace_metrics(conn, snapshot_id, {"model": {"sharpe": 0.5}, "gone": {"sharpe": 1.0}})
        projections.replace_metrics(conn, snapshot_id, {"model": {"sharpe": 1.5, "sortino": None}})
    found = projections.backtest_runs(conn, 10)
    assert [row["snapshot_id"] for row in found] == [ids[1], ids[0]]
    assert found[0]["metrics"] == {"model": {"sharpe": 1.5, "sortino": None}}
    assert projections.backtest_run(conn, ids[0]) == found[1]
    with pytest.raises(NotFound):
        projections.backtest_run(conn, ids[2])
