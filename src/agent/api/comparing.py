"""What the page of one release against another shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.answers import together
from agent.core.figures import pnl_text
from agent.core.morning_text import moved_lines
from agent.core.release_diff import change_text, figure_cells, pair_cells
from agent.execution.backtests import Pair
from agent.execution.tries.comparing import Against
from agent.execution.tries.cost_text import cost_lines
from agent.store.outputs.projections import MarketFacts

_MOVED, _TRADES = 12, 10
_WIDTH, _HEIGHT = 600.0, 160.0
_ID = "market_id"


def compared(against: Against, pair: Pair | None, names: Mapping[str, MarketFacts]) -> dict[str, Any]:
    """The template's values; without what the backtests wrote where that is no longer on disk. names: of the markets
    that `markets_of` lists."""
    found = against.comparison
    return {
        "tries": against.costs.keys(),
        "costs": {name: cost_lines(cost) for name, cost in against.costs.items()},
        "code": {name: ", ".join(changed) for name, changed in against.definitions.items()},
        "versions": {name: [(one or "-")[:12] for one in both] for name, both in against.versions.items()},
        "pairs": [pair_cells(name, one.value, one.low, one.high) for name, one in against.pairs.items()],
        "first": found.before,
        "second": found.after,
        "headline": found.headline,
        "changes": [change_text(one) for one in found.changes],
        "figures": [(one.is_changed, *figure_cells(one)) for one in found.figures],
        "moved": moved_lines(found.since, _MOVED),
        "new": found.since.new,
        "gone": found.since.gone,
        "curves": () if pair is None else _curves(pair),
        "apart": None if pair is None else _apart(pair, names),
    }


def markets_of(pair: Pair | None) -> set[str]:
    """The markets whose trades are listed."""
    if pair is None:
        return set()
    return {one for rows in (pair.trades.before, pair.trades.after) for one in rows.head(_TRADES).get_column(_ID)}


def _curves(pair: Pair) -> list[str]:
    points = [
        [(at.timestamp(), equity) for at, equity in one.select("ts", "equity").iter_rows()]
        for one in (pair.before, pair.after)
    ]
    return together(points, _WIDTH, _HEIGHT)


def _apart(pair: Pair, names: Mapping[str, MarketFacts]) -> dict[str, Any]:
    sides = {"only before": pair.trades.before, "only after": pair.trades.after}
    return {
        "both": pair.trades.both,
        "counts": {name: (rows.height, pnl_text(float(rows.get_column("pnl").sum()))) for name, rows in sides.items()},
        "rows": [
            (
                name,
                {**row, "pnl": pnl_text(row["pnl"]), "name": names[row[_ID]].name if row[_ID] in names else row[_ID]},
            )
            for name, rows in sides.items()
            for row in rows.head(_TRADES).iter_rows(named=True)
        ],
    }
