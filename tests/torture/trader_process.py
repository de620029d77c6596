"""A trader's process for the torture: scripted bars, a clock that all processes share, on paper or at a venue.

Its one argument is JSON, see `Asked`. Exit codes: 0 stopped as asked, 1 the kill switch fired, 2 the second of two
reconciliations changed something, 3 an order is still unclear after many of them.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from agent.store.database.engine import Database, open_engine
from agent.store.trading import account, booking, deciding, orders
from agent.trading import run as running
from agent.trading.agents import TradingLoopAgent
from agent.trading.feeds.columns import TableFeed
from agent.trading.run import Trader, run
from agent.trading.states.orders import OrderState
from agent.trading.testing import VenuePlatform
from tests.paper import HOUR, MARKET, START, D, feed_of, listing, trader

BARS = 4000
EVERY = 4  # bars: buy at one, sell two later
CASH = D(10_000)


@dataclass(frozen=True)
class Asked:
    """What a process does. mode: `cycles` runs so many; `agent` goes through the states of the loop agent once;
    `settle` cycles once and then reconciles until nothing is unclear, and once more."""

    url: str
    clock: str
    account: str
    home: str
    venue: str | None = None
    mode: str = "cycles"
    cycles: int = 3
    stands_still: bool = False
    reconciles: bool = True  # at work, too, and not at start alone


class SharedClock:
    """The hours that anybody let pass, and what the machine's own clock went on since."""

    def __init__(self, path: Path) -> None:
        self._path, self._began = path, float(path.with_suffix(".began").read_text())

    def now(self) -> datetime:
        passed = time.monotonic() - self._began
        return START + HOUR * self._path.stat().st_size + timedelta(seconds=passed)

    def pass_hour(self) -> None:
        with self._path.open("ab") as file:
            file.write(b".")


def new_clock(path: Path) -> SharedClock:
    """A clock that stands at START."""
    path.write_bytes(b"")
    path.with_suffix(".began").write_text(repr(time.monotonic()))
    return SharedClock(path)


@cache
def feed() -> TableFeed:
    """Flat prices; a forecast that buys now and then, and sells two bars later."""
    opens = [100.0 + (number % 7) * 0.25 for number in range(BARS)]
    return feed_of({MARKET: opens}, {MARKET: dict.fromkeys(range(0, BARS, EVERY), 1)}, volume=300.0)


def trader_of(asked: Asked, clock: SharedClock) -> Trader:
    """A trader whose waits are tenths of a second."""
    engine = open_engine(asked.url)
    platform = None
    if asked.venue is not None:
        platform = VenuePlatform(
            asked.venue, clock, lambda market: listing(market).instrument, account_ref=asked.account
        )
    settings: dict[str, Any] = {
        "agent_type": "loop",
        "settle_seconds": 0.1,
        "young_seconds": 0.05,
        "recovery_retry_seconds": 0.05,
        "reconciliation_seconds": 0.1 if asked.reconciles else 1e9,
        "flat_again_seconds": 0.05,
        "main_loop_error_backoff_seconds": 0.2,
        "analysis_frequency_seconds": 0.2,
        "monitoring_frequency_seconds": 0.1,
        "reasoning_failure_decay_seconds": 1.0,
    }
    place: dict[str, Any] = {"account_ref": asked.account, "home": Path(asked.home), "cash": CASH}
    return trader(Database(engine, engine), feed(), clock, platform=platform, **place, **settings)  # type: ignore[arg-type]  # any clock does


def main(arguments: list[str]) -> int:
    """Do what is asked; returns the exit code."""
    asked = Asked(**json.loads(arguments[0]))
    # On a loaded machine tenths of a second pass without a loop that hangs. Where that reason counts it is set.
    running._LATE_CYCLES = 100
    clock = SharedClock(Path(asked.clock))

    def wait(seconds: float) -> bool:
        time.sleep(min(seconds, 0.01))  # a beat; what it stands for is the hour that passes
        if not asked.stands_still:
            clock.pass_hour()
        return True

    with trader_of(asked, clock) as one:
        if asked.mode == "agent":
            return _through_states(one, wait)
        code = run(one, wait=wait, told=print, most_cycles=asked.cycles)
        return code or (_settle(one, clock) if asked.mode == "settle" else 0)


def _through_states(one: Trader, wait: Any) -> int:
    agent = TradingLoopAgent(one)
    one.start(wait)
    for handle in (
        agent.handle_idle_state,
        agent.handle_perception_state,
        agent.handle_reasoning_state,
        agent.handle_risk_check_state,
    ):
        handle()
    if agent.state == "execution":
        agent.handle_execution_state()
    agent.handle_learning_state()
    agent.pause_trading("torture")
    return 0


def _settle(one: Trader, clock: SharedClock) -> int:
    """Reconcile until nothing is unclear, then twice: the second changes nothing."""
    for _ in range(60):
        clock.pass_hour()
        one.recover()
        rows = _rows(one)
        if not any(row["status"] in (OrderState.SENDING, OrderState.UNKNOWN, OrderState.PREPARED) for row in rows[0]):
            break
    else:
        print(f"still unclear: {[(row['client_order_id'], row['status']) for row in rows[0]]}")
        return 3
    clock.pass_hour()
    one.recover()
    before = _rows(one)
    clock.pass_hour()
    one.recover()
    after = _rows(one)
    for name, first, second in zip(_NAMES, before, after, strict=True):
        if first != second:
            new = [row for row in second if row not in first]
            print(f"a second reconciliation changed {name}: {new}")
            return 2
    return 0


_NAMES = ("orders", "fills", "movements", "positions", "discrepancies", "decisions", "reasons")


def _rows(one: Trader) -> list[list[Any]]:
    held = one.desk.held
    with one.desk.database.reading() as connections:
        conn, where = connections.project, (held.platform, held.account_ref)
        return [
            orders.of_agent(conn, held.agent_id),
            booking.fills_of(conn, *where),
            booking.movements_of(conn, *where),
            booking.positions_of(conn, held.agent_id),
            booking.discrepancies_of(conn, held.agent_id),
            deciding.decisions_of(conn, held.agent_id, None, 1000),
            [account.load(conn, held.agent_id)["trading_reason"]],
        ]


if __name__ == "__main__":
    import sys

    os._exit(main(sys.argv[1:]))
