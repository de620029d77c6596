"""What a trader costs: a cycle over 50 pairs on paper, a comparison of its books with the platform, and bars per second
of a replay beside those of the simulation.

Prints milliseconds per pair of a cycle (limit 50), of cycles that only decide and of those that send too; then of a
comparison of all there ever was and of one of the last day, for accounts of a fill each quarter of an hour (`--fills`);
then bars per second of the trader's replay and of the simulation over the same bars and entries. SQLite, CPU seconds;
ratios count.
`--days 14` is eight pairs for so many days of five minutes, with the prices of a folder of candles where one is given.

    python benchmarks/trader.py [--pairs N] [--days N] [--candles ../shared/data/crypto-5m] [--fills N ...]
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import sqlalchemy as sa

from agent.store import ledger_tables, paper_tables, trading_tables
from agent.store.database.engine import writing
from agent.store.database.throwaway import throwaway
from agent.store.trading import booking
from agent.trading.config import TradingAgentConfig
from agent.trading.feed import Listing, Published, ReleaseInfo
from agent.trading.feeds.clocks import ReplayClock
from agent.trading.feeds.columns import BarColumns, TableFeed, Tables
from agent.trading.model import Instrument
from agent.trading.replay import replay
from agent.trading.run import Start, Trader
from agent.trading.steps import recover
from pipelines.costs import Costs
from pipelines.decision import Rules
from pipelines.modelling.kernel import Closes, Markets, Opens
from pipelines.modelling.simulation import Piece, simulate

LIMIT = 50.0  # milliseconds per pair
BAR = timedelta(minutes=5)
DAY_OF_BARS = 288
QUARTER = timedelta(minutes=15)
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
NAN = float("nan")
COSTS = Costs(half_spread=0.0001, slippage=0.0001, fee=0.0005)
HORIZON = 6


def walks(pairs: int, bars: int) -> list[list[float]]:
    """Random walks: one price more than bars each."""
    draw, found = random.Random(1), []
    for _ in range(pairs):
        prices = [100.0]
        for _ in range(bars):
            prices.append(prices[-1] * (1 + draw.gauss(0, 0.001)))
        found.append(prices)
    return found


def candles(folder: Path, pairs: int, bars: int) -> list[list[float]]:
    """The last closes of each file of a folder of candles."""
    frames = [pl.read_ipc(path) for path in sorted(folder.glob("*.feather"))[:pairs]]
    return [frame.get_column("close").tail(bars + 1).to_list() for frame in frames]


def feed_of(closes: list[list[float]], part: float) -> TableFeed:
    """A pair for each of `closes`; `part` of the bars would be entered."""
    draw, bars = random.Random(2), len(closes[0]) - 1
    starts = [BEGIN + BAR * number for number in range(bars)]
    ends = [one + BAR for one in starts]
    listings, columns, said = {}, {}, {}
    for number, prices in enumerate(closes):
        name = f"bench:P{number:03}-USD"
        none = [NAN] * bars
        columns[name] = BarColumns(starts, ends, prices[:-1], prices[1:], [1e6] * bars, none, none)
        eighth = Decimal("0.00000001")
        instrument = Instrument(market_id=name, kind="spot", tick=eighth, lot=eighth, base=f"P{number:03}")
        listings[name] = Listing(instrument=instrument, costs=COSTS, bar_seconds=300.0, name=f"P{number:03}-USD")
        said[name] = [
            Published(
                market_id=name,
                ts=end,
                enters=int(draw.random() < part),
                may_short=False,
                probability=0.6,
                confidence=0.8,
                net_edge=0.01 * draw.random(),
                reason="drawn",
                horizon_bars=HORIZON,
                model_version="bench",
            )
            for end in ends
        ]
    info = ReleaseInfo(name="bench", is_tradable=True, is_historical=True, base_rate=0.5)
    return TableFeed(Tables(info, listings, columns, said))


@contextmanager
def trader_of(feed: TableFeed, clock: ReplayClock, cash: int = 10_000) -> Iterator[Trader]:
    """A trader whose kill switch stays quiet."""
    names = tuple(one.name for one in feed.listings())
    config = TradingAgentConfig(
        asset_pairs=names,
        kill_switch_gain_pct="off",
        kill_switch_loss_pct=0.5,
        max_drawdown_pct=0.5,
        max_daily_trades=100_000,
        max_concentration_pct=1.0,
        max_correlated_assets=1_000,
        max_var_pct=50.0,
    )
    with throwaway() as database:
        start = Start(database=database, feed=feed, clock=clock, config=config, cash=Decimal(cash), mode="backtest")
        with Trader(start) as one:
            yield one


def seconds_of(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def cycle(pairs: int, part: float) -> tuple[float, float, int]:
    """Milliseconds per pair of the quickest and the slowest of some cycles, and how many orders they sent."""
    bars = 140  # enough for correlations
    feed = feed_of(walks(pairs, bars), part)
    ends = feed.ends(None, None)
    clock, found, sent = ReplayClock(ends[-6]), list[float](), 0
    with trader_of(feed, clock) as one:
        one.recover()
        for end in ends[-6:]:
            clock.at = end
            begin = time.process_time()
            sent += one.process_cycle().sent
            found.append(time.process_time() - begin)
    return min(found) * 1e3 / pairs, max(found) * 1e3 / pairs, sent


def with_fills(one: Trader, count: int) -> None:
    """An account that was bought and sold a unit each in turn, each quarter of an hour since BEGIN, without costs: on
    both sides."""
    market, where = one.desk.feed.listings()[0].instrument.market_id, {"account_ref": one.desk.held.account_ref}
    ours, fills, theirs, executed = [], [], [], []
    for number in range(count):
        at, its = BEGIN + QUARTER * (number + 1), f"bench{number}"
        trade = {
            "client_order_id": its,
            "market_id": market,
            "outcome": "",
            "side": ("buy", "sell")[number % 2],
            "quantity": Decimal(1),
        }
        price = {"price": Decimal(100), "fee": Decimal(0), "ts": at}
        names = {
            "type": "limit",
            "limit_price": Decimal(100),
            "time_in_force": "gtc",
            "purpose": "open",
            "payload_hash": "",
            "lease_token": 1,
        }
        times = {"prepared_at": at, "first_sent_at": at, "status_at": at, "deduplicated": True, "sends": 1}
        whose = {"agent_id": one.desk.agent_id, "platform": "paper", "status": "filled", "filled_quantity": Decimal(1)}
        ours.append({**trade, **names, **times, **whose, "platform_order_id": its})
        said = {"settlement": "confirmed", "fee_currency": "account", "recorded_at": at, "platform_fill_id": its}
        fills.append({**trade, **price, **said, **where, "platform": "paper"})
        placed = {"platform_order_id": its, "placed_at": at, "looked_to": at, "status": "filled", "filled": Decimal(1)}
        theirs.append({**trade, **placed, **where})
        executed.append({**trade, **price, **where, "fill_id": its})
    with writing(one.desk.database.project) as conn:
        for table, rows in (
            (trading_tables.orders, ours),
            (ledger_tables.fills, fills),
            (paper_tables.paper_orders, theirs),
            (paper_tables.paper_fills, executed),
        ):
            conn.execute(sa.insert(table), rows)


def comparison(count: int) -> None:
    """Print milliseconds of comparisons that find nothing, the quickest of three each."""
    clock = ReplayClock(BEGIN)
    with trader_of(feed_of(walks(1, 2), 0.0), clock) as one:
        one.recover()
        with_fills(one, count)
        clock.at = BEGIN + QUARTER * (count + 1)
        whole = min(seconds_of(lambda: recover.compare(one.desk)) for _ in range(3)) * 1e3
        short = min(seconds_of(lambda: recover.compare(one.desk, in_short=True)) for _ in range(3)) * 1e3
        with one.desk.database.reading() as connections:
            found = booking.discrepancies_of(connections.project, one.desk.agent_id)
    assert [row["kind"] for row in found] == ["opening"], found
    print(f"comparison at {count:,} fills: all {whole:,.1f} ms, the last day {short:,.1f} ms: 1/{whole / short:,.0f}")


def piece_of(feed: TableFeed, bars: int) -> Piece:
    """The same bars and entries as columns of the simulation."""
    names = sorted(one.instrument.market_id for one in feed.listings())
    far = BEGIN + BAR * (bars + 1)
    each = [feed.bars(name, BEGIN, far) for name in names]
    at = np.repeat(np.asarray([int(one.end.timestamp() * 1e6) for one in each[0]], dtype=np.int64), len(names))
    market = np.tile(np.arange(len(names), dtype=np.int32), len(each[0]))
    close = np.asarray([[float(one.close) for one in column] for column in each]).T.ravel()
    opened = np.asarray([[float(one.open) for one in column] for column in each]).T.ravel()
    published = [[feed.published(name, bar.end) for bar in each[0]] for name in names]
    side = np.asarray([[0 if one is None else one.enters for one in column] for column in published], dtype=np.int8).T
    edge = np.asarray([[0.0 if one is None else one.net_edge for one in column] for column in published]).T
    count, distance = len(names), COSTS.half_spread + COSTS.slippage
    step = int(BAR.total_seconds() * 1e6)
    facts = Markets(
        np.full(count, distance),
        np.full(count, COSTS.fee),
        np.zeros(count, dtype=np.int64),
        np.full(count, 5 * HORIZON * step, dtype=np.int64),
        np.full(count, HORIZON, dtype=np.int64),
    )
    closes = Closes(at, market, close, side.ravel(), edge.ravel())
    return Piece(names, closes, Opens(at - step, market, opened, np.full(len(at), distance)), facts, 0)


def compare(closes: list[list[float]], part: float) -> None:
    """Print bars per second of the replay and of the simulation."""
    pairs, bars = len(closes), len(closes[0]) - 1
    feed = feed_of(closes, part)
    ends = feed.ends(None, None)
    clock = ReplayClock(ends[0])
    with trader_of(feed, clock) as one:
        begin = time.process_time()
        found = replay(one, clock, ends)
        traded = time.process_time() - begin
    piece, rules = piece_of(feed, bars), Rules(horizon_bars=HORIZON)
    simulate(piece, {}, rules)  # compiled loops are loaded once
    simulated = min(seconds_of(lambda: simulate(piece, {}, rules)) for _ in range(3))
    whole = pairs * bars
    print(
        f"{pairs} pairs x {bars:,} bars, {part:.0%} entered: trader {whole / traded:,.0f} bars/s ({found.sent} orders, "
        f"{found.trades} round trips), simulation {whole / simulated:,.0f}: {traded / simulated:,.0f} times as long"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--days", type=int, default=2, help="of bars of five minutes, for the replay")
    parser.add_argument("--candles", type=Path, help="a folder of .feather files with a column close")
    parser.add_argument("--fills", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="of accounts compared")
    options = parser.parse_args()
    for part, what in ((0.0, "nothing to trade"), (0.5, "half of them would enter")):
        best, worst, sent = cycle(options.pairs, part)
        took = f"{best:.1f} to {worst:.1f} ms per pair (limit {LIMIT:.0f})"
        print(f"cycle over {options.pairs} pairs, {what}: {took}, {sent} orders sent")
    for count in options.fills:
        comparison(count)
    bars = options.days * DAY_OF_BARS
    closes = walks(8, bars) if options.candles is None else candles(options.candles, 8, bars)
    for part in (0.0, 0.1):
        compare(closes, part)


if __name__ == "__main__":
    main()
