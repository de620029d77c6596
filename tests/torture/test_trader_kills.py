"""Torture of the trader: killed at every fault point, and 100 times at any of them while the venue has bad days.
It goes on, and the books are what the platform says.

After every kill: no client id twice at the venue, no position or order that the books do not have, cash to the last
place, and a second reconciliation that changes nothing.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.amounts import less
from agent.trading.states.permissions import Reason
from agent.trading.testing import Fault
from agent.trading.testing.server import What
from tests.paper import MARKET, D
from tests.processes import Nursery
from tests.torture.choice import chosen, tree
from tests.torture.faults import ANY, points_of_trading
from tests.torture.trading_floor import Kind, TradingFloor, trading_floor

pytestmark = pytest.mark.torture
KINDS: tuple[Kind, Kind] = ("paper", "venue")
ROUNDS, ROUNDS_LONG = 4, 100
_ONLY_AT_A_VENUE = ("venue.", "trader.run.", "trader.silent.", "trader.agree.")  # paper can always be read


@dataclass(frozen=True)
class Scenario:
    """`prepare` leads up to the victim, which is asked for `asked`; `after` undoes what would disturb what follows.
    points: beginnings of the names of those that it is there for; the first one is there for all others."""

    name: str
    points: tuple[str, ...] = ()
    prepare: Callable[[TradingFloor], None] = lambda floor: None
    asked: tuple[tuple[str, Any], ...] = ()
    after: Callable[[TradingFloor], None] = lambda floor: None


def _holding_and_resting(floor: TradingFloor) -> None:
    """A position, an order that rests, and a person who wants out."""
    if floor.kind == "venue":
        floor.venue.part = D("0.5")
    floor.run(cycles=2)
    floor.kill_file.touch()


def _more_cash(floor: TradingFloor) -> None:
    floor.run(cycles=1)
    floor.deposit(500)


def _silent(floor: TradingFloor) -> None:
    """A venue that says nothing of the account any longer, for as many cycles as the victim lives."""
    assert floor.server is not None
    floor.venue.part = D(0)
    floor.venue.is_open = False  # nothing is bought meanwhile
    floor.run(cycles=1)
    started = 3  # of the account, before the first cycle
    floor.server.faults.append(Fault("500", "GET", "/account", skip=started))


def _late(floor: TradingFloor) -> None:
    """A process that was killed while its monitor said that the loop hangs."""
    floor.run(cycles=1)
    floor.hold_back(Reason.LOOP_LATE)


def _speechless(floor: TradingFloor) -> None:
    """A venue that gives no quote."""
    assert floor.server is not None
    floor.server.faults.append(Fault("500", "GET", "/quotes", count=5))


def _listed_late(floor: TradingFloor) -> None:
    """A deposit that held the trader back, because it was in the balance before it was listed."""
    floor.run(cycles=1)
    floor.deposit(500)
    listed = floor.venue.movements.pop()
    floor.clock.pass_hour()
    floor.run(cycles=1)
    floor.venue.movements.append(listed)
    floor.clock.pass_hour()


def _speaking(floor: TradingFloor) -> None:
    if floor.server is not None:
        floor.server.faults.clear()
        floor.venue.part, floor.venue.is_open = D(1), True


SCENARIOS = (
    Scenario("trading"),
    Scenario(
        "closing everything",
        ("trader.cancel.", "trader.end.", "trader.kill.", "trader.kill_file."),
        _holding_and_resting,
        after=_speaking,
    ),
    Scenario("a deposit", ("trader.movement.",), _more_cash, (("cycles", 2),)),
    Scenario("a loop that was late", ("trader.run.watch",), _late, (("cycles", 1),)),
    Scenario("a silent account", ("trader.run.",), _silent, (("cycles", 12),), _speaking),
    Scenario("a silent market", ("trader.silent.",), _speechless, (("cycles", 1),), _speaking),
    Scenario("a deposit that is listed late", ("trader.agree.",), _listed_late, (("cycles", 1),)),
    Scenario("the loop agent", ("trader.agent.",), asked=(("mode", "agent"),), after=TradingFloor.resume),
)


def scenario_of(point: str) -> Scenario:
    """The one that is there for this point."""
    return next((one for one in SCENARIOS[1:] if point.startswith(one.points)), SCENARIOS[0])


def points_on(kind: Kind) -> list[str]:
    """The points that a trader passes on this platform."""
    others = "paper." if kind == "venue" else _ONLY_AT_A_VENUE
    return [point for point in points_of_trading() if not point.startswith(others)]


def cases() -> Iterator[Any]:
    """Database, platform and point of each kill of this run."""
    is_long = os.environ.get("TORTURE") == "long"
    for kind in KINDS:
        points = points_on(kind)
        mine = points if is_long else chosen(points, f"{kind} {tree()}")[:: len(KINDS)]
        for point in mine:
            yield pytest.param("sqlite", kind, point, id=f"sqlite-{kind}-{point}")
            if is_long:
                yield pytest.param("postgres", kind, point, id=f"postgres-{kind}-{point}", marks=pytest.mark.postgres)


def _victim(floor: TradingFloor, scenario: Scenario, fault: dict[str, Any]) -> int:
    """Lead up to the victim, start it, and say how it ended. It reconciles at start alone: an hour that passes between
    the two halves of a comparison at work has it book a fill that the loop would have booked."""
    scenario.prepare(floor)
    process = floor.start({"do": "note", **fault}, **dict(scenario.asked), reconciles=False)
    return process.wait()


@pytest.mark.parametrize("kind", KINDS)
def test_every_point_of_the_trader_is_passed_by_its_scenario(
    tmp_path: Path, database_url: str, nursery: Nursery, kind: Kind, figures: Counter[str]
) -> None:
    if not database_url.startswith("sqlite"):
        pytest.skip("points are the same on every database")
    left = points_on(kind)
    for number, scenario in enumerate(SCENARIOS):
        mine = {point for point in left if scenario_of(point) == scenario}
        if not mine:
            continue
        with trading_floor(tmp_path / str(number), database_url, nursery, kind, f"a{number}") as floor:
            _victim(floor, scenario, {})
            missed = mine - set(floor.passed())
        assert not missed, f"{scenario.name!r} passes these no more, or another one must be there for them: {missed}"
    figures[f"8 {kind}: fault points of the trader"] += len(left)


@pytest.mark.parametrize(("database_url", "kind", "point"), list(cases()), indirect=["database_url"])
def test_12_killed_at_a_point_it_goes_on_and_the_books_are_right(
    tmp_path: Path, database_url: str, nursery: Nursery, kind: Kind, point: str, figures: Counter[str]
) -> None:
    scenario = scenario_of(point)
    with trading_floor(tmp_path / "floor", database_url, nursery, kind) as floor:
        status = _victim(floor, scenario, {"point": point, "do": "kill"})
        assert status == -signal.SIGKILL, f"it did not come to {point}: exit {status}\n{floor.started[-1].said()}"
        scenario.after(floor)
        floor.recover()
        floor.forget_lease()
        floor.run(cycles=3)
        floor.recover()
    figures[f"8 {kind}, {_database(database_url)}: killed at a point"] += 1


@pytest.mark.parametrize("kind", KINDS)
def test_12_random_kills_and_bad_days(
    tmp_path: Path,
    database_url: str,
    nursery: Nursery,
    kind: Kind,
    is_long: bool,
    seed: int,
    figures: Counter[str],
) -> None:
    draw = random.Random(f"{seed} {kind} {_database(database_url)}")
    with trading_floor(tmp_path / "floor", database_url, nursery, kind) as floor:
        for number in range(ROUNDS_LONG if is_long else ROUNDS):
            try:
                killed = _round(floor, draw)
            except BaseException as error:
                error.add_note(f"round {number}, TORTURE_SEED={seed}")
                raise
            figures[f"8 {kind}, {_database(database_url)}: random rounds"] += 1
            figures[f"8 {kind}, {_database(database_url)}: killed in them"] += killed
        agent = floor.agent()
        assert agent is not None
        assert agent["cycle"] > number, "it goes on"


def _round(floor: TradingFloor, draw: random.Random) -> int:
    """A bad day, a kill somewhere in it, what the venue does meanwhile, and the recovery. Returns the kills."""
    killed = 0
    for _ in range(draw.randint(1, 2)):  # a process that recovers may be killed, too
        if floor.server is not None:
            _spoil(floor, draw)
        if draw.random() < 0.1:
            floor.kill_file.touch()
        if draw.random() < 0.1:
            floor.deposit(250 if floor.kind == "paper" else draw.choice((-100, 250)))  # paper pays nothing out
        process = floor.start({"point": ANY, "nth": draw.randint(1, 70), "do": "kill"}, cycles=draw.randint(1, 3))
        status = process.wait()
        assert status in (0, 1, -signal.SIGKILL), f"exit {status}:\n{process.said()}"
        if status == 1:
            assert "Traceback" not in process.said(), process.said()
        killed += status == -signal.SIGKILL
        floor.forget_lease()
        if floor.server is not None:
            _go_on(floor, draw)
    _speaking(floor)
    floor.recover()
    return killed


def _spoil(floor: TradingFloor, draw: random.Random) -> None:
    """What the venue does to the next process."""
    assert floor.server is not None
    venue = floor.venue
    venue.part = draw.choice((D(0), D("0.3"), D(1), D(1)))
    venue.lists_after = draw.choice((0.0, 0.0, 0.05))
    middle = D(draw.randint(900, 1100)) / 10
    venue.quotes[MARKET] = (less(middle, D("0.1")), middle + D("0.1"))
    floor.server.faults.clear()
    if draw.random() < 0.5:
        what: What = draw.choice(("reset", "500", "503", "html", "truncated", "429", "401", "clock"))
        does_it = what in ("reset", "500", "html", "truncated") and draw.random() < 0.5
        floor.server.faults.append(Fault(what, "POST", "/orders", does_it=does_it, count=draw.randint(1, 2)))
    if draw.random() < 0.5:
        what = draw.choice(("reset", "500", "html", "truncated", "429"))
        path = draw.choice(("/orders", "/fills", "/positions", "/account", "/quotes"))
        floor.server.faults.append(Fault(what, "GET", path, does_it=True, count=draw.randint(1, 3)))
    if draw.random() < 0.3:
        floor.server.faults.append(Fault("500", "DELETE", "/orders", does_it=draw.random() < 0.5, count=1))


def _go_on(floor: TradingFloor, draw: random.Random) -> None:
    """What the venue does while nobody looks: fills, cancels, late fills, and fills that it says twice."""
    venue = floor.venue
    with venue.lock:
        for order in venue.orders:
            rest = less(order.quantity, order.filled)
            if order.status == "open":
                what = draw.choice(("fill", "part", "cancel", "nothing"))
                if what == "cancel":
                    order.status = "cancelled"
                elif what != "nothing":
                    venue.fill(order.client_order_id, rest if what == "fill" else rest / 2)
            elif order.status == "cancelled" and rest and draw.random() < 0.1:
                venue.fill(order.client_order_id, rest)
        if venue.fills and draw.random() < 0.2:
            venue.fills.append(dict(draw.choice(venue.fills)))


def _database(url: str) -> str:
    return url.partition(":")[0].partition("+")[0]
