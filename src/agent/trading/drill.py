"""The kill switch rehearsed: an account that holds one position and has one order resting, and every step from the KILL
file to the reset. The steps are the trader's own; a scripted market and the database are of the drill alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from agent.errors import AgentError
from agent.store.database.engine import Database, database_now, writing
from agent.store.trading import account, booking, orders
from agent.trading import person
from agent.trading.config import TradingAgentConfig
from agent.trading.feed import Listing, Published, ReleaseInfo
from agent.trading.feeds.clocks import ReplayClock
from agent.trading.feeds.columns import BarColumns, TableFeed, Tables
from agent.trading.kill_switch import KillState
from agent.trading.model import Instrument
from agent.trading.run import Start, Trader
from agent.trading.steps.desk import held_quantities, in_flight
from pipelines.costs import Costs
from pipelines.values import dataclass

_HELD, _RESTING = "drill:HELD-USD", "drill:RESTING-USD"
_BARS, _BAR, _FIRST = 8, timedelta(minutes=1), datetime(2026, 1, 1, tzinfo=UTC)
_MOST_STEPS = 20


@dataclass(frozen=True)
class Step:
    """One step of a drill. at: by the drill's own clock; seconds: that it took."""

    name: str
    at: datetime
    seconds: float
    says: str


def drill(database: Database, home: Path, told: Callable[[Step], None]) -> tuple[Step, ...]:
    """Rehearse in an empty database of its own; `home` is where its KILL file lies. Raises AgentError where a step does
    not come to what it must."""
    clock = ReplayClock(_FIRST)
    config = TradingAgentConfig(asset_pairs=(_HELD, _RESTING), max_var_pct=50.0, kill_switch_gain_pct="off")
    start = Start(database=database, feed=_market(), clock=clock, config=config, home=home, account_ref="drill")
    done: list[Step] = []

    def step(work: Callable[[], tuple[str, str]]) -> None:
        began = time.perf_counter()
        name, says = work()
        done.append(Step(name, clock.now(), round(time.perf_counter() - began, 4), says))
        told(done[-1])

    with Trader(start) as trader:
        step(lambda: ("open", _open(trader, clock)))
        step(lambda: ("trigger", _trigger(trader, home)))
        while done[-1].name != KillState.FLAT:
            if len(done) > _MOST_STEPS:
                raise _failed("it does not become flat")
            if (
                done[-1].name == KillState.CLOSING and _state(trader)[1]
            ):  # an order of the paper platform waits for the next bar
                clock.at += _BAR
            step(lambda: (str(trader.close_everything()), _left(trader)))
        step(lambda: ("reset", _reset(trader)))
    return tuple(done)


def _market() -> TableFeed:
    """Two markets whose price never moves; a forecast enters the one at the first bar, the other at the second."""
    bars = {market: _FIRST + _BAR * number for market, number in ((_HELD, 0), (_RESTING, 1))}
    starts = [_FIRST + _BAR * (number - 1) for number in range(_BARS)]
    price, unknown = [100.0] * _BARS, [float("nan")] * _BARS
    columns = BarColumns(starts, [one + _BAR for one in starts], price, price, unknown, unknown, unknown)
    return TableFeed(
        Tables(
            ReleaseInfo(name="drill", is_tradable=True, is_historical=True, base_rate=0.3),
            {market: _listing(market) for market in bars},
            dict.fromkeys(bars, columns),
            {market: [_said(market, one + _BAR, enters) for one in starts] for market, enters in bars.items()},
        )
    )


def _listing(market: str) -> Listing:
    lot, tick = Decimal("0.00000001"), Decimal("0.01")
    instrument = Instrument(market_id=market, kind="spot", lot=lot, tick=tick, base=market.split(":")[1].split("-")[0])
    return Listing(instrument=instrument, costs=Costs(), bar_seconds=_BAR.total_seconds(), name=market)


def _said(market: str, ts: datetime, enters_at: datetime) -> Published:
    return Published(
        market_id=market,
        ts=ts,
        enters=int(ts == enters_at),
        probability=0.7,
        confidence=0.8,
        net_edge=0.01,
        reason="scripted",
        horizon_bars=_BARS,
        model_version="drill",
        may_short=False,
    )


def _open(trader: Trader, clock: ReplayClock) -> str:
    """Two cycles: the first one's order is filled in the second, whose own order still rests."""
    trader.recover()
    trader.process_cycle()
    clock.at += _BAR
    trader.process_cycle()
    held, resting = _state(trader)
    if (held, resting) != ([_HELD], [_RESTING]):
        raise _failed(f"it holds {held} and has {resting} resting before the switch fires")
    return _left(trader)


def _trigger(trader: Trader, home: Path) -> str:
    person.trigger(home, "drill", "drill")
    if not trader.process_cycle().is_killed or not trader.kill_switch_triggered:
        raise _failed("the KILL file did not fire it")
    with trader.desk.database.reading() as connections:
        state = account.load(connections.project, trader.desk.agent_id)["trading_state"]
    if state != "halted":
        raise _failed(f"the trader is {state} after it fired")
    return f"the KILL file was seen, its row is written, the trader is {state}"


def _reset(trader: Trader) -> str:
    held, resting = _state(trader)
    with trader.desk.database.reading() as connections:
        conn, its = connections.project, trader.desk.agent_id
        statuses = {one["market_id"]: one["status"] for one in orders.of_agent(conn, its) if one["purpose"] == "open"}
        cash = booking.newest_equity(conn, its)
        agent = account.load(conn, its)
    if held or resting or statuses[_RESTING] != "cancelled" or cash is None or cash["cash"] != trader.initial_cash:
        raise _failed(f"flat, and yet {held} is held, {resting} rests, orders are {statuses}")
    with writing(trader.desk.database.project) as conn:
        answer = person.reset(conn, agent, reason="drill", by="drill", now=database_now(conn))
    if answer["trading_state"] != "active" or trader.kill_switch_triggered:
        raise _failed(f"the trader is {answer['trading_state']} after the reset")
    return f"the trader is active at an equity of {answer['equity']}"


def _left(trader: Trader) -> str:
    held, resting = _state(trader)
    return f"{len(held)} held, {len(resting)} resting"


def _state(trader: Trader) -> tuple[list[str], list[str]]:
    """Markets that are held, and those with an order that may still fill."""
    with trader.desk.database.reading() as connections:
        held = held_quantities(connections.project, trader.desk.agent_id)
        flying = in_flight(connections.project, trader.desk.agent_id)
    return sorted(key[0] for key in held), sorted(one.market_id for one in flying)


def _failed(what: str) -> AgentError:
    return AgentError(f"the drill failed: {what}", where="agent kill-switch drill", fix="do not trade; report it")
