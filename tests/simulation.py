"""Histories for tests of the simulation, as rows and as its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pipelines.costs import Costs
from pipelines.decision import Rules
from pipelines.modelling.fast import INTERPRETED
from pipelines.modelling.kernel import PAYOUT, Closes, Markets, Opens
from pipelines.modelling.simulation import Piece, Segment, simulate
from tests.rowwise_simulation import Row

MINUTE = 60_000_000
COSTS = Costs(slippage=5e-4, fee=10e-4)
BINARY = Costs(half_spread=0.01, fee=0.07, is_binary=True)
RULES = Rules(horizon_bars=3, allow_short=True, max_positions=2, max_weight=0.4)


def piece_of(
    rows: Sequence[Row],
    costs: Mapping[str, Costs] | Costs = COSTS,
    payouts: Sequence[tuple[int, str, float]] = (),
    **more: Any,
) -> Piece:
    """Rows of bars and payouts (at, market, price) as columns."""
    names = sorted({row.market for row in rows} | {name for _, name, _ in payouts} | set(more.pop("names", ())))
    number = {name: n for n, name in enumerate(names)}
    each = [costs if isinstance(costs, Costs) else costs[name] for name in names]
    ends = [(r.ts, number[r.market], r.close, r.side, r.strength) for r in rows]
    ends = sorted(
        [*ends, *((at, number[name], price, PAYOUT, 0.0) for at, name, price in payouts)], key=lambda e: e[:2]
    )
    begins = sorted((r.start, number[r.market], r.open, each[number[r.market]].distance(r.open)) for r in rows)
    types = (np.int64, np.int32, np.float64, np.int8, np.float64)
    closes = [np.asarray([end[n] for end in ends], dtype=kind) for n, kind in enumerate(types)]
    opens = [np.asarray([one[n] for one in begins], dtype=kind) for n, kind in enumerate((*types[:3], np.float64))]
    patience = 5 * RULES.horizon_bars * more.pop("spacing", MINUTE)
    facts = Markets(
        np.asarray([one.half_spread + one.slippage for one in each]),
        np.asarray([one.fee for one in each]),
        np.asarray([int(one.is_binary) for one in each], dtype=np.int64),
        np.full(len(names), patience, dtype=np.int64),
        np.full(len(names), RULES.horizon_bars, dtype=np.int64),
    )
    return Piece(names, Closes(*closes), Opens(*opens), facts, more.pop("start", 0))


def run(piece: Piece, rules: Rules = RULES, state: Mapping[str, Any] | None = None) -> Segment:
    return simulate(piece, state or {}, rules, INTERPRETED)


def rows_from(minutes: list[list[tuple[int, int, bool]]]) -> list[Row]:
    """Minute bars: for each minute and market (price step in %, side that would be entered, whether there is a bar)."""
    rows = []
    last = [100.0] * 4
    for minute, markets in enumerate(minutes, start=1):
        for market, (step, side, exists) in enumerate(markets):
            if exists:
                close, start = max(1.0, last[market] * (1 + step / 100)), (minute - 1) * MINUTE
                rows.append(
                    Row(start + MINUTE, f"m{market}", start, last[market] * 1.001, close, side, 0.1 * (market + 1))
                )
                last[market] = close
    return rows


bar = st.tuples(st.integers(-5, 5), st.sampled_from([0, 0, 1, -1]), st.sampled_from([True, True, True, False]))
histories = st.lists(st.tuples(bar, bar, bar, bar).map(list), min_size=2, max_size=40).map(rows_from)
rule_sets = st.builds(
    lambda short, positions, weight: replace(RULES, allow_short=short, max_positions=positions, max_weight=weight),
    st.booleans(),
    st.integers(1, 4),
    st.sampled_from([0.1, 0.5, 1.0]),
)


def binary_rows(rows: Sequence[Row]) -> list[Row]:
    """The same walks as prices of a binary market, within 0..1."""
    return [row._replace(open=row.open / (100 + row.open), close=row.close / (100 + row.close)) for row in rows]


def settled(rows: Sequence[Row], paid: Sequence[float]) -> Piece:
    """Binary markets that pay after their last bar."""
    last = max(row.ts for row in rows) + 5 * MINUTE
    payouts = [(last + n * MINUTE, f"m{n}", price) for n, price in enumerate(paid)]
    return piece_of(binary_rows(rows), BINARY, payouts)


paid_out = st.lists(st.sampled_from([0.0, 1.0, 0.5]), min_size=4, max_size=4)
