"""`agent slippage`: what fills cost beside what their decisions saw, against what costs expect."""

from __future__ import annotations

import argparse
from typing import Any

from agent.cli.output import emit
from agent.cli.trading import add_filters, cells, headings, money, opened, wanted_of
from agent.console import table
from agent.execution.workspace import read_settings
from agent.trading.drift import load_drift
from agent.trading.feeds.reading import read_costs
from pipelines.lake import Lake

HELP = (
    "Show what the trader's fills cost beside the mid of their decisions, and what the project's costs expect of that."
)
_SUMS = ("cost", "cost_bps", "expected", "expected_bps")
_BY_MARKET = ("market_id", "fills", "without_mid", "notional", *_SUMS, "is_beyond")
_BY_FILL = ("ts", "market_id", "outcome", "side", "quantity", "price", "mid", *_SUMS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser)


def run(options: argparse.Namespace) -> int:
    """Print the report: by market, or of one market fill by fill."""
    settings, _ = read_settings(options.project_dir)
    with opened(options) as (database, agent), database.reading() as connections:
        costs = read_costs(connections.project, Lake(settings.lake_path))
        found = load_drift(connections.project, agent, wanted_of(options), costs)
    emit(options, found, _text(found, by_fill=options.market is not None))
    return 0


def _text(found: dict[str, Any], *, by_fill: bool) -> str:
    if not found["fills"]:
        return "Nothing was executed yet."
    rows, columns = (found["fills"], _BY_FILL) if by_fill else (found["markets"], _BY_MARKET)
    right = set(range(1, len(columns) - 1)) if not by_fill else set(range(4, len(columns)))
    return f"{table([cells(row, columns) for row in rows], headings(columns), right=right)}\n{_sentence(found)}"


def _sentence(found: dict[str, Any]) -> str:
    """What all of it says, and what to do about it."""
    whole = found["total"]
    if whole["cost"] is None:
        return "No decision says a mid to measure from."
    said = f"{money(whole['cost'])} beside the mids of their decisions ({whole['cost_bps']:.2f} bps)"
    if whole["expected"] is None:
        measured = (one for one in found["markets"] if one["cost"] is not None)
        unknown = ", ".join(one["market_id"] for one in measured if one["expected"] is None)
        return f"{said}. What was to be expected is not known: the current release does not have {unknown}."
    said += f", {money(whole['expected'])} expected ({whole['expected_bps']:.2f} bps)"
    if whole["is_beyond"]:
        return f"{said}: more than chance explains. Raise half_spread_bps or slippage_bps in [markets.costs]."
    return f"{said}: no more than chance may do."
