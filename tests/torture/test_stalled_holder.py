"""Torture 4: a holder that sleeps past its lease finds that it was overtaken, and leaves without a trace."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter

import pytest
import sqlalchemy as sa

from tests.torture.world import World

pytestmark = pytest.mark.torture
_BOUNDED = ("commit.beginning",)
_LONG = (
    "attempt.opened",
    "lake.file.written",
    "lake.file.flushed",
    "lake.flushed",
    "attempt.computed",
    "commit.beginning",
    "heartbeat.extending",
    "release.moved",
)


def test_a_stalled_holder_is_overtaken_and_refused(world: World, is_long: bool, figures: Counter[str]) -> None:
    kind = "SQLite" if world.url.startswith("sqlite") else "PostgreSQL"
    world.lease_seconds = 0.6
    for point in _LONG if is_long else _BOUNDED:
        for nth in (1, 2, 3) if is_long else (3,):
            world.reset()
            world.settings()
            holder = world.start_run(fault={"point": point, "nth": nth, "do": "stop"})
            if point == "heartbeat.extending":
                world.flag("slow")
            holder.wait_until_stopped()
            world.flag("slow", on=False)
            if holder.is_over:
                continue  # this run does not pass it as often
            if _holds_a_lock(world):
                holder.signal(signal.SIGCONT)
                holder.wait()
                continue  # stopped while its heartbeat wrote: nobody can write then, see docs/reliability.md
            world.run("--wait")
            holder.signal(signal.SIGCONT)
            status = holder.wait()
            figures[f"4 {kind}: holders stopped past their lease"] += 1
            refused = "its lease was taken over" in holder.said()
            figures[f"4 {kind}: refused commits"] += refused
            # A holder that was between two attempts finds everything done and has lost nothing.
            assert (status, refused) in ((1, True), (0, False)), f"{point} ({nth}): exit {status}\n{holder.said()}"
            assert refused or point != "commit.beginning", holder.said()
            assert "Traceback" not in holder.said()
            world.require_sound()


def _holds_a_lock(world: World) -> bool:
    """Whether somebody holds what every run writes: SQLite's one lock, or rows of PostgreSQL."""
    if not world.url.startswith("sqlite"):
        engine = sa.create_engine(world.url)
        try:
            with engine.connect() as conn:
                for table in ("orchestrator_state", "runs"):
                    conn.exec_driver_sql(f"SELECT 1 FROM {table} FOR UPDATE NOWAIT")
        except sa.exc.OperationalError:
            return True
        finally:
            engine.dispose()
        return False
    connection = sqlite3.connect(world.url.removeprefix("sqlite:///"), timeout=0.3, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


def test_a_holder_is_told_of_and_waited_for(world: World) -> None:
    holder = world.start_run(fault={"point": "attempt.computed", "do": "stop"})
    holder.wait_until_stopped()
    busy = world.run(code=3)
    assert "component readings is being run by" in busy.said()
    assert f"pid {holder.pid} since" in busy.said()
    waiting = world.start_run("--wait")
    while "waiting for it" not in waiting.said():
        assert not waiting.is_over, waiting.said()
    holder.signal(signal.SIGCONT)
    assert (holder.wait(), waiting.wait()) == (0, 0)
    world.require_sound()


def test_a_killed_holder_is_taken_over_at_once(world: World) -> None:
    world.lease_seconds = 3600
    world.settings()
    victim = world.start_run(fault={"point": "attempt.computed", "do": "kill"})
    assert victim.wait() == -signal.SIGKILL
    world.run()  # without --wait, an hour before the lease ends
    assert world.attempts("crashed") == 1
    world.require_sound()
