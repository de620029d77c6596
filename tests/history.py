"""A project's history written straight into its tables, for pages that show what happened: two releases, settled
entries, and runs in which components were computed, came out the same, were deferred, blocked and failed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from agent.core import events as happened
from agent.core.grid import Outcome as Happened
from agent.core.model import Block, Code, Compute, Defer, Plan, Reason, Skip
from agent.core.plan_json import plan_to_json
from agent.store.control import attempts, events, runs
from agent.store.database.engine import open_engine, writing
from agent.store.outputs import projections, releases
from agent.store.tables import runs as runs_table
from agent.store.tables import snapshots
from pipelines.component import Outcome
from pipelines.source import MARKET_COLUMNS

DAY = timedelta(days=1)
COMPONENTS = ("ticks", "model", "publish")
NEW_DATA = Reason(Code.SOURCE_NEW_DATA, "crypto", "a", "b", "2 parts")
WHO = "host/boot/ns/1/2"
# Seconds from the end of a run back to its start, its steps: see `_step`.
RUNS = (
    (40, "new", "new", "new"),
    (35, "new", "new", "new"),
    (5, "same", "skip", "skip"),
    (8, "new", "defer", "skip"),
    (9, "skip", "fail", "block"),
)
# What a step of RUNS is called on the grid.
OUTCOMES: dict[str, Happened] = {
    "new": "computed",
    "same": "same",
    "skip": "up to date",
    "defer": "deferred",
    "block": "blocked",
    "fail": "failed",
}


def write_history(url: str, now: datetime) -> None:
    """Write it into the migrated database at `url`, as if it had ended an hour before `now`."""
    engine = open_engine(url)
    with writing(engine) as conn:
        made = [
            _run(conn, seconds, steps, now - (len(RUNS) - n) * timedelta(hours=1))
            for n, (seconds, *steps) in enumerate(RUNS)
        ]
        projections.upsert_markets(conn, [_market("BTC"), _market("ETC"), _market("RAIN", "Will it <rain>?")], now)
        _settled(conn, now)
        first = [("BTC", 0.55, "hold", -0.02), ("ETC", 0.30, "hold", -0.2), ("GONE", 0.5, "hold", None)]
        second = [("BTC", 0.61, "buy", 0.04), ("ETC", 0.410, "hold", -0.001), ("RAIN", 0.2, "hold", -0.3)]
        for number, (rows, run_id) in enumerate(((first, made[0]), (second, made[1]))):
            at = now - timedelta(minutes=90 - 60 * number)
            snapshot = _snapshot(conn, "inference", at)
            projections.insert_predictions(conn, [_prediction(at, *row) for row in rows], snapshot, at)
            _release(conn, f"release-{number + 1}", snapshot, run_id, at)
    engine.dispose()


def _market(name: str, question: str | None = None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(MARKET_COLUMNS)
    row |= {"market_id": f"crypto:{name}", "source": "crypto", "external_id": name, "status": "open"}
    return {**row, "symbol": name, "question": question, "kind": "binary" if question else "spot"}


def _prediction(at: datetime, name: str, probability: float, action: str, distance: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {"market_id": f"crypto:{name}", "ts": at, "model_version": "m", "price": 0.25}
    row |= {"probability": probability, "confidence": 0.5, "edge": 0.01, "net_edge": 0.01, "action": action}
    row |= {"threshold": None if distance is None else round(probability - distance, 6), "distance": distance}
    row |= {"weight": 0.2 if action != "hold" else 0.0, "reason": f"why {action}"}
    return {**row, "horizon_bars": 1, "horizon_end_at": at + timedelta(hours=1)}


def _settled(conn: sa.Connection, now: datetime) -> None:
    """Decisions of yesterday and of the days before, with outcomes: BTC gains, ETC loses, RAIN is a contract."""
    yesterday = now.replace(hour=22, minute=50, second=0, microsecond=0) - DAY  # over within a day of nearly any `now`
    snapshot = _snapshot(conn, "inference", now - 20 * DAY)
    rows = [
        _prediction(yesterday - number * DAY, name, probability, action, 0.1)
        for number in range(12)
        for name, probability, action in (("BTC", 0.7, "buy"), ("ETC", 0.6, "buy"), ("RAIN", 0.1, "sell"))
    ]
    projections.insert_predictions(conn, rows, snapshot, now - 12 * DAY)
    returns = {"crypto:BTC": 0.02, "crypto:ETC": -0.01, "crypto:RAIN": -0.15}
    pending = projections.pending_predictions(conn, 1000)
    outcomes = [Outcome(one.id, returns[one.market_id], int(returns[one.market_id] > 0)) for one in pending]
    projections.settle_predictions(conn, outcomes, now - DAY / 2)


def _snapshot(conn: sa.Connection, component: str, at: datetime) -> int:
    row = {"component": component, "version": f"{at:%m%d%H%M}" * 8, "rows": 3, "token": 1, "input_versions": {}}
    row |= {"code_version": "c", "settings_hash": "s", "settings": {}, "created_at": at}
    made = conn.execute(sa.insert(snapshots).values(row).returning(snapshots.c.id))
    return int(made.scalar_one())


def _release(conn: sa.Connection, name: str, inference: int, run_id: int, at: datetime) -> None:
    facts = {"version": name, "code_version": "c", "settings_hash": "s", "snapshot_id": inference}
    releases.insert_release(
        conn,
        name=name,
        version=name,
        snapshot_id=_snapshot(conn, "publish", at),
        is_historical=False,
        as_of=at,
        versions={"inference": facts},
        metrics={
            "assessment": {"sentence": "EDGE: in this history", "verdict": "EDGE", "tradable": True},
            "model": {"brier": 0.2 if name == "release-1" else 0.19, "base_rate": 0.45},
            "backtest": {"model": {"total_return": 0.1, "trades": 3}},
        },
        git_commit=None,
        run_id=run_id,
        now=at,
    )
    releases.make_current(conn, name)


def _run(conn: sa.Connection, seconds: float, steps: list[str], end: datetime) -> int:
    """A run that ended at `end`, with one step for each of COMPONENTS."""
    at = end - timedelta(seconds=seconds)
    run = runs.create_run(conn, project_id=0, goal="refresh", targets=["publish"], force=[], trigger="schedule", now=at)
    planned = [_planned(name, step) for name, step in zip(COMPONENTS, steps, strict=True)]
    is_failed = "fail" in steps
    for status, before in (("RUNNING", "QUEUED"), ("FAILED" if is_failed else "COMPLETED", "RUNNING")):
        runs.move_run(conn, run.id, status, from_statuses=(before,), plan=plan_to_json(Plan(tuple(planned))))
    times = {"started_at": at, "finished_at": end}
    conn.execute(sa.update(runs_table).where(runs_table.c.id == run.id).values(**times))
    for name, step in zip(COMPONENTS, steps, strict=True):
        _step(conn, run.id, name, step, at, seconds / len(COMPONENTS))
    return run.id


def _planned(name: str, step: str) -> Any:
    if step in ("new", "same", "fail"):
        return Compute(name, (NEW_DATA,))
    return {"skip": Skip(name, "v1"), "defer": Defer(name, (NEW_DATA,), "tomorrow"), "block": Block(name, "model")}[
        step
    ]


def _step(conn: sa.Connection, run_id: int, name: str, step: str, at: datetime, seconds: float) -> None:
    if step in ("skip", "defer", "block"):
        event = {
            "skip": happened.Skipped(name, "v1"),
            "defer": happened.Deferred(name, "tomorrow", (NEW_DATA,)),
            "block": happened.Blocked(name, "model"),
        }[step]
        events.append(conn, run_id, event, at)
        return
    attempt = attempts.start_attempt(
        conn, run_id=run_id, component=name, number=1, token=1, owner=WHO, reasons=[NEW_DATA], now=at
    )
    end: dict[str, Any] = {"status": "succeeded", "output_version": f"{run_id}{name}", "is_cut_off": step == "same"}
    if step == "fail":
        end = {"status": "failed", "error": "the <model> broke\nfix: mend it", "traceback": "Traceback: line 7"}
    else:
        end |= {"rows": 1234, "recomputed_partitions": 2, "carried_partitions": 5}
    done = at + timedelta(seconds=seconds)
    attempts.finish_attempt(conn, attempt, now=done, seconds=seconds, input_versions={"crypto": "b"}, **end)
