"""`agent decisions`: what was decided about each market in each cycle, and why there was no trade."""

from __future__ import annotations

import argparse
from dataclasses import replace

from agent.arguments import rows
from agent.cli.output import emit
from agent.cli.trading import Row, add_filters, cells, headings, opened, wanted_of
from agent.console import table
from agent.errors import UsageError
from agent.store.trading import showing
from pipelines.figures import percent_text

HELP = "Show what the trader decided, the newest first; --why-not MARKET: the reason for each cycle without a trade."
_COLUMNS = ("made_at", "market_id", "action", "confidence", "status", "why")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser)
    parser.add_argument("--why-not", metavar="MARKET", help="cycles without a trade in this market, and why")
    parser.add_argument("--limit", type=rows, default=100, help="how many at most (100)")


def run(options: argparse.Namespace) -> int:
    """Print decisions with their first refusing rule, or the reason of the decision itself."""
    with opened(options) as (database, agent), database.reading() as connections:
        if options.market and options.why_not and options.market != options.why_not:
            raise UsageError("two markets are named", where="--market, --why-not", fix="leave --market out")
        wanted = replace(wanted_of(options), market=options.why_not or options.market)
        kept = showing.decisions(connections.project, agent, wanted, not_traded=options.why_not is not None)
    text = table([_cells(row) for row in kept], headings(_COLUMNS), right={3}) if kept else ""
    emit(options, kept, text or "There are no such decisions.")
    return 0


def _cells(row: Row) -> tuple[str, ...]:
    """A line, its confidence in per cent, as the reasons say it."""
    confidence = row["confidence"]
    return cells({**row, "confidence": None if confidence is None else percent_text(confidence)}, _COLUMNS)
