"""`agent fills`: every execution."""

from __future__ import annotations

import argparse

from agent.cli.trading import add_filters, list_rows, show

HELP = "Show the trader's executions."
_COLUMNS = ("ts", "market_id", "outcome", "side", "quantity", "price", "fee", "client_order_id")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser)


def run(options: argparse.Namespace) -> int:
    """Print the executions, the oldest first."""
    return show(options, list_rows(options, "fills"), _COLUMNS, none="Nothing was filled yet.")
