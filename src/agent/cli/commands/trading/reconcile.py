"""`agent reconcile`: where books and platform disagreed, and what was done about it."""

from __future__ import annotations

import argparse

from agent.cli.trading import add_filters, list_rows, show

HELP = "Show where the trader's books and the platform disagreed, and what was done about it."
_COLUMNS = ("found_at", "kind", "market_id", "client_order_id", "resolution", "note")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser)


def run(options: argparse.Namespace) -> int:
    """Print the differences, the oldest first."""
    rows = list_rows(options, "discrepancies")
    return show(options, rows, _COLUMNS, none="Books and platform never disagreed.")
