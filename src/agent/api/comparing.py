"""What the page of one release against another shows."""

from __future__ import annotations

from typing import Any

from agent.core.answers import together
from agent.core.morning_text import moved_lines
from agent.core.release_diff import change_text, figure_cells
from agent.execution.backtests import Pair
from agent.store.comparing import Comparison

_MOVED, _TRADES = 12, 10
_WIDTH, _HEIGHT = 600.0, 160.0


def compared(found: Comparison, pair: Pair | None) -> dict[str, Any]:
    """The template's values; without what the backtests wrote where that is no longer on disk."""
    return {
        "first": found.before,
        "second": found.after,
        "headline": found.headline,
        "changes": [change_text(one) for one in found.changes],
        "figures": [(one.is_changed, *figure_cells(one)) for one in found.figures],
        "moved": moved_lines(found.since, _MOVED),
        "new": found.since.new,
        "gone": found.since.gone,
        "curves": () if pair is None else _curves(pair),
        "apart": None if pair is None else _apart(pair),
    }


def _curves(pair: Pair) -> list[str]:
    points = [
        [(at.timestamp(), equity) for at, equity in one.select("ts", "equity").iter_rows()]
        for one in (pair.before, pair.after)
    ]
    return together(points, _WIDTH, _HEIGHT)


def _apart(pair: Pair) -> dict[str, Any]:
    sides = {"only before": pair.trades.before, "only after": pair.trades.after}
    return {
        "both": pair.trades.both,
        "counts": {name: (rows.height, rows.get_column("pnl").sum()) for name, rows in sides.items()},
        "rows": [(name, row) for name, rows in sides.items() for row in rows.head(_TRADES).iter_rows(named=True)],
    }
