"""`agent equity`: what the account was worth."""

from __future__ import annotations

import argparse

from agent.arguments import rows
from agent.cli.trading import add_filters, opened, show, wanted_of
from agent.store.trading import showing

HELP = "Show what the trader's account was worth, the newest first."
_COLUMNS = ("ts", "cash", "position_value", "equity", "peak", "drawdown", "stale")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser, market=False)
    parser.add_argument("--limit", type=rows, default=100, help="how many at most (100)")


def run(options: argparse.Namespace) -> int:
    """Print rows of `equity`."""
    with opened(options) as (database, agent), database.reading() as connections:
        rows = showing.equity(connections.project, agent, wanted_of(options))
    return show(options, rows, _COLUMNS, none="Nothing was measured yet.")
