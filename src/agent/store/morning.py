"""Reads what the morning's questions are answered from: agent.core.morning says what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from agent.core import morning
from agent.core.answers import Ref
from agent.core.morning import SIDES, Decided, Fresh, Gains, Morning, Outcomes, Since
from agent.core.record import promise_text
from agent.core.release_diff import changes
from agent.store.control import attempts
from agent.store.database.engine import Connections
from agent.store.outputs import projections, promises, releases
from agent.store.outputs.projections import Record
from agent.store.outputs.releases import Release
from agent.store.published import markets, predictions

NOTHING: Mapping[str, Sequence[Record]] = MappingProxyType({})
_DECISIONS = 20_000  # of a release, one per market
_FIELDS = ("market_id", "ts", "probability", "action", "threshold", "distance", "reason")
_OUTCOME = ("outcome", "realized_return")  # which what nobody published has not
_COUNTS = predictions.c.superseded_by.is_(None)
_IS_SETTLED = _COUNTS & predictions.c.outcome.is_not(None)


def load_morning(at: Connections, now: datetime) -> Morning | None:
    """The morning of the project that `at` leads to; None before its first release. Of historical data the present is
    the newest tick behind the release."""
    release = releases.current_release(at.project)
    if release is None:
        return None
    present = release.as_of if release.is_historical and release.as_of is not None else now
    decided = _decided(at.project, _published(at, release))
    outcomes, waiting = _outcomes(at.project, present, release.base_rate)
    return Morning(
        today=present.astimezone(UTC).date(),
        fresh=_fresh(at.project, release, now),
        since=_since(at, release, decided),
        ready=morning.ready(decided),
        outcomes=outcomes,
        waiting=waiting,
        money=morning.money(_gains(at.project, present), _by_market(at.project)),
    )


def _fresh(conn: sa.Connection, release: Release, now: datetime) -> Fresh:
    promise = promises.load_promise(conn)
    is_aged = release.as_of is not None and not release.is_historical
    return Fresh(
        release=release.name,
        data_to=release.as_of,
        released_at=release.created_at,
        age_seconds=(now - release.as_of).total_seconds() if is_aged and release.as_of else None,
        is_historical=release.is_historical,
        assessment=release.assessment,
        promise=None if promise is None else promise_text(promise),
    )


def _since(at: Connections, release: Release, decided: Sequence[Decided]) -> Since:
    before = releases.newest_other(at.project, release.name)
    if before is None:
        return Since(None)
    return _between(at, before, release, _decided(at.project, _published(at, before)), decided)


def load_between(
    at: Connections, before: Release, after: Release, unpublished: Mapping[str, Sequence[Record]] = NOTHING
) -> Since:
    """What is different in one release from another: recorded causes, markets, and decisions that moved, most first.
    `unpublished`: release -> the rows of its decisions, where they are not in the table (see agent.store.comparing)."""
    old, new = (
        _decided(at.project, unpublished[one.name] if one.name in unpublished else _published(at, one))
        for one in (before, after)
    )
    return _between(at, before, after, old, new)


def _published(at: Connections, release: Release) -> Sequence[Record]:
    return projections.decisions_of(at.project, release, _DECISIONS)


def _between(
    at: Connections, before: Release, after: Release, old: Sequence[Decided], decided: Sequence[Decided]
) -> Since:
    known = [one.run_id for one in (before, after) if one.run_id is not None]
    # Either may be the later one.
    ran = attempts.causes_between(at.control, at.project_id, min(known), max(known)) if len(known) == 2 else []
    settings = {name: one.settings for name, one in releases.behind(at.project, before, after).items()}
    found = changes(before.versions, after.versions, settings)
    return morning.since(
        before.name,
        morning.causes_of(ran, found),
        {one.market_id: one for one in old},
        {one.market_id: one for one in decided},
    )


def _decided(conn: sa.Connection, rows: Sequence[Record]) -> list[Decided]:
    known = projections.market_facts(conn, {row["market_id"] for row in rows})
    return [
        Decided(
            name=known[row["market_id"]].name if row["market_id"] in known else row["market_id"],
            **({name: row[name] for name in _FIELDS} | {name: row.get(name) for name in _OUTCOME}),
        )
        for row in rows
    ]


def _outcomes(conn: sa.Connection, now: datetime, base_rate: float | None) -> tuple[Outcomes | None, int]:
    """Of the newest day before today that has an outcome, or else of today; and how many decisions of that day and
    later wait for theirs."""
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    newest = sa.select(sa.func.max(predictions.c.ts, type_=predictions.c.ts.type)).where(_IS_SETTLED)
    last = conn.scalar(newest.where(predictions.c.ts < midnight)) or conn.scalar(newest)
    waiting = sa.select(sa.func.count()).where(_COUNTS, predictions.c.outcome.is_(None))
    if last is None:
        return None, conn.scalar(waiting) or 0
    begin = datetime.combine(last.date(), time(), UTC)
    of_day = sa.and_(predictions.c.ts >= begin, predictions.c.ts < begin + timedelta(days=1))
    query = sa.select(predictions).where(_IS_SETTLED, of_day).order_by(predictions.c.id)
    settled = [
        Decided(name="", **{name: row[name] for name in (*_FIELDS, *_OUTCOME)})
        for row in conn.execute(query).mappings()
    ]
    count = conn.scalar(waiting.where(predictions.c.ts >= begin)) or 0
    return morning.outcomes(begin.date(), settled, base_rate), count


def _gains(conn: sa.Connection, now: datetime) -> list[Gains]:
    """Gains of settled entries by the day (UTC) on which their horizon ended, in order."""
    end, gain = predictions.c.horizon_end_at, _gain()
    day = sa.func.date(end if conn.dialect.name == "sqlite" else sa.func.timezone("UTC", end)).label("day")
    recent = [sa.and_(end > now - timedelta(days=days), end <= now) for days in (1, 7)]
    sums = [sa.func.coalesce(sa.func.sum(sa.case((one, gain), else_=0.0)), 0.0) for one in recent]
    counts = [sa.func.sum(sa.case((one, 1), else_=0)) for one in recent]
    gained = sa.func.sum(sa.case((gain > 0, 1), else_=0))
    query = _entries(day, sa.func.count(), gained, sa.func.sum(gain), *sums, *counts)
    rows = conn.execute(query.group_by(day).order_by(day))
    return [Gains(*sums) for _, *sums in rows]


def _by_market(conn: sa.Connection) -> list[tuple[Ref, float]]:
    name = sa.func.coalesce(markets.c.question, markets.c.symbol, predictions.c.market_id)
    query = _entries(predictions.c.market_id, sa.func.max(name), sa.func.sum(_gain()))
    rows = conn.execute(query.group_by(predictions.c.market_id))
    return [(Ref("market", market_id, its_name), float(gain)) for market_id, its_name, gain in rows]


def _entries(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Of settled entries."""
    joined = predictions.outerjoin(markets, markets.c.market_id == predictions.c.market_id)
    entered = sa.and_(predictions.c.action.in_(tuple(SIDES)), predictions.c.weight.is_not(None))
    has_return = predictions.c.realized_return.is_not(None)
    return sa.select(*columns).select_from(joined).where(_IS_SETTLED, entered, has_return)


def _gain() -> sa.ColumnElement[Any]:
    """What an entry gained, a fraction of equity: its weight times its return on what it cost. The return of a binary
    market is in units of its payoff 1, of which buying costs the price and selling (buying NO) one less the price."""
    is_binary, sells = markets.c.kind == "binary", predictions.c.action == "sell"
    cost = sa.case((sa.and_(is_binary, sells), 1.0 - predictions.c.price), (is_binary, predictions.c.price), else_=1.0)
    side = sa.case((sells, float(SIDES["sell"])), else_=float(SIDES["buy"]))
    share = predictions.c.realized_return / sa.func.nullif(cost, 0.0)  # of a price of 0 nothing is bought
    return sa.func.coalesce(side * predictions.c.weight * share, 0.0)
