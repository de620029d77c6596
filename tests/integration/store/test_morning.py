"""The morning as read from the tables, on both databases: its figures are those of SQL and metrics.json."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from agent.core.answers import Ref, plain
from agent.core.morning import Morning
from agent.core.morning_text import answers_of
from agent.store.database.engine import Connections, reading, writing
from agent.store.morning import load_morning
from agent.store.outputs import releases
from agent.store.published import predictions
from tests.history import NEW_DATA, write_history

NOW = datetime(2026, 11, 27, 7, tzinfo=UTC)


def loaded(engine: sa.Engine, now: datetime = NOW) -> Morning | None:
    with reading(engine) as conn:
        return load_morning(Connections(conn, conn), now)


def test_before_the_first_release_there_is_none(engine: sa.Engine) -> None:
    assert loaded(engine) is None


def test_its_figures_are_those_of_the_tables(engine: sa.Engine, database_url: str) -> None:
    write_history(database_url, NOW)
    found = loaded(engine)
    assert found is not None
    assert (found.fresh.release, found.fresh.age_seconds) == ("release-2", 1800)
    assert found.fresh.assessment == "EDGE: in this history"
    assert found.since.before == "release-1"
    assert found.since.causes[0] == f"ticks ran because there is new data in the source crypto ({NEW_DATA.detail})"
    assert [one.text for one in found.since.new] == ["Will it <rain>?"]
    assert [one.text for one in found.since.gone] == ["crypto:GONE"]
    assert [(now.name, then.action, now.action) for then, now in found.since.moved] == [
        ("BTC", "hold", "buy"),
        ("ETC", "hold", "hold"),
    ]
    assert [one.name for one in found.ready.entries] == ["BTC"]
    assert [one.name for one in found.ready.nearest] == ["ETC", "Will it <rain>?"]
    with reading(engine) as conn:
        rows = conn.execute(sa.select(predictions).where(predictions.c.outcome.is_not(None))).mappings().all()
        base_rate = releases.load_release(conn, "release-2").metrics["model"]["base_rate"]
    yesterday = [row for row in rows if row["ts"].date() == (NOW - timedelta(days=1)).date()]
    assert found.outcomes is not None
    assert (found.outcomes.count, found.outcomes.right, found.outcomes.base_right) == (3, 2, 2)
    assert found.outcomes.brier == pytest.approx(sum((r["probability"] - r["outcome"]) ** 2 for r in yesterday) / 3)
    assert found.outcomes.base_brier == pytest.approx(sum((base_rate - r["outcome"]) ** 2 for r in yesterday) / 3)
    assert found.waiting == 6
    gains = {row["id"]: _gain(row) for row in rows}
    for days, shown in (
        (1, found.money.gains.last_day),
        (7, found.money.gains.last_week),
        (999, found.money.gains.total),
    ):
        since = NOW - timedelta(days=days)
        assert shown == pytest.approx(sum(gains[row["id"]] for row in rows if since < row["horizon_end_at"] <= NOW))
    assert (found.money.gains.entered, found.money.gains.gained) == (36, 24)
    assert found.money.curve[-1] == pytest.approx(sum(gains.values()))
    assert len(found.money.curve) == 13, "a point before the first day, one for each day"
    assert found.money.best[0][0] == Ref("market", "crypto:RAIN", "Will it <rain>?")
    assert found.money.worst[0][0].text == "ETC"
    assert len(answers_of(found)) == 5


def _gain(row: sa.RowMapping) -> float:
    """As the page says: a contract's NO costs 1 - price."""
    side, cost = (-1, 1 - row["price"]) if row["action"] == "sell" else (1, 1.0)
    return float(side * row["weight"] * row["realized_return"] / cost)


def test_a_release_that_is_rolled_back_is_compared_with_the_one_it_replaced(
    engine: sa.Engine, database_url: str
) -> None:
    write_history(database_url, NOW)
    with writing(engine) as conn:
        releases.make_current(conn, "release-1")
    found = loaded(engine)
    assert found is not None
    assert found.since.before == "release-2"
    assert [one.text for one in found.since.gone] == ["Will it <rain>?"]


def test_outcomes_of_today_are_shown_where_there_are_no_others(engine: sa.Engine, database_url: str) -> None:
    write_history(database_url, NOW)
    with writing(engine) as conn:
        conn.execute(sa.delete(predictions).where(predictions.c.outcome.is_not(None)))
    found = loaded(engine)
    assert found is not None
    assert (found.outcomes, found.waiting) == (None, 6)
    with writing(engine) as conn:
        conn.execute(sa.update(predictions).values(outcome=1, realized_return=0.1))
    found = loaded(engine)
    assert found is not None
    assert found.outcomes is not None
    assert found.outcomes.day == NOW.date()
    assert plain(answers_of(found)[3].head).startswith("Today: 1 of 6 right")
