"""Projections: tables people query, written from a snapshot in the transaction that commits it, and their readers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from agent.errors import NotFound
from agent.store.database.engine import insert
from agent.store.outputs.releases import Release
from agent.store.published import backtest_metrics, markets, predictions
from agent.store.tables import releases, snapshots
from pipelines.component import Outcome, Pending

PREDICTS = "inference"  # the component whose output predictions are
Record = dict[str, Any]  # a row: column -> value


class MarketFacts(NamedTuple):
    """How a market is shown: its question or symbol, and where known the step of its prices and their currency."""

    name: str
    tick_size: float | None
    quote_currency: str | None


_MOST_TIMES = 500  # in one statement: SQLite takes a limited number


def upsert_markets(conn: sa.Connection, rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Make the table show `rows` (MARKET_COLUMNS each; others are left out) and nothing else, found by (source,
    external_id).

    `updated_at` changes only where the row does.
    """
    keys = {(row["source"], row["external_id"]) for row in rows}
    known = conn.execute(sa.select(markets.c.source, markets.c.external_id)).all()
    gone = [{"old_source": source, "old_id": name} for source, name in known if (source, name) not in keys]
    if gone:
        here = sa.and_(markets.c.source == sa.bindparam("old_source"), markets.c.external_id == sa.bindparam("old_id"))
        conn.execute(sa.delete(markets).where(here), gone)
    if not rows:
        return
    new = insert(conn, markets)
    facts = [name for name in markets.c.keys() if name not in ("source", "external_id", "updated_at")]  # noqa: SIM118
    upsert = new.on_conflict_do_update(
        index_elements=["source", "external_id"],
        set_={name: new.excluded[name] for name in (*facts, "updated_at")},
        where=sa.or_(*(markets.c[name].is_distinct_from(new.excluded[name]) for name in facts)),
    )
    kept = ("source", "external_id", *facts)
    conn.execute(upsert, [{name: row.get(name) for name in kept} | {"updated_at": now} for row in rows])


def latest_markets(conn: sa.Connection, limit: int) -> list[Record]:
    """Markets, those that changed last first."""
    query = sa.select(markets).order_by(markets.c.updated_at.desc(), markets.c.market_id).limit(limit)
    return _records(conn, query)


def insert_predictions(conn: sa.Connection, rows: Sequence[Mapping[str, Any]], snapshot_id: int, now: datetime) -> None:
    """Keep predictions as history: one that says what the newest one for its bar says is not kept twice; one that says
    something else supersedes it, and both stay.

    Each row has market_id, ts, model_version, price, probability, confidence, edge, horizon_bars, horizon_end_at, and
    the decision: net_edge, threshold, distance, weight, action, reason.
    """
    known = _in_force(conn, rows)
    old = [known.get((row["market_id"], row["ts"])) for row in rows]
    new = [row for row, before in zip(rows, old, strict=True) if not _says_the_same(before, row)]
    told = zip(rows, old, strict=True)
    said_again = [{"its_id": before["id"]} for row, before in told if before and _says_the_same(before, row)]
    if said_again:
        it = predictions.c.id == sa.bindparam("its_id")
        conn.execute(sa.update(predictions).where(it).values(last_snapshot_id=snapshot_id), said_again)
    if not new:
        return
    # A row of this very snapshot is there already where a commit is repeated after its answer was lost.
    keep = insert(conn, predictions).on_conflict_do_nothing(
        index_elements=["market_id", "ts", "model_version", "snapshot_id"]
    )
    made = {"snapshot_id": snapshot_id, "last_snapshot_id": snapshot_id, "created_at": now}
    conn.execute(keep, [{**row, **made} for row in new])
    again = [row for row in new if (row["market_id"], row["ts"]) in known]
    if not again:
        return
    newest = predictions.alias("newest")
    here = sa.and_(newest.c.market_id == predictions.c.market_id, newest.c.ts == predictions.c.ts)
    by = sa.select(sa.func.max(newest.c.id)).where(here, newest.c.snapshot_id == snapshot_id).scalar_subquery()
    earlier = sa.and_(
        predictions.c.market_id == sa.bindparam("its_market"),
        predictions.c.ts == sa.bindparam("its_ts"),
        predictions.c.snapshot_id != snapshot_id,
        predictions.c.superseded_by.is_(None),
    )
    named = [{"its_market": row["market_id"], "its_ts": row["ts"]} for row in again]
    conn.execute(sa.update(predictions).where(earlier).values(superseded_by=by), named)


def _in_force(conn: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, datetime], Mapping[str, Any]]:
    """(market, ts) -> the prediction that counts for it, of the times that `rows` are of."""
    found: dict[tuple[str, datetime], Mapping[str, Any]] = {}
    times = sorted({row["ts"] for row in rows})
    for start in range(0, len(times), _MOST_TIMES):
        query = sa.select(predictions).where(
            predictions.c.ts.in_(times[start : start + _MOST_TIMES]), predictions.c.superseded_by.is_(None)
        )
        found |= {(row["market_id"], row["ts"]): row for row in conn.execute(query).mappings()}
    return found


def _says_the_same(known: Mapping[str, Any] | None, row: Mapping[str, Any]) -> bool:
    return known is not None and all(known[name] == value for name, value in row.items())


def decisions_of(conn: sa.Connection, release: Release | None, limit: int) -> list[Record]:
    """What `release` decided, one row per market it predicts: those to enter first, then by net edge. Nothing of
    another release is among them, and nothing for None."""
    made = None if release is None else release.versions.get(PREDICTS)
    if made is None:
        return []
    last = sa.func.coalesce(predictions.c.last_snapshot_id, predictions.c.snapshot_id)
    is_to_enter = sa.case((predictions.c.action.in_(("buy", "sell")), 0), else_=1)
    edge = sa.func.coalesce(predictions.c.net_edge, predictions.c.edge)
    query = (
        sa.select(predictions)
        .where(predictions.c.snapshot_id <= made["snapshot_id"], last >= made["snapshot_id"])
        .order_by(is_to_enter, edge.desc(), predictions.c.market_id)
        .limit(limit)
    )
    return _records(conn, query)


def load_market(conn: sa.Connection, market_id: str) -> Record | None:
    """A market's row; None where it is not listed any more."""
    found = _records(conn, sa.select(markets).where(markets.c.market_id == market_id))
    return found[0] if found else None


def market_facts(conn: sa.Connection, market_ids: Collection[str]) -> dict[str, MarketFacts]:
    """How markets are shown, those among `market_ids` that are known."""
    name = sa.func.coalesce(markets.c.question, markets.c.symbol, markets.c.market_id)
    query = sa.select(markets.c.market_id, name, markets.c.tick_size, markets.c.quote_currency)
    its = markets.c.market_id.in_(market_ids)
    return {market_id: MarketFacts(*facts) for market_id, *facts in conn.execute(query.where(its))}


def names_of_markets(conn: sa.Connection) -> dict[str, tuple[str, ...]]:
    """What each market is called beside its id: its name at the source, symbol and question, where it has them."""
    c = markets.c
    query = sa.select(c.market_id, c.external_id, c.symbol, c.question)
    return {market: tuple(filter(None, names)) for market, *names in conn.execute(query)}


def predictions_of(conn: sa.Connection, market_id: str, limit: int) -> list[Record]:
    """Everything ever predicted of one market, newest first."""
    query = sa.select(predictions).where(predictions.c.market_id == market_id)
    return _records(conn, query.order_by(predictions.c.ts.desc(), predictions.c.id.desc()).limit(limit))


def predictions_with_outcome(conn: sa.Connection, limit: int) -> list[Record]:
    """Predictions whose outcome is known and that were not superseded, newest first."""
    settled = sa.select(predictions).where(predictions.c.outcome.is_not(None), predictions.c.superseded_by.is_(None))
    return _records(conn, settled.order_by(predictions.c.ts.desc(), predictions.c.id.desc()).limit(limit))


def count_published(conn: sa.Connection, run_id: int) -> int:
    """How many predictions the release made by run `run_id` brought; 0 where it made none."""
    made = conn.execute(sa.select(releases.c.versions).where(releases.c.run_id == run_id)).first()
    if made is None:
        return 0
    sources = [item["snapshot_id"] for item in made.versions.values()]
    query = sa.select(sa.func.count()).select_from(predictions).where(predictions.c.snapshot_id.in_(sources))
    return conn.scalar(query) or 0


def pending_predictions(conn: sa.Connection, limit: int) -> list[Pending]:
    """Predictions without outcome, oldest first, superseded ones too: the forward record has them. Whether a horizon is
    over is for the data to tell, not a clock."""
    query = (
        sa.select(*(predictions.c[name] for name in ("id", "market_id", "ts", "horizon_end_at", "horizon_bars")))
        .where(predictions.c.outcome.is_(None))
        .order_by(predictions.c.ts, predictions.c.id)
        .limit(limit)
    )
    return [Pending(**row) for row in conn.execute(query).mappings()]


def settle_predictions(conn: sa.Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Write what became of predictions; one that has an outcome keeps it."""
    update = (
        sa.update(predictions)
        .where(predictions.c.id == sa.bindparam("settled_id"), predictions.c.outcome.is_(None))
        .values(
            realized_return=sa.bindparam("settled_return"),
            outcome=sa.bindparam("settled_outcome"),
            settled_at=now,
        )
    )
    rows = [
        {"settled_id": one.id, "settled_return": one.realized_return, "settled_outcome": one.outcome}
        for one in outcomes
    ]
    if rows:
        conn.execute(update, rows)


class LiveScore(NamedTuple):
    """Published predictions whose outcome is known: their Brier score, mean (probability - outcome)², how many they
    are, how often they came true, and the Brier score of always saying that rate: rate × (1 - rate)."""

    brier: float | None
    settled: int
    rate: float | None
    base_brier: float | None


def live_score(conn: sa.Connection) -> LiveScore:
    """The score of all that were not superseded; None where there are none."""
    error = predictions.c.probability - predictions.c.outcome
    counts = predictions.c.outcome.is_not(None) & predictions.c.superseded_by.is_(None)
    means = sa.func.avg(error * error), sa.func.avg(predictions.c.outcome)
    brier, mean, count = conn.execute(sa.select(*means, sa.func.count()).where(counts)).one()
    if not count:
        return LiveScore(None, 0, None, None)
    rate = float(mean)
    return LiveScore(float(brier), count, rate, rate * (1 - rate))


def replace_metrics(conn: sa.Connection, snapshot_id: int, metrics: Mapping[str, Mapping[str, float | None]]) -> None:
    """Write the metrics of a backtest: strategy -> metric -> value, None where it is not defined."""
    conn.execute(sa.delete(backtest_metrics).where(backtest_metrics.c.snapshot_id == snapshot_id))
    rows = [
        {"snapshot_id": snapshot_id, "strategy": strategy, "metric": metric, "value": value}
        for strategy, values in metrics.items()
        for metric, value in values.items()
    ]
    if rows:
        conn.execute(sa.insert(backtest_metrics), rows)


def backtest_runs(conn: sa.Connection, limit: int) -> list[Record]:
    """The newest backtests, newest first: snapshot_id, version, created_at, metrics (as in `replace_metrics`)."""
    with_metrics = sa.select(backtest_metrics.c.snapshot_id).distinct()
    query = _backtests().where(snapshots.c.id.in_(with_metrics)).order_by(snapshots.c.id.desc()).limit(limit)
    return [_with_metrics(conn, row) for row in _records(conn, query)]


def backtest_run(conn: sa.Connection, snapshot_id: int) -> Record:
    """One backtest, as in `backtest_runs`. Raises NotFound."""
    found = [_with_metrics(conn, row) for row in _records(conn, _backtests().where(snapshots.c.id == snapshot_id))]
    if not found or not found[0]["metrics"]:
        raise NotFound(
            f"there is no backtest {snapshot_id}", where="backtest_metrics", fix="/backtests/runs lists them"
        )
    return found[0]


def _backtests() -> sa.Select[Any]:
    return sa.select(snapshots.c.id.label("snapshot_id"), snapshots.c.version, snapshots.c.created_at)


def _with_metrics(conn: sa.Connection, row: Record) -> Record:
    query = sa.select(backtest_metrics).where(backtest_metrics.c.snapshot_id == row["snapshot_id"])
    metrics: dict[str, dict[str, float | None]] = {}
    for item in conn.execute(query.order_by(backtest_metrics.c.strategy, backtest_metrics.c.metric)):
        metrics.setdefault(item.strategy, {})[item.metric] = item.value
    return {**row, "metrics": metrics}


def _records(conn: sa.Connection, query: sa.Select[Any]) -> list[Record]:
    return [dict(row) for row in conn.execute(query).mappings()]
