"""The trader over history with the simulation's sizes and fills: what the two do must then be the same.

Off is what the simulation does not know: lots, stops, limits and protections. Everything else is the trader as it is,
its decisions, orders, books and the rules that are left, so that a difference is a fault of one of them. What those
rules changed is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any, NamedTuple

from agent.amounts import less
from agent.store.database.engine import Database
from agent.store.trading import booking, deciding
from agent.trading import rules as all_rules
from agent.trading.config import TradingAgentConfig
from agent.trading.feeds.clocks import ReplayClock
from agent.trading.feeds.columns import TableFeed
from agent.trading.model import Fill
from agent.trading.platforms.simulated import ENTRIES_AFTER, EXITS_AFTER, SimulatedPlatform, moment_of
from agent.trading.replay import Replayed, summary
from agent.trading.rule import Rule, name_of
from agent.trading.run import Start, Trader
from agent.trading.steps import cycle
from agent.trading.steps.booking import book_fill
from agent.trading.steps.execute import valued
from pipelines.decision import Rules
from pipelines.modelling.simulation import Piece, Segment, simulate
from pipelines.values import dataclass

# Sizes and limits of one order, of a day, of the account; what keeps away after a refusal.
OFF = frozenset(
    {
        *("sizing", "concentration", "exposure", "correlation", "var", "budget", "liquidity"),
        *("confidence", "daily_limit", "order_rate", "lock"),
    }
)
TOLERANCE = 1e-9  # of equity and of a trade's figures, relative
CASH = Decimal(10_000)
_NEVER = 1e6  # a fall from the peak, and an age in seconds, that nothing reaches
_ENOUGH = Decimal(1000)  # equities that an entry asks for: the platform gives what the weights say


class Round(NamedTuple):
    """A closed round trip, in the simulation's units (initial equity 1). pnl: after fees."""

    market: str
    side: int
    entry_at: datetime
    exit_at: datetime
    quantity: float
    entry: float
    exit: float
    pnl: float


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How alike the two were. different: the first trades that are not the same, in words. worst: the largest
    difference of equity, relative, of `points` compared. changed: what each rule that was on did to orders: how often
    it refused or reduced one."""

    simulated: int
    traded: int
    different: Sequence[str]
    points: int
    worst: float
    changed: Mapping[str, int]

    @property
    def is_alike(self) -> bool:
        """Whether nothing differs beyond the tolerance."""
        return not self.different and self.worst <= TOLERANCE


def replay_like(
    database: Database, feed: TableFeed, config: TradingAgentConfig, piece: Piece, rules: Rules
) -> tuple[Replayed, Likeness]:
    """Trade all markets of `feed` over `piece`, which is the same history for the simulation, and compare."""
    clock = ReplayClock(moment_of(piece.closes.at[0]))
    platform = SimulatedPlatform(piece, rules, feed, clock, CASH)
    bare = replace(
        config,
        asset_pairs=tuple(feed.spoken_of()),
        take_profit=None,
        stop_loss=None,
        kill_switch_gain_pct="off",
        kill_switch_loss_pct="off",
        max_drawdown_pct=_NEVER,
        max_daily_loss_pct="off",
        max_mark_age_seconds=_NEVER * 86_400,
    )
    start = Start(
        database=database,
        feed=feed,
        clock=clock,
        config=bare,
        cash=CASH,
        mode="backtest",
        platform=platform,
        rules=rules_on(),
        asks_for=_ENOUGH,
    )
    with Trader(start) as trader:
        found = _replayed(trader, clock, platform)
        return found, _compared(trader, platform, piece, rules)


def rules_on() -> tuple[Rule, ...]:
    """The rules that stay."""
    return tuple(one for one in all_rules.load() if name_of(one) not in OFF)


def _replayed(trader: Trader, clock: ReplayClock, platform: SimulatedPlatform) -> Replayed:
    """Each instant of the simulation in turn: bars that end, a cycle, then what the bars that begin fill, exits first.
    A market that was left is decided on once more before the entries: the simulation turns round at one open."""
    ends, cycles = [], 0
    end, opens = platform.next_end(), platform.next_open()
    assert end is not None, "history has a bar"
    clock.at = end
    trader.recover()
    while end is not None or opens is not None:
        if end is not None and (opens is None or end <= opens):
            clock.at = end
            _book_own(trader, platform.close(end))
            trader.process_cycle()
            ends.append(end)
            cycles += 1
        elif opens is not None:
            _open(trader, clock, platform, opens)
        end, opens = platform.next_end(), platform.next_open()
    clock.at = ends[-1]
    return summary(trader, ends, len(ends), cycles)


def _open(trader: Trader, clock: ReplayClock, platform: SimulatedPlatform, at: datetime) -> None:
    clock.at = at + EXITS_AFTER
    left = platform.fill_exits(at)
    if left:
        _book_own(trader, [one for one in left if one.client_order_id is None])
        trader.look()
        markets = {one.market_id: trader.desk.markets[one.market_id] for one in left}
        cycle.process_cycle(replace(trader.desk, markets=markets))
    clock.at = at + ENTRIES_AFTER
    if platform.fill_entries(at):
        trader.look()


def _book_own(trader: Trader, fills: Sequence[Fill]) -> None:
    """What the simulation closed without an order: a market that fell silent, a margin call, ruin."""
    desk = trader.desk
    for fill in fills:
        marks = valued(desk, also=fill.key)
        with desk.step("simulated") as conn:
            book_fill(conn, desk, fill, marks, desk.clock.now())


def _compared(trader: Trader, platform: SimulatedPlatform, piece: Piece, rules: Rules) -> Likeness:
    """The trader's books against what the simulation does with the same history."""
    expected = simulate(piece, {}, rules)
    with trader.desk.database.reading() as connections:
        conn, its = connections.project, trader.desk.agent_id
        rows = booking.trades_of(conn, its)
        curve = {one["ts"]: one["equity"] for one in booking.equity_of(conn, its, None)}
        changed = deciding.changed_by(conn, its)
    cash = trader.initial_cash
    ours = sorted(_traded(row, cash, platform.opens) for row in rows)
    theirs = sorted(_simulated(expected, piece.names))
    points = {moment_of(at): float(value) for at, value in _points(expected)}
    worst = max((_apart(float(curve[at] / cash), value) for at, value in points.items() if at in curve), default=0.0)
    missing = [f"no equity at {at:%Y-%m-%d %H:%M}" for at in points if at not in curve][:1]
    pairs = zip_longest(ours, theirs)
    unlike = [f"traded {one}, simulated {other}" for one, other in pairs if not _is_same(one, other)]
    return Likeness(
        simulated=len(theirs),
        traded=len(ours),
        different=(*missing, *unlike[:3]),
        points=len(points),
        worst=worst,
        changed={name_of(one): changed.get(name_of(one), 0) for one in rules_on()},
    )


def _points(found: Segment) -> list[tuple[int, float]]:
    curve = found.curves["model"]
    return list(zip(map(int, curve.at), curve.equity, strict=True))


def _traded(row: Mapping[str, Any], cash: Decimal, opens: Mapping[datetime, datetime]) -> Round:
    """A row of `trades`. Fills are dated a little after the open that they are of."""
    side = (1 if row["side"] == "long" else -1) * (-1 if row["outcome"] == "no" else 1)
    times = (opens.get(row[name], row[name]) for name in ("opened_at", "closed_at"))
    figures = (row["quantity"] / cash, row["entry"], row["exit"], less(row["pnl"], row["fees"]) / cash)
    return Round(row["market_id"], side, *times, *map(float, figures))


def _simulated(found: Segment, names: Sequence[str]) -> list[Round]:
    rows = found.trades
    columns = (rows.market, rows.side, rows.entry_at, rows.exit_at, rows.quantity, rows.entry_price, rows.exit_price)
    return [
        Round(names[int(m)], int(side), moment_of(int(entry)), moment_of(int(left)), *map(float, figures))
        for m, side, entry, left, *figures in zip(*columns, rows.pnl, strict=True)
    ]


def _is_same(one: Round | None, other: Round | None) -> bool:
    if one is None or other is None or one[:4] != other[:4]:
        return False
    size = other.quantity * other.entry  # a P&L near 0 is no measure of itself
    figures = all(_apart(ours, theirs) <= TOLERANCE for ours, theirs in zip(one[4:7], other[4:7], strict=True))
    return figures and abs(one.pnl - other.pnl) <= TOLERANCE * size


def _apart(one: float, other: float) -> float:
    return abs(one - other) / max(abs(other), 1e-12)
