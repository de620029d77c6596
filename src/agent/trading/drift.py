"""What an account's fills cost beside what its decisions saw, and what the project's costs expect of that: by market,
in all, and fill by fill. Costs that expect too little make backtests and decisions better than trading is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from agent.store.trading import booking
from agent.store.trading.showing import Wanted, books_of
from agent.trading.measures.slippage import Drift, Seen, drift_of
from agent.trading.steps.desk import seen_of, standing
from pipelines.costs import Costs

Row = dict[str, Any]
_FACTS = ("platform_fill_id", "client_order_id", "ts", "market_id", "outcome", "side", "quantity", "price")
_SUMS = ("cost", "cost_bps", "expected", "expected_bps")


def load_drift(conn: Any, agent: Row, wanted: Wanted, costs: Mapping[str, Costs]) -> Row:
    """The report of an agent's account, over the fills that are wanted. costs: market id -> what trading costs there;
    of a market without any nothing is expected. wanted.limit: so many fills are listed, the newest; all are summed."""
    rows = booking.fills_with_mids(conn, *books_of(conn, agent))
    found = [(row, seen_of(row)) for row in standing(replace(wanted, limit=None).of(rows, "ts"))]
    markets = sorted({seen.market_id for _, seen in found})
    listed = found if wanted.limit is None else found[max(0, len(found) - wanted.limit) :]
    return {
        **{name: agent[name] for name in ("account_ref", "platform", "mode")},
        "total": asdict(_drift(found, costs)),
        "markets": [
            {"market_id": market} | asdict(_drift([one for one in found if one[1].market_id == market], costs))
            for market in markets
        ],
        "fills": [_fill(row, seen, costs) for row, seen in listed],
    }


def _drift(found: Sequence[tuple[Mapping[str, Any], Seen]], costs: Mapping[str, Costs]) -> Drift:
    return drift_of([(seen, costs.get(seen.market_id)) for _, seen in found])


def _fill(row: Mapping[str, Any], seen: Seen, costs: Mapping[str, Costs]) -> Row:
    one = asdict(drift_of([(seen, costs.get(seen.market_id))]))
    return {name: row[name] for name in _FACTS} | {"mid": seen.mid} | {name: one[name] for name in _SUMS}
