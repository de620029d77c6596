"""A KILL file is a person's word for every trader of the project, whoever sees it first and whoever dies meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.store.database.engine import Database, writing
from agent.store.trading import account, orders, switch
from agent.store.trading.account import replay_name
from agent.trading import person
from agent.trading.run import Trader, run
from agent.trading.steps.firing import acknowledge_file
from tests.paper import HOUR, MARKET, START, MovedClock, cycles, feed_of, trader

PRICES = [100.0] * 9
FEED = feed_of({MARKET: PRICES}, {MARKET: dict.fromkeys(range(9), 1)})


def one_of(database: Database, home: Path, name: str, clock: MovedClock, **settings: Any) -> Trader:
    return trader(database, FEED, clock, home=home, account_ref=name, agent_type="loop", **settings)


def kills(database: Database, name: str) -> list[Any]:
    with database.reading() as connections:
        return switch.of_account(connections.project, "paper", name)


def purposes(database: Database, agent_id: int) -> list[str]:
    with database.reading() as connections:
        return [one["purpose"] for one in orders.of_agent(connections.project, agent_id)]


def an_hour(clock: MovedClock) -> Any:
    """A wait that lets an hour pass, six times."""
    left = iter(range(6))

    def wait(_seconds: float) -> bool:
        clock.at += HOUR
        return next(left, None) is not None

    return wait


class Died(Exception):
    """A process that ended at a point."""


_dies_at: list[str] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "tidemill.point" and arguments[0] in _dies_at:
        raise Died


sys.addaudithook(_hook)


@contextmanager
def dying_at(point: str) -> Iterator[None]:
    _dies_at.append(point)
    try:
        with pytest.raises(Died):
            yield
    finally:
        _dies_at.clear()


def test_two_traders_of_a_project_close_both(database: Database, tmp_path: Path) -> None:
    clock = MovedClock()
    with one_of(database, tmp_path, "first", clock) as first, one_of(database, tmp_path, "second", clock) as second:
        for one in (first, second):
            one.recover()
        for one in (first, second):
            assert cycles(one, clock, (0, 1))[0].sent == 1
        (tmp_path / "KILL").write_text("me: enough\n", encoding="utf-8")
        assert cycles(first, clock, (2,))[0].is_killed
        assert (tmp_path / "KILL.seen").exists()
        assert not (tmp_path / "KILL").exists()
        assert second.kill_switch_triggered, "it was meant, too"
        assert second.is_woken()
        assert run(second, wait=an_hour(clock), told=lambda _: None) == 1
        assert purposes(database, second.desk.agent_id) == ["open", "kill"]
    for name in ("first", "second"):
        (kill,) = kills(database, name)
        assert (kill["cause"], kill["triggered_by"], kill["equity"]) == (["KILL_FILE"], "me: enough", 10_000)
        assert kill["triggered_at"] == START + 2 * HOUR


def test_one_that_does_not_run_finds_its_row_at_start(database: Database, tmp_path: Path) -> None:
    clock = MovedClock()
    with one_of(database, tmp_path, "later", clock) as one:
        one.recover()
        cycles(one, clock, (0, 1))
        its = one.desk.agent_id
    with one_of(database, tmp_path, "now", clock) as one:
        one.recover()
        (tmp_path / "KILL").touch()
        assert cycles(one, clock, (2,))[0].is_killed
    assert not (tmp_path / "KILL").exists()
    with one_of(database, tmp_path, "later", clock) as one:
        assert run(one, wait=an_hour(clock), told=lambda _: None) == 1
    assert purposes(database, its) == ["open", "kill"]
    assert kills(database, "later")[0]["state"] == "flat"


@pytest.mark.parametrize(
    "point", ["trader.perceive.committed", "trader.kill_file.committing", "trader.kill_file.acknowledging"]
)
def test_who_dies_before_the_file_is_renamed_leaves_it_to_the_next(
    database: Database, tmp_path: Path, point: str
) -> None:
    """Neither is a word lost, nor does it fire again once a person has reset it."""
    clock = MovedClock()
    with one_of(database, tmp_path, "other", clock) as other:
        other.recover()
        with one_of(database, tmp_path, "first", clock) as first:
            first.recover()
            (tmp_path / "KILL").touch()
            with dying_at(point):
                first.process_cycle()
        assert (tmp_path / "KILL").exists()
        with one_of(database, tmp_path, "first", clock) as first:
            assert run(first, wait=an_hour(clock), told=lambda _: None) == 1
        assert not (tmp_path / "KILL").exists()
        assert other.kill_switch_triggered
    for name in ("first", "other"):
        (kill,) = kills(database, name)
        assert kill["cause"] == ["KILL_FILE"]
    with writing(database.project) as conn:
        agent = account.load(conn, first.desk.agent_id)
        person.reset(conn, agent, reason="looked", by="me", now=clock.at)
    with one_of(database, tmp_path, "first", clock) as first:
        assert run(first, wait=an_hour(clock), told=lambda _: None, most_cycles=1) == 0


def test_two_who_see_it_at_once_write_one_row_each_and_do_not_wait_for_each_other(
    database: Database, tmp_path: Path
) -> None:
    clock = MovedClock()
    with one_of(database, tmp_path, "a", clock) as a, one_of(database, tmp_path, "b", clock) as b:
        for round_ in range(4):
            clock.at += HOUR
            (tmp_path / "KILL").touch()
            together = threading.Barrier(2)
            failed: list[BaseException] = []

            def see(one: Trader, together: threading.Barrier = together, failed: list[Any] = failed) -> None:
                try:
                    together.wait()
                    one.look()
                    acknowledge_file(one.desk)
                except BaseException as error:
                    failed.append(error)

            threads = [threading.Thread(target=see, args=(one,)) for one in (a, b)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert failed == []
            assert not (tmp_path / "KILL").exists()
            for one in (a, b):
                rows = kills(database, one.desk.held.account_ref)
                assert [each["state"] for each in rows] == ["triggered"] + ["reset"] * round_
                with writing(database.project) as conn:
                    switch.reset(conn, rows[0]["id"], "me", "again", clock.at)
                    account.set_reason(conn, one.desk.agent_id, "kill", None, lambda _: "active")


def test_a_replay_has_a_time_of_its_own(database: Database, tmp_path: Path) -> None:
    """Its 30 seconds and 10 minutes are those of its own clock, whoever saw the file."""
    past, clock = MovedClock(START), MovedClock(START + 6 * HOUR)
    name = replay_name(START)
    with one_of(database, tmp_path, name, past) as replayed:
        replayed.recover()
        cycles(replayed, past, (0, 1))
        with one_of(database, tmp_path, "main", clock) as one:
            one.recover()
            (tmp_path / "KILL").touch()
            one.look()
        assert replayed.kill_switch_triggered
    (kill,), (other,) = kills(database, name), kills(database, "main")
    assert (kill["triggered_at"], other["triggered_at"]) == (START + HOUR, START + 6 * HOUR)


def test_a_replay_that_nobody_runs_is_left_alone(database: Database, tmp_path: Path) -> None:
    name, clock = replay_name(START), MovedClock()
    with one_of(database, tmp_path, name, clock) as replayed:
        replayed.recover()
        cycles(replayed, clock, (0, 1))
    with one_of(database, tmp_path, "main", clock) as one:
        one.recover()
        (tmp_path / "KILL").touch()
        one.look()
    assert (len(kills(database, name)), len(kills(database, "main"))) == (0, 1)


def test_a_file_that_cannot_be_read_is_one(database: Database, tmp_path: Path) -> None:
    (tmp_path / "KILL").mkdir()
    with one_of(database, tmp_path, "main", MovedClock()) as one:
        one.recover()
        assert one.process_cycle().is_killed
    assert kills(database, "main")[0]["triggered_by"] == "trader"
