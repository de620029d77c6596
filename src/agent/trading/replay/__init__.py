"""The same trader over history: its clock is set to the end of each bar, one after the other, as fast as it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from decimal import Decimal

from agent.store.database.engine import Database
from agent.store.trading import account, booking, deciding, switch
from agent.trading.feeds.clocks import ReplayClock
from agent.trading.kill_switch import KillState
from agent.trading.run import Trader
from pipelines.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What came of it. refused: rule -> how often it was the first to refuse, with one of its reasons in `examples`.
    actions: what was decided -> how often. fees and pnl (before fees) are of closed round trips. killed: why everything
    was closed, None where it was not."""

    bars: int
    first: datetime
    last: datetime
    cycles: int
    actions: Mapping[str, int]
    sent: int
    refused: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    trades: int
    pnl: Decimal
    fees: Decimal
    initial: Decimal
    equity: Decimal
    drawdown: float
    killed: str | None = None


def _at_once(_: timedelta) -> bool:
    return True


def replay(
    trader: Trader, clock: ReplayClock, ends: Sequence[datetime], pause: Callable[[timedelta], bool] = _at_once
) -> Replayed:
    """Recover, then one cycle at the end of each bar. Where the kill switch fires, or has, close everything at the bars
    that follow, then end. pause: called with the time between two bars; False: stop."""
    clock.at = ends[0]
    trader.recover()
    cycles = seen = 0
    is_killed = trader.kill_switch_triggered
    for number, end in enumerate(ends):
        if number and not pause(end - ends[number - 1]):
            break
        clock.at, seen = end, number + 1
        if is_killed:
            if _closed(trader):
                break
        elif trader.process_cycle().is_killed:
            is_killed = True
            if _closed(trader):
                break
        else:
            cycles += 1
    return summary(trader, ends, min(cycles + 1, seen) if is_killed else seen, cycles)


def stands_at(database: Database, account_ref: str) -> datetime | None:
    """Up to when a paper account was replayed; None: never."""
    with database.reading() as connections:
        conn = connections.project
        its = account.newest_of(conn, account_ref)
        newest = None if its is None else booking.newest_equity(conn, its["id"])
    return None if newest is None else newest["ts"]


def _closed(trader: Trader) -> bool:
    """All that can be done at this bar; whether nothing is left to do."""
    state = trader.close_everything()
    while True:
        before, state = state, trader.close_everything()
        if state is KillState.FLAT or state is before:
            return state is KillState.FLAT


def summary(trader: Trader, ends: Sequence[datetime], bars: int, cycles: int) -> Replayed:
    """What the trader's tables say of a replay of so many `bars`."""
    desk = trader.desk
    with desk.database.reading() as connections:
        conn = connections.project
        decided = deciding.outcomes_of(conn, desk.agent_id)
        trades = booking.trades_of(conn, desk.agent_id)
        newest = booking.newest_equity(conn, desk.agent_id)
        worst = booking.worst_drawdown(conn, desk.agent_id)
        kills = switch.of_account(conn, desk.held.platform, desk.held.account_ref)
    assert newest is not None, "each cycle writes a row"
    refused = Counter(rule for _, _, rule, _ in decided if rule is not None)
    return Replayed(
        bars=bars,
        first=ends[0],
        last=desk.clock.now(),
        cycles=cycles,
        actions=dict(sorted(Counter(action for action, _, _, _ in decided).items())),
        sent=sum(status == "ordered" for _, status, _, _ in decided),
        refused=dict(refused.most_common()),
        examples={rule: why for _, _, rule, why in decided if rule is not None and why is not None},
        trades=len(trades),
        pnl=sum((one["pnl"] for one in trades), Decimal(0)),
        fees=sum((one["fees"] for one in trades), Decimal(0)),
        initial=trader.initial_cash,
        equity=newest["equity"],
        drawdown=worst,
        killed=", ".join(kills[0]["cause"]) if kills else None,
    )
