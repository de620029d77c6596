"""`agent orders`: every order that was written down, and what became of it."""

from __future__ import annotations

import argparse

from agent.cli.trading import add_filters, list_rows, show

HELP = "Show the trader's orders: what was sent, what is open, what nobody knows."
_COLUMNS = (
    *("prepared_at", "market_id", "outcome", "purpose", "side"),
    *("quantity", "filled_quantity", "average_price", "status"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser)


def run(options: argparse.Namespace) -> int:
    """Print the orders, the oldest first."""
    return show(options, list_rows(options, "orders"), _COLUMNS, none="There are no orders.")
