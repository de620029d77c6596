"""The backtest's speed: 500 markets x 20 000 bars, against vectorbt in the same run.

python benchmarks/backtest.py [--markets N] [--bars N]

Prints bars per second of the compiled and of the interpreted loops (both strategies), of vectorbt (from_signals and
value), the memory that a run adds to its inputs, and 200 random draws as a multiple of one run. CPU seconds, best of
three; the ratios count.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

from pipelines.decision import Rules
from pipelines.modelling.fast import INTERPRETED, compiled
from pipelines.modelling.kernel import Closes, Markets, Opens
from pipelines.modelling.random_entries import draw_entries
from pipelines.modelling.simulation import Piece, simulate

MINUTE = 60_000_000
RULES = Rules(horizon_bars=5, allow_short=True)


def piece_of(markets: int, bars: int) -> Piece:
    """Geometric random walks, a tenth of whose bars would be entered."""
    draw = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(draw.normal(0, 0.001, (bars, markets)), axis=0))
    opened = np.vstack([np.full((1, markets), 100.0), close[:-1]]) * 1.0002
    at = np.repeat(np.arange(1, bars + 1, dtype=np.int64) * MINUTE, markets)
    number = np.tile(np.arange(markets, dtype=np.int32), bars)
    side = draw.choice(np.array([0, 1, -1], dtype=np.int8), size=bars * markets, p=[0.9, 0.05, 0.05])
    return Piece(
        names=[f"m{n:04}" for n in range(markets)],
        closes=Closes(at, number, close.ravel(), side, draw.random(bars * markets)),
        opens=Opens(at - MINUTE, number, opened.ravel(), np.full(bars * markets, 0.0005)),
        markets=Markets(
            np.full(markets, 0.0005),
            np.full(markets, 0.001),
            np.zeros(markets, dtype=np.int64),
            np.full(markets, 25 * MINUTE, dtype=np.int64),
            np.full(markets, 5, dtype=np.int64),
        ),
        start=0,
    )


def best(work: Callable[[], object], times: int = 3) -> float:
    """CPU seconds of the quickest of some calls."""
    found = []
    for _ in range(times):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def vectorbt_run(piece: Piece, markets: int) -> Callable[[], object]:
    """The same signals through vectorbt: entries and exits with shared cash, then the value of the account."""
    import pandas as pd
    import vectorbt

    opened, close = (pd.DataFrame(column.reshape(-1, markets)) for column in (piece.opens.price, piece.closes.price))
    side = piece.closes.side.reshape(-1, markets)
    entries, exits = pd.DataFrame(side == 1), pd.DataFrame(side == -1)
    costs = {"fees": 0.001, "slippage": 0.0005, "cash_sharing": True, "group_by": True, "init_cash": 1.0}
    sized = {"size": RULES.weight, "size_type": "percent", **costs}
    return lambda: vectorbt.Portfolio.from_signals(close, entries, exits, price=opened, **sized).value()


def peak_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--bars", type=int, default=20_000)
    options = parser.parse_args()
    rows = options.markets * options.bars
    engine = compiled()
    simulate(piece_of(5, 100), {}, RULES, engine)  # compiles
    piece = piece_of(options.markets, options.bars)
    inputs = sum(column.nbytes for columns in (piece.closes, piece.opens, piece.markets) for column in columns)
    made = peak_bytes()
    segment = simulate(piece, {}, RULES, engine)
    added = peak_bytes() - made
    ours = best(lambda: simulate(piece, {}, RULES, engine))
    draws = best(lambda: draw_entries(piece, segment.trades, 1, "k"), times=1)
    small = piece_of(options.markets, max(1, options.bars // 50))
    interpreted = best(lambda: simulate(small, {}, RULES, INTERPRETED), times=1)
    theirs = best(vectorbt_run(piece, options.markets), times=2)
    print(f"{options.markets} markets x {options.bars:,} bars, {len(segment.trades.market):,} trades")
    print(f"compiled     {rows / ours / 1e6:8.1f} M bars/s")
    print(f"interpreted  {len(small.closes.at) / interpreted / 1e6:8.2f} M bars/s")
    print(f"vectorbt     {rows / theirs / 1e6:8.1f} M bars/s; ours is {theirs / ours:.1f} times as fast (at least 10)")
    print(f"memory       {1 + added / inputs:8.2f} times the inputs of {inputs / 1e6:,.0f} MB (below 2)")
    print(f"200 draws    {draws / ours:8.1f} single runs (below 10)")


if __name__ == "__main__":
    main()
