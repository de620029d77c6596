"""The heartbeat: reported once while its database is away, and of two leases the one that is lost is named."""

from __future__ import annotations

import pytest

from agent import identity
from agent.errors import DatabaseUnavailable
from agent.runtime.keeper import LeaseKeeper
from agent.store import leases, state
from agent.store.database.engine import Database, open_engine
from tests.served import wait_until


def test_a_database_that_is_away_is_reported_once(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = open_engine(sqlite_url)
    looks: list[int] = []

    def look() -> str | None:
        looks.append(1)
        if len(looks) <= 5:
            raise DatabaseUnavailable("it is away", where="here", fix="wait")
        return None

    with LeaseKeeper(Database(control=engine, project=engine), "run 999", (), 0.06, look):
        wait_until(lambda: len(looks) > 6)
    engine.dispose()
    messages = [record.getMessage() for record in caplog.records if record.name == "tidemill.heartbeat"]
    assert [text.partition(":")[0] for text in messages] == [
        "the heartbeat of run 999 fails",
        "the heartbeat of run 999 is back",
    ]


def test_of_two_leases_the_lost_one_is_named_and_the_other_goes_on(database_url: str) -> None:
    engine = open_engine(database_url)
    database = Database(control=engine, project=engine)
    with database.writing() as both:
        state.ensure_rows(both.project, ["ticks"])
        runner = leases.take(both.control, leases.RUNNER, identity.own(), 60)
        ticks = leases.take(both.project, leases.of_component("ticks"), identity.own(), 0)
        leases.take(both.project, ticks.name, "elsewhere/b/n/1/2", 60)
    with LeaseKeeper(database, "both", (runner, ticks), 0.06) as keeper:
        wait_until(lambda: bool(keeper.lost))
        assert keeper.lost == {"component:ticks"}
        assert keeper.reason_to_stop() == "the lease on component ticks was taken over by another process"
    with database.writing() as both:
        assert leases.is_held(both.control, runner.name, runner.token)
    engine.dispose()
