"""`agent signals`: what the current release decided."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from agent.arguments import MOST_ROWS, day, rows
from agent.cli.output import emit, moment
from agent.console import table
from agent.core.figures import pnl_text
from agent.execution.workspace import open_workspace
from agent.store.outputs import projections, releases
from agent.store.outputs.projections import MarketFacts
from pipelines.data.quoting import price_text
from pipelines.figures import percent_text

HELP = "Show what the current release decided: one row per market, those to enter first."
_WIDTH = 44
_HEADINGS = ("market", "bar known at (UTC)", "price", "probability", "needed", "net edge", "confidence", "action")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--until", metavar="DATE", type=day, help="those of the last release of that day (UTC) or before"
    )
    parser.add_argument("--limit", type=rows, default=MOST_ROWS, help="how many at most (all)")


def run(options: argparse.Namespace) -> int:
    """Print the decisions."""
    with open_workspace(options.project_dir) as workspace, workspace.database.reading() as connections:
        release = releases.release_in_force(connections.project, options.until)
        found = projections.decisions_of(connections.project, release, MOST_ROWS)
        known = projections.market_facts(connections.project, {row["market_id"] for row in found})
    if release is None:
        emit(options, found, "There is no release yet." if options.until is None else "There was none yet.")
        return 0
    entered = sum(row["action"] in ("buy", "sell") for row in found)
    head = f"Release {release.name}: {len(found)} markets, {entered} to enter."
    shown = found[: options.limit]
    text = (
        table([_row(one, known.get(one["market_id"])) for one in shown], _HEADINGS, right={2, 3, 4, 5, 6})
        if shown
        else ""
    )
    emit(options, shown, f"{head}\n{text}".rstrip())
    return 0


def _short(name: str) -> str:
    """A name that fits a column: ids of some platforms have 66 characters, which differ at both ends."""
    return name if len(name) <= _WIDTH else f"{name[: _WIDTH - 13]}…{name[-12:]}"


def _row(one: Mapping[str, Any], facts: MarketFacts | None) -> tuple[str, ...]:
    threshold, net = one["threshold"], one["edge"] if one["net_edge"] is None else one["net_edge"]
    return (
        _short(one["market_id"] if facts is None else facts.name),
        moment(one["ts"]),
        price_text(one["price"]) if facts is None else price_text(one["price"], facts.tick_size, facts.quote_currency),
        percent_text(one["probability"]),
        "" if threshold is None else percent_text(threshold),
        pnl_text(net),
        percent_text(one["confidence"]),
        one["action"] or "",
    )
