"""`agent trades`: round trips that are over."""

from __future__ import annotations

import argparse

from agent.cli.trading import add_filters, list_rows, show

HELP = "Show the trader's closed round trips."
_COLUMNS = ("closed_at", "market_id", "outcome", "side", "quantity", "entry", "exit", "fees", "pnl", "reason")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser)


def run(options: argparse.Namespace) -> int:
    """Print the round trips, the oldest first."""
    return show(options, list_rows(options, "trades"), _COLUMNS, none="No round trip is over yet.")
